/* Calls functions with arguments of many types, whose values are known: a target for scripts that take
   types from debug information. typed */
#include <stdlib.h>
#include <string.h>

enum mood { CALM, EAGER = 5 };

struct bits {
  unsigned low : 4;
  unsigned high : 12;
  unsigned long wide : 40;
};

struct part {
  short number;
  char name[8];
};

struct whole {
  char tag;
  struct part first;
  struct part list[2];
  struct whole *next;
  struct bits bits;
  union {
    int all;
    unsigned char bytes[4];
  };
  enum mood mood;
};

typedef struct {
  int x, y;
} pair;

struct large {
  long words[4];
};

struct two {
  long a;
  int b;
};

__attribute__((noinline)) int typed_scalars(char c, short s, unsigned u, long l, _Bool yes, enum mood mood) {
  return c + s + (int)u + (int)l + yes + mood;
}
__attribute__((noinline)) int typed_pointers(struct whole *it, const char *text, int *number, void *nothing) {
  return it->tag + text[0] + *number + (nothing != NULL);
}
__attribute__((noinline)) long typed_many(int a, int b, int c, int d, int e, int f, int g, char h, long i) {
  return a + b + c + d + e + f + g + h + i;
}
__attribute__((noinline)) long typed_values(pair p, struct two t, struct large big, int last) {
  return p.x + p.y + t.a + t.b + big.words[3] + last;
}
__attribute__((noinline)) double typed_floats(double d, int n, float f) { return d + n + f; }
__attribute__((noinline)) struct large typed_returns(int n) {
  struct large result = {{n, n, n, n}};
  return result;
}

int main(void) {
  char text[] = "text";
  int number = -13;
  struct whole second, first;
  memset(&first, 0, sizeof first);
  memset(&second, 0, sizeof second);
  second.tag = 'S';
  second.mood = EAGER;
  first.tag = 'F';
  first.first.number = -2;
  strcpy(first.first.name, "part");
  first.list[1].number = 77;
  first.next = &second;
  first.bits.low = 9;
  first.bits.high = 0xabc;
  first.bits.wide = 0x1234567890;
  first.all = 0x04030201;
  pair p = {3, -4};
  struct two t = {5000000000, -6};
  struct large big = {{1, 2, 3, 4}};
  long sum = typed_scalars('x', -300, 4000000000u, -5, 1, EAGER);
  sum += typed_pointers(&first, text, &number, NULL);
  sum += typed_many(1, 2, 3, 4, 5, 6, -7, 'h', 900000000000);
  sum += typed_values(p, t, big, 42);
  sum += (long)typed_floats(1.5, 7, 2.5f);
  sum += typed_returns(11).words[0];
  return sum == 42;
}
