// mmap as wasi-libc emulates it: read into memory, written back by munmap and msync.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "say.h"

int main(void) {
  size_t size = 300000;
  int fd = open("mapped", O_RDWR | O_CREAT, 0644);
  for (size_t i = 0; i < size; i += 8) {
    char text[9];
    snprintf(text, sizeof text, "%08zu", i);
    write(fd, text, 8);
  }
  unsigned char *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  printf("%s\n", bytes == MAP_FAILED ? error_name(errno) : "mapped");
  printf("%lu %.8s\n", checksum(bytes, size), bytes + 65536);
  ok("munmap", munmap(bytes, size));
  bytes = mmap(NULL, 5000, PROT_READ, MAP_PRIVATE, fd, 65536);
  printf("%s\n", bytes == MAP_FAILED ? error_name(errno) : "mapped at 65536");
  printf("%.8s\n", bytes + 8);
  munmap(bytes, 5000);
  unsigned char *none = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("%lu\n", checksum(none, 65536));
  munmap(none, 65536);
  close(fd);
  return 0;
}
