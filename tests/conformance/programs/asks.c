/* Makes the same system calls a known number of times: a target for tracepoints.
   asks [TIMES] */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int times = argc > 1 ? atoi(argv[1]) : 1;
  for (int i = 0; i < times; i++) {
    syscall(SYS_getppid);
    int fd = open("/etc/hostname", O_RDONLY);
    char bytes[4];
    if (fd >= 0 && read(fd, bytes, sizeof bytes) >= 0) close(fd);
    open("/no/such/file", O_RDONLY);
  }
  return 0;
}
