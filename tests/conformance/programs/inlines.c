/* Functions inlined into each other, around a call of one that is not. */
static volatile int count;

__attribute__((noinline)) void inlines_leaf(void)
{
    count++;
}

static inline __attribute__((always_inline)) void inlines_inner(void)
{
    inlines_leaf();
    count++;
}

static inline __attribute__((always_inline)) void inlines_middle(void)
{
    inlines_inner();
    count++;
}

__attribute__((noinline)) void inlines_outer(void)
{
    inlines_middle();
    count++;
}

int main(void)
{
    inlines_outer();
    return 0;
}
