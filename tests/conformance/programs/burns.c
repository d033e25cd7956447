/* Keeps a processor busy in one function: a target for profile and software probes.
   burns [MILLISECONDS] */
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static volatile unsigned long sink;

__attribute__((noinline)) void burns_spin(void) {
  for (int i = 0; i < 100000; i++) sink += (unsigned long)i;
}

int main(int argc, char **argv) {
  long wanted = argc > 1 ? atol(argv[1]) : 200;
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    burns_spin();
    char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 65536; i += 4096) page[i] = 1;
    munmap(page, 65536);
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < wanted);
  return 0;
}
