/* Functions without frame pointers: their frames are found by unwinding tables only.
   frameless [ROUNDS [MILLISECONDS that it stays afterwards]] */
#include <stdlib.h>
#include <unistd.h>

#define FRAMELESS __attribute__((noinline, optimize("O2", "omit-frame-pointer", "no-optimize-sibling-calls")))

static volatile int sink;

FRAMELESS void frameless_leaf(int value)
{
    sink += value;
}

FRAMELESS void frameless_middle(int value)
{
    volatile char room[200];
    room[value & 63] = 1;
    frameless_leaf(value);
    sink += room[3];
}

/* By way of the C library. */
FRAMELESS int frameless_compare(const void *left, const void *right)
{
    frameless_middle(*(const int *)left);
    return *(const int *)left - *(const int *)right;
}

FRAMELESS void frameless_outer(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        int numbers[] = { 2, 1 };
        frameless_middle(i);
        qsort(numbers, 2, sizeof(int), frameless_compare);
    }
    sink++;
}

int main(int argc, char **argv)
{
    frameless_outer(argc > 1 ? atoi(argv[1]) : 1);
    if (argc > 2)
        usleep(atoi(argv[2]) * 1000);
    return 0;
}
