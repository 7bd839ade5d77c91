// Copies a file, then tries to move and to link it to the other place.
#include <fcntl.h>
#include <unistd.h>
#include "say.h"

int main(int argc, char **argv) {
  int from = open(argv[1], O_RDONLY), to = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (ok("from", from) < 0 || ok("to", to) < 0) return 1;
  static char buffer[65536];
  long n, total = 0;
  while ((n = read(from, buffer, sizeof buffer)) > 0) total += write(to, buffer, n);
  printf("%ld bytes\n", total);
  ok("rename", rename(argv[1], argv[2]));
  ok("link", link(argv[2], argv[1]));
  return 0;
}
