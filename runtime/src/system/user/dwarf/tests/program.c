/* What the tests of debug information look for. */
#include <stdint.h>

enum color { RED, GREEN = 7 };
enum sign { MINUS = -1, PLUS = 1 };

struct inner {
  short s;
  char name[12];
};

typedef struct {
  int x, y;
} point;

struct outer {
  char tag;
  struct inner in;
  struct outer *next;
  enum color color;
  union {
    int i;
    unsigned char bytes[4];
  };
  int grid[2][3];
  unsigned a : 3;
  unsigned b : 5;
  unsigned long c : 40;
  double d;
  __int128 wide;
  int (*call)(int);
  point where;
};

struct large {
  long words[5];
};

struct mixed {
  double d;
  int n;
};

int scalars(char c, unsigned short u, long l, enum sign s, _Bool b) { return c + u + (int)l + s + b; }
long pointers(const char *text, struct outer *o, void *nothing, int (*call)(int, char *), point *p) {
  return (long)text + (long)o + (long)nothing + (long)call + (long)p;
}
struct large by_value(point p, struct large big, struct mixed m, int last) {
  struct large result = big;
  result.words[0] = p.x + m.n + last;
  return result;
}
double floating(double d, int n, float f, long double l) { return d + n + f + (double)l; }
static __attribute__((noinline)) int hidden(int only) { return only + 1; }

int main(int argc, char **argv) {
  (void)argv;
  return hidden(argc);
}
