// Names: rename over everything, hard links, symlinks and their errors.
#include <fcntl.h>
#include <unistd.h>
#include "say.h"

static void put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) printf("put %s: %s\n", path, error_name(errno));
  close(fd);
}

static void get(const char *path) {
  char text[100];
  int fd = open(path, O_RDONLY);
  long size = fd < 0 ? -1 : read(fd, text, sizeof text);
  if (size < 0) printf("%s: %s\n", path, error_name(errno));
  else printf("%s: %.*s\n", path, (int)size, text);
  close(fd);
}

static void info(const char *path) {
  struct stat st;
  if (lstat(path, &st) < 0) printf("%s: %s\n", path, error_name(errno));
  else if (S_ISDIR(st.st_mode)) printf("%s: directory\n", path);
  else printf("%s: %s, %d names, %lld bytes\n", path, type_name(st.st_mode), (int)st.st_nlink, (long long)st.st_size);
}

static void renames(void) {
  put("a", "first");
  put("b", "second");
  mkdir("dir", 0755);
  mkdir("full", 0755);
  put("full/x", "x");
  ok("rename", rename("a", "c"));
  get("a");
  get("c");
  ok("rename over", rename("b", "c"));
  get("c");
  ok("rename missing", rename("missing", "z"));
  ok("file over directory", rename("c", "dir"));
  ok("directory over file", rename("dir", "c"));
  ok("directory over directory", rename("full", "dir"));
  get("dir/x");
  mkdir("empty", 0755);
  ok("over a full one", rename("empty", "dir"));
  ok("into itself", rename("dir", "dir/sub"));
  ok("to itself", rename("c", "c"));
  ok("into a directory", rename("c", "empty/c"));
  get("empty/c");
  int open_file = open("empty/c", O_RDONLY);
  put("new", "newer");
  ok("over an open file", rename("new", "empty/c"));
  char text[100] = {0};
  say("read the old one", read(open_file, text, sizeof text));
  printf("%s\n", text);
  struct stat st;
  fstat(open_file, &st);
  printf("%d names\n", (int)st.st_nlink);
  close(open_file);
}

static void links(void) {
  put("one", "shared");
  ok("link", link("one", "two"));
  ok("link again", link("one", "two"));
  ok("link a directory", link("dir", "dirlink") < 0 ? -1 : 0);
  ok("link missing", link("missing", "x"));
  info("one");
  put("two", "changed");
  get("one");
  ok("unlink", unlink("one"));
  info("two");
  ok("unlink a directory", unlink("dir") < 0 ? -1 : 0);
  int fd = open("two", O_RDWR);
  ok("unlink open", unlink("two"));
  say("write to it", pwrite(fd, "gone", 4, 0));
  char text[100] = {0};
  say("read it", pread(fd, text, sizeof text, 0));
  printf("%s\n", text);
  close(fd);
  info("two");
}

static void symlinks(void) {
  char text[100];
  put("target", "through");
  ok("symlink", symlink("target", "sym"));
  get("sym");
  info("sym");
  long size = say("readlink", readlink("sym", text, sizeof text));
  printf("%.*s\n", (int)size, text);
  ok("symlink again", symlink("target", "sym"));
  ok("readlink of a file", readlink("target", text, sizeof text));
  ok("dangling", symlink("nowhere", "dangling"));
  get("dangling");
  int fd = open("dangling", O_WRONLY | O_CREAT, 0644);
  say("create through it", write(fd, "made", 4));
  close(fd);
  get("nowhere");
  ok("no follow", open("sym", O_RDONLY | O_NOFOLLOW));
  symlink("loop2", "loop1");
  symlink("loop1", "loop2");
  get("loop1");
  ok("empty target", symlink("", "x"));
  mkdir("deep", 0755);
  mkdir("deep/er", 0755);
  symlink("../../target", "deep/er/up");
  get("deep/er/up");
  symlink("deep/er", "short");
  get("short/up");
  get("deep/../target");
  get("deep/er/../../target");
  get("target/");
  get("target/.");
  ok("rename a symlink", rename("sym", "sym2"));
  info("sym2");
  info("target");
  ok("unlink a symlink", unlink("sym2"));
  info("target");
}

int main(void) {
  renames();
  links();
  symlinks();
  return 3;
}
