/* The source of events, on one CPU.
 *
 *   load CPU MILLISECONDS [KIND]          calls until the time is up; prints how many (0: until it is terminated)
 *   load CPU MILLISECONDS each KIND...    the same for each kind; prints nanoseconds a call, one figure a line
 *
 * Kinds are below; the first is the default.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A figure is the median of batches: those that something interrupted do not spoil it. */
#define BATCHES_AT_MOST 20000
#define CALLS 100

static long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void call_getppid(void) { syscall(SYS_getppid); }
static void call_getuid(void) { syscall(SYS_getuid); }
static void call_getgid(void) { syscall(SYS_getgid); }

__attribute__((noinline)) void bench_function(void)
{
    /* What a probe replaces is carried out by the kernel; other instructions it steps over, at twenty times the cost. */
    __asm__ volatile("nop" ::: "memory");
}

/* A static tracepoint `bench:hit` without arguments, as <sys/sdt.h> leaves it. */
static void static_tracepoint(void)
{
    __asm__ volatile("990: nop\n"
                     ".pushsection .note.stapsdt,\"\",\"note\"\n"
                     ".balign 4\n"
                     ".4byte 992f - 991f, 994f - 993f, 3\n"
                     "991: .asciz \"stapsdt\"\n"
                     "992: .balign 4\n"
                     "993: .8byte 990b, 0, 0\n"
                     ".asciz \"bench\"\n"
                     ".asciz \"hit\"\n"
                     ".asciz \"\"\n"
                     "994: .balign 4\n"
                     ".popsection\n");
}

volatile long bench_watched;

static void write_watched(void) { bench_watched++; }

static void fault(void)
{
    static char *page;
    if (!page)
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *(volatile char *)page = 1;
    madvise(page, 4096, MADV_DONTNEED);
}

static const struct kind {
    const char *name;
    void (*call)(void);
} kinds[] = {
    {"getppid", call_getppid}, {"getuid", call_getuid},      {"getgid", call_getgid}, {"function", bench_function},
    {"usdt", static_tracepoint}, {"watched", write_watched}, {"fault", fault},
};

static void (*kind(const char *name))(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].name, name))
            return kinds[i].call;
    fprintf(stderr, "load: no kind is called '%s'\n", name);
    exit(2);
}

static int ascending(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static double each(long long milliseconds, void (*call)(void))
{
    static long long batches[BATCHES_AT_MOST];
    int count = 0;
    for (long long begun = now_ns(); count < BATCHES_AT_MOST && now_ns() - begun < milliseconds * 1000000;) {
        long long start = now_ns();
        for (int i = 0; i < CALLS; i++)
            call();
        batches[count++] = now_ns() - start;
    }
    qsort(batches, count, sizeof *batches, ascending);
    return (double)batches[count / 2] / CALLS;
}

static unsigned long until(long long milliseconds, void (*call)(void))
{
    unsigned long calls = 0;
    for (long long start = now_ns(); !milliseconds || now_ns() - start < milliseconds * 1000000; calls += 1000)
        for (int i = 0; i < 1000; i++)
            call();
    return calls;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: load CPU MILLISECONDS [KIND | each KIND...]\n");
        return 2;
    }
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(atoi(argv[1]), &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus)) {
        perror("sched_setaffinity");
        return 1;
    }
    long long milliseconds = atoll(argv[2]);
    if (argc > 3 && !strcmp(argv[3], "each"))
        for (int i = 4; i < argc; i++)
            printf("each: %.2f\n", each(milliseconds, kind(argv[i])));
    else
        printf("%lu\n", until(milliseconds, argc > 3 ? kind(argv[3]) : kinds[0].call));
    return 0;
}
