// Random operations on a small tree, each with its outcome: two runs with one seed print the same.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>
#include "say.h"

static unsigned long long state;

static unsigned next(unsigned limit) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return (unsigned)(state >> 33) % limit;
}

static const char *name(void) {
  static char names[4][64];
  static int turn;
  static const char *const parts[] = {"a", "b", "c", "d"};
  char *text = names[turn++ & 3];
  int depth = 1 + next(3);
  text[0] = 0;
  for (int i = 0; i < depth; i++) {
    if (i > 0) strcat(text, "/");
    strcat(text, parts[next(4)]);
  }
  return text;
}

enum { FILES = 6 };
static int files[FILES] = {-1, -1, -1, -1, -1, -1};
static unsigned char buffer[70000];

static void on_file(int step) {
  int *fd = &files[next(FILES)];
  if (*fd < 0) {
    static const int flags[] = {O_RDWR | O_CREAT, O_RDONLY, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_TRUNC,
                                O_WRONLY | O_APPEND | O_CREAT};
    const char *path = name();
    *fd = open(path, flags[next(5)], 0644);
    printf("%d open %s: %s\n", step, path, *fd < 0 ? error_name(errno) : "ok");
    return;
  }
  unsigned pos = next(100000), size = next(sizeof buffer);
  long n = 0;
  const char *what = "";
  struct stat st;
  switch (next(7)) {
    case 0:
      what = "close";
      n = close(*fd);
      *fd = -1;
      break;
    case 1:
    case 2:
      what = "pwrite";
      memset(buffer, 'A' + step % 26, size);
      // Appending, WASI says nothing of positions.
      n = lseek(*fd, pos, SEEK_SET) < 0 ? -1 : write(*fd, buffer, size);
      break;
    case 3:
    case 4:
      what = "pread";
      n = pread(*fd, buffer, size, pos);
      if (n > 0) printf("%lu ", checksum(buffer, n));
      break;
    case 5:
      what = "ftruncate";
      n = ftruncate(*fd, pos);
      break;
    case 6:
      what = "fstat";
      n = fstat(*fd, &st);
      if (n == 0) printf("%s %lld ", type_name(st.st_mode), S_ISREG(st.st_mode) ? (long long)st.st_size : 0);
      break;
  }
  printf("%d %s: ", step, what);
  // Which error it is depends on what comes first, the rights of the descriptor or its kind.
  if (n < 0) printf("fails\n");
  else printf("%ld\n", n);
}

static void on_name(int step) {
  const char *path = name(), *other = name();
  const char *what = "";
  int n = 0;
  struct stat st;
  switch (next(9)) {
    case 0:
    case 1:
      what = "mkdir";
      n = mkdir(path, 0755);
      break;
    case 2:
      what = "rmdir";
      n = rmdir(path);
      break;
    case 3:
      what = "unlink";
      n = lstat(path, &st);
      if (n == 0 && S_ISDIR(st.st_mode)) return;
      n = unlink(path);
      break;
    case 4:
    case 5:
      what = "rename";
      n = rename(path, other);
      break;
    case 6:
      what = "symlink";
      n = symlink(other, path);
      break;
    case 7:
      what = "link";
      n = lstat(path, &st);
      // Systems differ about hard links of symlinks.
      if (n == 0 && !S_ISREG(st.st_mode)) return;
      n = link(path, other);
      break;
    case 8:
      what = "lstat";
      n = lstat(path, &st);
      if (n == 0) printf("%s ", type_name(st.st_mode));
      break;
  }
  printf("%d %s %s %s: %s\n", step, what, path, other, n < 0 ? error_name(errno) : "ok");
}

int main(int argc, char **argv) {
  state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  int steps = argc > 2 ? atoi(argv[2]) : 1000;
  for (int i = 0; i < 5; i++) next(2);
  for (int step = 0; step < steps; step++) {
    if (next(2) == 0) on_file(step);
    else on_name(step);
  }
  return 0;
}
