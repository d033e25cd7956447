/* Calls functions whose arguments and results are known: a target for uprobe and uretprobe.
   calls [TIMES [MICROSECONDS BETWEEN]] */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct point {
  int x;
  short y;
  char name[8];
  unsigned char bytes[4];
  struct point *next;
};

__attribute__((noinline)) int calls_add(int a, int b) { return a + b; }
__attribute__((noinline)) int calls_negative(int n) { return -n; }
__attribute__((noinline)) long calls_six(long a, long b, long c, long d, long e, long f) {
  return a + b + c + d + e + f;
}
__attribute__((noinline)) int calls_greet(const char *name, char *const words[]) {
  return (int)strlen(name) + (words[0] != NULL);
}
__attribute__((noinline)) int calls_point(struct point *p) { return p->x; }
__attribute__((noinline)) int calls_inner(int n) { return n + 1; }
__attribute__((noinline)) int calls_outer(int n) { return calls_inner(n) * 2; }

int main(int argc, char **argv) {
  int times = argc > 1 ? atoi(argv[1]) : 1;
  useconds_t between = argc > 2 ? (useconds_t)atoi(argv[2]) : 0;
  /* On the stack, so that their pages are there when a probe reads them. */
  char name[] = "hello, probe", alpha[] = "alpha", beta[] = "beta", gamma[] = "gamma";
  char *words[] = {alpha, beta, gamma, NULL};
  struct point second = {7, -8, "second", {1, 2, 3, 4}, NULL};
  struct point first = {5, -6, "first", {0xde, 0xad, 0xbe, 0xef}, &second};
  volatile long sink = 0;
  for (int i = 0; i < times; i++) {
    sink += calls_add(i, 40);
    sink += calls_negative(3);
    sink += calls_six(1, 2, 3, 4, 5, 6);
    sink += calls_greet(name, words);
    sink += calls_point(&first);
    sink += calls_outer(20);
    if (between) usleep(between);
  }
  return sink == 42;
}
