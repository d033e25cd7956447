/* Static tracepoints as <sys/sdt.h> leaves them, with arguments in every kind of place: registers,
 * memory, constants, an element of an array, a variable; one in two places, one with a semaphore. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORD(text) "        .8byte " text "\n"
/* A note of owner "stapsdt", kind 3: where, where .stapsdt.base was, the semaphore, three texts. */
#define PROBE(name, semaphore, arguments, ...)                                                                        \
    __asm__ __volatile__("990:    nop\n"                                                                                 \
                         "        .pushsection .note.stapsdt, \"?\", \"note\"\n"                                      \
                         "        .balign 4\n"                                                                        \
                         "        .4byte 992f-991f, 994f-993f, 3\n"                                                   \
                         "991:    .asciz \"stapsdt\"\n"                                                               \
                         "992:    .balign 4\n"                                                                        \
                         "993:\n" WORD("990b") WORD("_.stapsdt.base") WORD(semaphore)                                 \
                         "        .asciz \"statics\"\n"                                                               \
                         "        .asciz \"" name "\"\n"                                                              \
                         "        .asciz \"" arguments "\"\n"                                                         \
                         "994:    .balign 4\n"                                                                        \
                         "        .popsection\n"                                                                      \
                         "        .ifndef _.stapsdt.base\n"                                                           \
                         "        .pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n"          \
                         "        .weak _.stapsdt.base\n"                                                             \
                         "        .hidden _.stapsdt.base\n"                                                           \
                         "_.stapsdt.base:\n"                                                                          \
                         "        .space 1\n"                                                                         \
                         "        .size _.stapsdt.base, 1\n"                                                          \
                         "        .popsection\n"                                                                      \
                         "        .endif\n" ::__VA_ARGS__)

__attribute__((used, section(".probes"))) volatile uint16_t statics_semaphore;
volatile int64_t statics_counter = 77;
static volatile int64_t numbers[4] = { 10, 20, 30, 40 };

static void kinds(int8_t narrow, uint32_t wide)
{
    PROBE("registers", "0", "-1@%0 4@%1", "r"(narrow), "r"(wide));
    PROBE("memory", "0", "-8@%0 -4@%1", "m"(numbers[2]), "m"(numbers[3]));
    PROBE("constants", "0", "-4@%0 8@%1", "i"(-5), "i"(6));
#if defined(__x86_64__)
    PROBE("indexed", "0", "-8@(%0,%1,8) -8@8(%0,%1,8) -8@statics_counter(%%rip)", "r"(numbers), "r"((int64_t)1));
#endif
}

static void places(int64_t value)
{
    PROBE("places", "0", "-8@%0", "r"(value));
    PROBE("places", "0", "-4@%0", "i"(2));
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    for (int i = 0; i < rounds; i++) {
        kinds(-3, 4000000000u);
        places(1);
        if (statics_semaphore)
            PROBE("guarded", "statics_semaphore", "-4@%0", "i"(9));
        if (argc > 2)
            usleep(atoi(argv[2]) * 1000);
    }
    return 0;
}
