// Times: set exactly, left alone, set to now, moved on by changes.
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include "say.h"

static void show(const char *path) {
  struct stat st;
  if (lstat(path, &st) < 0) {
    printf("%s: %s\n", path, error_name(errno));
    return;
  }
  printf("%s: %lld.%06ld %lld.%06ld\n", path, (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec / 1000,
         (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec / 1000);
}

int main(void) {
  struct timespec times[2] = {{1000000000, 123456000}, {1500000000, 654321000}};
  int fd = open("file", O_RDWR | O_CREAT, 0644);
  ok("futimens", futimens(fd, times));
  show("file");
  symlink("file", "link");
  struct timespec others[2] = {{1, 0}, {2, 5000}};
  ok("of the link", utimensat(AT_FDCWD, "link", others, AT_SYMLINK_NOFOLLOW));
  show("file");
  struct timespec omit[2] = {{0, UTIME_OMIT}, {77, 0}};
  ok("one only", utimensat(AT_FDCWD, "link", omit, 0));
  show("file");
  struct stat st;
  time_t clock = time(NULL);
  say("write", write(fd, "x", 1));
  fstat(fd, &st);
  printf("a write %s\n", llabs((long long)clock - st.st_mtim.tv_sec) < 5 ? "moves mtime" : "DOES NOT MOVE mtime");
  close(fd);
  mkdir("dir", 0755);
  ok("of a directory", utimensat(AT_FDCWD, "dir", times, 0));
  show("dir");
  ok("of nothing", utimensat(AT_FDCWD, "missing", times, 0));
  struct timespec bad[2] = {{1, 2000000000}, {1, 0}};
  ok("no nanoseconds", utimensat(AT_FDCWD, "file", bad, 0));
  struct timespec start, end, pause = {0, 20000000};
  clock_gettime(CLOCK_MONOTONIC, &start);
  ok("nanosleep", nanosleep(&pause, NULL));
  clock_gettime(CLOCK_MONOTONIC, &end);
  long long passed = (end.tv_sec - start.tv_sec) * 1000000000ll + end.tv_nsec - start.tv_nsec;
  printf("slept %s\n", passed >= 20000000 && passed < 2000000000 ? "long enough" : "WRONG");
  return 0;
}
