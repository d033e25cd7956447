/* Has variables of known contents, and tells which signals it gets: a target for uaddr and signal. */
#include <signal.h>

unsigned char numbers_byte = 0x11;
unsigned short numbers_short = 0x2222;
unsigned int numbers_int = 0x55555555;
unsigned long numbers_long = 0x123456789abcdef0;

__attribute__((noinline)) void numbers_signalled(int number) { __asm__ volatile("" ::"r"(number)); }
__attribute__((noinline)) void numbers_address(const void *address) { __asm__ volatile("" ::"r"(address)); }
__attribute__((noinline)) unsigned numbers_ready(void) { return numbers_byte + numbers_int; }

int main(void) {
  unsigned char address[16] = {0xde, 0xad, 0xbe, 0xef, 0x01, 0xff, [15] = 1};
  signal(SIGUSR1, numbers_signalled);
  signal(SIGUSR2, numbers_signalled);
  numbers_address(address);
  numbers_ready();
  return 0;
}
