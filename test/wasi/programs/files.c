// Files: open flags, positions, vectors, appends, sizes, holes, stdio; errors of each.
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "say.h"

static void positions(void) {
  int fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0644);
  ok("create", fd);
  ok("create again", open("file", O_RDWR | O_CREAT | O_EXCL, 0644));
  say("write", write(fd, "hello, world", 12));
  say("seek to 7", lseek(fd, 7, SEEK_SET));
  char buffer[100] = {0};
  say("read", read(fd, buffer, sizeof buffer));
  printf("%s\n", buffer);
  say("read at the end", read(fd, buffer, sizeof buffer));
  say("pwrite", pwrite(fd, "HELLO", 5, 0));
  say("pread", pread(fd, buffer, 5, 0));
  printf("%.5s\n", buffer);
  say("position", lseek(fd, 0, SEEK_CUR));
  say("from the end", lseek(fd, -3, SEEK_END));
  say("before the start", lseek(fd, -1, SEEK_SET));
  say("behind the end", lseek(fd, 100, SEEK_END));
  say("write there", write(fd, "!", 1));
  struct stat st;
  ok("fstat", fstat(fd, &st));
  printf("%s of %lld\n", type_name(st.st_mode), (long long)st.st_size);
  say("pread the hole", pread(fd, buffer, 50, 20));
  printf("%d %d\n", buffer[0], buffer[49]);
  ok("ftruncate", ftruncate(fd, 5));
  ok("ftruncate below 0", ftruncate(fd, -1));
  say("size", lseek(fd, 0, SEEK_END));
  ok("fsync", fsync(fd));
  ok("fdatasync", fdatasync(fd));
  ok("close", close(fd));
  ok("close again", close(fd));
  say("read closed", read(fd, buffer, 1));
}

static void modes(void) {
  char buffer[10];
  int reader = open("file", O_RDONLY);
  say("write to a reader", write(reader, "x", 1));
  int writer = open("file", O_WRONLY);
  say("read from a writer", read(writer, buffer, 1));
  close(reader);
  close(writer);
  ok("missing", open("missing", O_RDONLY));
  ok("under a file", open("file/x", O_RDONLY));
  ok("as a directory", open("file", O_RDONLY | O_DIRECTORY));
  int fd = open("file", O_RDWR | O_TRUNC);
  say("truncated", lseek(fd, 0, SEEK_END));
  close(fd);
}

static void appends(void) {
  int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  say("append", write(fd, "one\n", 4));
  lseek(fd, 0, SEEK_SET);
  say("append", write(fd, "two\n", 4));
  struct iovec pieces[3] = {{"th", 2}, {"", 0}, {"ree\n", 4}};
  say("append pieces", writev(fd, pieces, 3));
  ok("is appending", fcntl(fd, F_GETFL) & O_APPEND ? 0 : -1);
  ok("append no more", fcntl(fd, F_SETFL, 0));
  lseek(fd, 0, SEEK_SET);
  say("overwrite", write(fd, "ONE", 3));
  close(fd);
  fd = open("log", O_RDONLY);
  char one[5] = {0}, two[100] = {0};
  struct iovec into[2] = {{one, 4}, {two, 99}};
  say("readv", readv(fd, into, 2));
  printf("%s%s", one, two);
  close(fd);
}

static void stdio(void) {
  FILE *file = fopen("text", "w+");
  for (int i = 0; i < 20000; i++) fprintf(file, "line %d\n", i);
  fseek(file, 0, SEEK_SET);
  int count = 0, number;
  while (fscanf(file, "line %d\n", &number) == 1) count += number == count;
  printf("%d lines, %ld bytes\n", count, ftell(file));
  fclose(file);
  ok("remove", remove("text"));
}

static void large(void) {
  size_t size = 5 * 1024 * 1024 + 123;
  unsigned char *bytes = malloc(size);
  for (size_t i = 0; i < size; i++) bytes[i] = i * 7 + (i >> 12);
  int fd = open("large", O_RDWR | O_CREAT, 0644);
  say("write", write(fd, bytes, size));
  unsigned long sum = checksum(bytes, size);
  memset(bytes, 0, size);
  say("read", pread(fd, bytes, size, 0));
  printf("%s\n", sum == checksum(bytes, size) ? "the same" : "DIFFERENT");
  say("across", pread(fd, bytes, 100, 2 * 1024 * 1024 - 50));
  printf("%lu\n", checksum(bytes, 100));
  close(fd);
  free(bytes);
}

static void sparse(void) {
  int fd = open("sparse", O_RDWR | O_CREAT, 0644);
  say("write far", pwrite(fd, "end", 3, 64 * 1024 * 1024));
  struct stat st;
  fstat(fd, &st);
  printf("%lld\n", (long long)st.st_size);
  char buffer[4096];
  say("read", pread(fd, buffer, sizeof buffer, 32 * 1024 * 1024));
  printf("%lu\n", checksum((unsigned char *)buffer, sizeof buffer));
  ok("cut", ftruncate(fd, 1000));
  ok("allocate", posix_fallocate(fd, 0, 5000));
  fstat(fd, &st);
  printf("%lld\n", (long long)st.st_size);
  close(fd);
}

int main(void) {
  positions();
  modes();
  appends();
  stdio();
  large();
  sparse();
  return 7;
}
