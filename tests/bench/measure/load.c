/* The source of events: calls on one CPU until the time is up; prints how many it made.
 *
 *   load CPU MILLISECONDS [function]     (0 milliseconds: until it is terminated)
 *
 * It calls getppid(), or a function of its own.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

__attribute__((noinline)) void bench_function(void)
{
    __asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: load CPU MILLISECONDS [function]\n");
        return 2;
    }
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(atoi(argv[1]), &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus)) {
        perror("sched_setaffinity");
        return 1;
    }
    long long limit = atoll(argv[2]), start = now_ms();
    unsigned long calls = 0;
    while (!limit || now_ms() - start < limit) {
        for (int i = 0; i < 1000; i++)
            if (argc == 4)
                bench_function();
            else
                syscall(SYS_getppid);
        calls += 1000;
    }
    printf("%lu\n", calls);
    return 0;
}
