/* Says what system calls answer: a target for override().
   answers FILE... */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int session = getsid(0), group = getpgid(0);
  printf("session %d, group %d\n", session, group);
  for (int i = 1; i < argc; i++) {
    int fd = open(argv[i], O_RDONLY);
    printf("%s: %s\n", argv[i], fd >= 0 ? "opened" : strerror(errno));
  }
  return 0;
}
