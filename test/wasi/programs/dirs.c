// Directories: made, listed, listed again from a place, changed while listed, removed.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>
#include "say.h"

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
  DIR *dir = opendir(path);
  if (dir == NULL) {
    printf("%s: %s\n", path, error_name(errno));
    return;
  }
  static char *names[5000];
  int count = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    char text[400];
    snprintf(text, sizeof text, "%s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : entry->d_type == DT_LNK ? "@" : "");
    names[count++] = strdup(text);
  }
  closedir(dir);
  qsort(names, count, sizeof *names, compare);
  printf("%s has %d:", path, count);
  for (int i = 0; i < count; i++) {
    if (i < 8 || i >= count - 2) printf(" %s", names[i]);
    free(names[i]);
  }
  printf("\n");
}

static void again(void) {
  DIR *dir = opendir("many");
  static char names[300][256];
  int count = 0;
  long place = 0;
  for (struct dirent *entry; count < 300 && (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    snprintf(names[count++], 256, "%s", entry->d_name);
    if (count == 100) place = telldir(dir);
  }
  int same = 0;
  seekdir(dir, place);
  for (int i = 100; i < 300; i++) same += strcmp(readdir(dir)->d_name, names[i]) == 0;
  printf("after seekdir %d are the same\n", same);
  rewinddir(dir);
  int total = 0;
  while (readdir(dir) != NULL) total++;
  printf("after rewinddir %s\n", total >= 2000 ? "all" : "TOO FEW");
  closedir(dir);
}

static void empty_while_listing(void) {
  DIR *dir = opendir("many");
  int removed = 0;
  char path[400];
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "many/%s", entry->d_name);
    if (unlink(path) == 0) removed++;
  }
  closedir(dir);
  // POSIX does not say whether all of them were seen: what is left goes in more rounds.
  for (int left = 1; left > 0;) {
    left = 0;
    dir = opendir("many");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
      if (entry->d_name[0] == '.') continue;
      snprintf(path, sizeof path, "many/%s", entry->d_name);
      left++;
      removed += unlink(path) == 0;
    }
    closedir(dir);
  }
  printf("removed %d\n", removed);
}

int main(void) {
  ok("mkdir", mkdir("d", 0755));
  ok("mkdir again", mkdir("d", 0755));
  ok("mkdir below nothing", mkdir("x/y", 0755));
  ok("mkdir below", mkdir("d/e", 0755));
  ok("mkdir with a slash", mkdir("d/f/", 0755));
  int dir = open("d", O_RDONLY | O_DIRECTORY);
  int fd = openat(dir, "e/file", O_WRONLY | O_CREAT, 0644);
  say("write", write(fd, "x", 1));
  close(fd);
  ok("symlink", symlinkat("e", dir, "link"));
  list("d");
  list("d/e");
  list("d/link");
  list("missing");
  list("d/e/file");
  struct stat st;
  ok("fstatat", fstatat(dir, "link", &st, 0));
  printf("%s\n", type_name(st.st_mode));
  ok("fstatat no follow", fstatat(dir, "link", &st, AT_SYMLINK_NOFOLLOW));
  printf("%s\n", type_name(st.st_mode));
  ok("rmdir full", rmdir("d/e"));
  ok("rmdir file", rmdir("d/e/file"));
  ok("unlinkat", unlinkat(dir, "e/file", 0));
  ok("unlinkat dir", unlinkat(dir, "e", AT_REMOVEDIR));
  ok("rmdir missing", rmdir("d/e"));
  ok("dangling", fstatat(dir, "link", &st, 0));
  char byte;
  printf("read a directory: %s\n", read(dir, &byte, 1) < 0 ? "fails" : "WORKS");
  ok("write to a directory", open("d", O_WRONLY));
  close(dir);

  mkdir("many", 0755);
  char path[300];
  for (int i = 0; i < 2000; i++) {
    // Names of all lengths, so that entries end anywhere in a buffer.
    int size = snprintf(path, sizeof path, "many/%d-", i);
    memset(path + size, 'a' + i % 26, i % 200);
    path[size + i % 200] = 0;
    close(open(path, O_WRONLY | O_CREAT, 0644));
  }
  list("many");
  again();
  empty_while_listing();
  ok("rmdir", rmdir("many"));
  memset(path, 'n', sizeof path);
  path[256] = 0;
  ok("long name", mkdir(path, 0755));
  path[255] = 0;
  ok("longest name", mkdir(path, 0755));
  ok("rmdir", rmdir(path));
  return 0;
}
