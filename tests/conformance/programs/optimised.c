// cc: -O2
/* Functions that an optimising compiler changes, because it knows all that call them. */
#include <stdlib.h>

struct three { long a, b, c; };
struct pair { int x; long y; };

#define KEPT __attribute__((noinline))
#define OPAQUE __asm__ volatile("" ::: "memory")

/* The second parameter is the same in all calls. */
static KEPT long optimised_scaled(long v, long k, long w) { OPAQUE; return v * k + w; }

/* Of the first parameter only one member is needed. */
static KEPT long optimised_member(struct three *p, long w) { OPAQUE; return p->b + w; }

/* The first parameter is not needed. */
static KEPT long optimised_gone(long gone, long kept) { OPAQUE; return kept * 3; }

/* Anybody may call this one: nothing moves. */
KEPT long optimised_external(long ignored, long used, double f, struct pair p, struct three t, int last) {
  OPAQUE;
  return used + (long)f + p.x + p.y + t.c + last;
}

int main(int argc, char **argv) {
  (void)argv;
  struct three t = {argc, 42, 43};
  struct pair p = {-1, 2};
  long sum = optimised_scaled(argc + 10, 7, 5) + optimised_scaled(argc + 20, 7, 6);
  sum += optimised_member(&t, 9);
  t.b = 44;
  sum += optimised_member(&t, 10) + optimised_gone(argc, 77) + optimised_gone(argc + 1, 78);
  sum += optimised_external(argc, 22, 3.0, p, t, 66);
  return sum == 0;
}
