/* Calls a function with structures whose contents are known: a target for scripts that define the
   same types. structs */
#include <stdlib.h>
#include <string.h>

enum color { RED, GREEN = 7, BLUE };

struct inner {
  short s;
  char name[12];
  struct {
    int u;
    int v;
  } uv;
};

struct flags {
  unsigned a : 3;
  unsigned b : 5;
  unsigned long c : 40;
  _Bool d : 1;
};

struct tight {
  char x;
  unsigned long a : 60;
  int y;
  char text[8];
} __attribute__((packed));

struct outer {
  char tag;
  struct inner in;
  struct outer *next;
  enum color color;
  union {
    int i;
    unsigned char bytes[4];
  };
  struct inner list[3];
  int grid[2][3];
  struct flags flags;
  struct tight tight;
  int (*call)(int);
  double d;
  int n;
  int tail[];
};

__attribute__((noinline)) int structs_take(struct outer *o, struct outer **to, struct inner *list) {
  return o->tag + (*to)->n + list->s;
}

int main(void) {
  struct outer *a = calloc(1, sizeof *a + 2 * sizeof(int)), *b = calloc(1, sizeof *b);
  if (!a || !b) return 2;
  a->tag = 'T';
  a->in = (struct inner){-2, "inner-name", {11, -12}};
  a->next = b;
  a->color = GREEN;
  a->bytes[0] = 1, a->bytes[1] = 2;
  for (int i = 0; i < 3; i++) {
    a->list[i] = (struct inner){(short)(i + 1), "", {100 * i, i}};
    a->list[i].name[0] = (char)('a' + i);
    a->grid[0][i] = i, a->grid[1][i] = 10 + i;
  }
  a->flags = (struct flags){5, 17, 0xabcdef1234, 1};
  a->tight = (struct tight){'x', 0x123456789abcdefUL, -77, "tight"};
  a->n = 3;
  a->tail[0] = 40, a->tail[1] = 41;
  b->n = 99;
  b->in.s = 9;
  b->color = BLUE;
  b->next = a;
  return structs_take(a, &b, a->list) == 1;
}
