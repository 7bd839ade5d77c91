// Writes a file, says so, and stays until it is ended: computing, asleep, or waiting for input.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include "say.h"

int main(int argc, char **argv) {
  int fd = open("/left", O_RDWR | O_CREAT | O_TRUNC, 0644);
  char page[4096];
  memset(page, 'x', sizeof page);
  write(fd, page, sizeof page);
  // Inside the file: by the window, which nobody but the host writes back.
  pwrite(fd, "left by", 7, 0);
  printf("staying\n");
  fflush(stdout);
  volatile unsigned long count = 0;
  if (strcmp(argv[1], "computes") == 0) for (;;) count++;
  if (strcmp(argv[1], "sleeps") == 0) sleep(1000);
  if (strcmp(argv[1], "reads") == 0) read(0, page, 1);
  return 1;
}
