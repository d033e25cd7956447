/* Memory at a known address that is written, read and executed: a target for watchpoints.
   watched TIMES [main|thread [MICROSECONDS BETWEEN]] */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DATA ((volatile long *)0x10000000)
#define CODE ((void (*)(void))0x10001000)

static int times = 1;
static useconds_t between = 0;

__attribute__((noinline)) void watched_write(long value) { *DATA = value; }

static void *work(void *unused) {
  for (int i = 0; i < times; i++) {
    watched_write(i);
    long read = *DATA;
    (void)read;
    CODE();
    if (between) usleep(between);
  }
  return unused;
}

int main(int argc, char **argv) {
  if (argc > 1) times = atoi(argv[1]);
  if (argc > 3) between = (useconds_t)atoi(argv[3]);
  if (mmap((void *)0x10000000, 0x2000, PROT_READ | PROT_WRITE | PROT_EXEC,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    return 1;
#if defined(__x86_64__)
  memcpy((void *)0x10001000, "\xc3", 1); /* ret */
#else
  memcpy((void *)0x10001000, "\xc0\x03\x5f\xd6", 4);
  __builtin___clear_cache((char *)0x10001000, (char *)0x10001004);
#endif
  if (argc > 2 && strcmp(argv[2], "thread") == 0) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL)) return 1;
    pthread_join(thread, NULL);
  } else {
    work(NULL);
  }
  return 0;
}
