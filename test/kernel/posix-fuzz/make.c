/* Operations from a seed: few names, so that they meet; few users, so that they are in each other's way. */
#include "fuzz.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(array) (array[below(COUNT(array))])

const struct user USERS[] = {
    {0, 0, 0, {0}}, {1001, 1001, 0, {0}}, {1002, 1002, 1, {1001}}, {1003, 1001, 2, {1002, 1003}}};
const int USER_COUNT = COUNT(USERS);

const char *const KIND_NAMES[KINDS] = {
    "open", "open(O_TMPFILE)", "close", "mkdir", "mknod", "symlink", "linkat", "unlink", "rmdir", "renameat2",
    "fchmodat", "fchownat", "truncate", "utimensat", "faccessat", "fstatat", "readlink", "list", "getxattr", "setxattr",
    "listxattr", "removexattr", "set list", "read file", "write", "read", "pwrite", "pread", "ftruncate", "fallocate",
    "fchmod", "fchown", "futimens", "lseek", "copy_file_range", "linkat(AT_EMPTY_PATH)", "fsetxattr", "fgetxattr",
    "getdents", "fsync"};

static const int WEIGHTS[KINDS] = {26, 2, 2, 13, 6, 6, 7, 4, 4, 10, 9, 9, 4, 6, 4, 2, 2, 3, 2, 3,
                                   1,  1, 5, 3, 5,  2, 3, 2, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 2, 1};

static const int OPEN_FLAGS[] = {
    O_CREAT, O_CREAT, O_CREAT, O_CREAT, O_CREAT, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_CREAT | O_TRUNC, O_NOFOLLOW,
    O_DIRECTORY, O_PATH, O_PATH | O_NOFOLLOW, O_APPEND, O_CREAT | O_APPEND, O_NOATIME, O_CREAT | O_DIRECTORY,
    O_CREAT | O_NOFOLLOW, O_SYNC, 0, 0};
static const long SIZES[] = {0, 1, 100, 4095, 4096, 4097, 10000, 70000};
static const long FAR[] = {-1, 1L << 31, 1L << 40};
static const int MODES[] = {0, 0777, 0777, 0777, 0666, 0666, 0755, 0700, 0644, 0600, 0666, 01777, 02777, 04755,
                            06755, 02755, 02644, 0444, 0070, 0007, 07777, 06711, 0311, 0555};
static const int MASKS[] = {0, 022, 077, 027};
static const int IDS[] = {-1, -1, 0, 1001, 1002, 1003};
static const int RENAME_FLAGS[] = {0, 0, 0, 0, 1, 2, 3, 8};
static const int ALLOCATE_MODES[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_PUNCH_HOLE};
static const int TYPES[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, 0, S_IFDIR, S_IFLNK};
static const int DEVICES[] = {0, 0x103, 0x105, 0xfff01};
static const long NANOSECONDS[] = {0, 1, 999999999, 123456789, UTIME_NOW, UTIME_NOW, UTIME_OMIT, UTIME_OMIT,
                                   1000000000};
static const char *const NAMES[] = {"a", "b", "c", "d", "e"};
static const char *const TARGETS[] = {"a", "b", "c", "../a", "a/b", "b/", ".", "..", "gone", "a/../b",
                                      "/nowhere", "c/a"};

static uint64_t state;

static uint64_t next(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t below(uint64_t bound) {
  return next() % bound;
}

static int once_in(int count) {
  return below(count) == 0;
}

static void make_name(char *path) {
  char *end = path + strlen(path);
  int rare = below(150);
  if (rare == 0) memset(end, 'n', 255), end[255] = 0;
  else if (rare == 1) memset(end, 'n', 256), end[256] = 0;
  else if (rare == 2) strcpy(end, "\xff\xfe");
  else if (rare == 3) strcpy(end, ".");
  else if (rare == 4) strcpy(end, "..");
  else strcpy(end, PICK(NAMES));
}

static void make_path(char *path) {
  *path = 0;
  if (once_in(150)) {
    int size = once_in(2) ? 4095 : 4096;
    for (int i = 0; i + 1 < size; i++) path[i] = i % 2 ? '/' : '.';
    path[size - 2] = '/';
    strcpy(path + size - 1, "a");
    return;
  }
  if (once_in(250)) return;
  static const int DEPTHS[] = {1, 1, 1, 1, 1, 2, 2, 2, 3};
  int depth = PICK(DEPTHS);
  for (int i = 0; i < depth; i++) {
    if (i > 0) strcat(path, once_in(30) ? "//" : "/");
    make_name(path);
  }
  if (once_in(30)) strcat(path, "/");
  if (once_in(100)) strcat(path, "/.");
}

static long make_size(void) {
  return once_in(25) ? PICK(FAR) : PICK(SIZES);
}

static void make_target(char *into) {
  if (once_in(40)) {
    int size = once_in(2) ? 4095 : 4096;
    memset(into, 't', size);
    into[size] = 0;
  } else strcpy(into, once_in(60) ? "" : PICK(TARGETS));
}

static void make_arguments(struct op *op) {
  switch (op->kind) {
    case OPEN:
      op->flags = PICK(OPEN_FLAGS) | (once_in(2) ? O_RDWR : below(3)) | (once_in(8) ? PICK(OPEN_FLAGS) : 0);
      break;
    case OPEN_TMPFILE:
      op->flags = O_TMPFILE | (once_in(5) ? O_RDONLY : O_RDWR) | (once_in(4) ? O_EXCL : 0);
      break;
    case MKNOD:
      op->a |= PICK(TYPES);
      op->b = PICK(DEVICES);
      break;
    case SYMLINK:
      make_target(op->path2);
      break;
    case LINK:
      op->flags = once_in(3) ? AT_SYMLINK_FOLLOW : 0;
      break;
    case RENAME:
      op->flags = PICK(RENAME_FLAGS);
      break;
    case CHOWN: case UTIMES: case CHMOD: case STAT: case F_CHOWN:
      op->flags = once_in(3) ? AT_SYMLINK_NOFOLLOW : 0;
      if (op->kind == CHOWN || op->kind == F_CHOWN) op->a = PICK(IDS), op->b = PICK(IDS);
      break;
    case ACCESS:
      op->a = below(8);
      op->flags = (once_in(2) ? AT_EACCESS : 0) | (once_in(4) ? AT_SYMLINK_NOFOLLOW : 0);
      break;
    case F_ALLOCATE:
      op->flags = PICK(ALLOCATE_MODES);
      break;
    case F_SEEK:
      op->flags = below(5);
      break;
    case SET_ACL:
      /* Which list; which of its entries; their permissions. */
      op->flags = once_in(2);
      op->b = below(32);
      op->c = below(1 << 15);
      break;
    case SET_XATTR: case F_SET_XATTR:
      op->flags = once_in(3) ? XATTR_CREATE : once_in(3) ? XATTR_REPLACE : 0;
      break;
    default:
      break;
  }
}

void make_op(struct op *op, uint64_t seed, long index) {
  memset(op, 0, sizeof *op);
  state = seed * 0x2545f4914f6cdd1du + index * 0x9e3779b97f4a7c15u;
  next();
  int sum = 0;
  for (int i = 0; i < KINDS; i++) sum += WEIGHTS[i];
  int at = below(sum);
  while (at >= WEIGHTS[op->kind]) at -= WEIGHTS[op->kind++];
  op->user = once_in(2) ? 0 : below(USER_COUNT);
  op->slot = below(SLOTS);
  op->other = below(SLOTS);
  op->mask = PICK(MASKS);
  op->is_slow = once_in(4);
  op->limit = once_in(25) ? 8192 : 0;
  op->a = once_in(4) ? (long)below(010000) : PICK(MODES);
  op->b = make_size();
  op->c = make_size();
  for (int i = 0; i < 2; i++) {
    op->times[i].tv_sec = once_in(20) ? -1000 : 1000000000 + (long)below(1000);
    op->times[i].tv_nsec = PICK(NANOSECONDS);
  }
  if (once_in(5)) op->times[0].tv_nsec = op->times[1].tv_nsec = UTIME_NOW;
  make_path(op->path);
  make_path(op->path2);
  make_arguments(op);
}

static void add_text(char *into, size_t room, const char *text) {
  size_t at = strlen(into);
  if (strlen(text) > 40) snprintf(into + at, room - at, " \"%.10s...\"[%zu]", text, strlen(text));
  else snprintf(into + at, room - at, " \"%s\"", text);
}

void describe_op(const struct op *op, char *into, size_t room) {
  const struct user *user = &USERS[op->user];
  snprintf(into, room, "uid %d: %s", user->uid, KIND_NAMES[op->kind]);
  if (op->kind == OPEN || op->kind == OPEN_TMPFILE || op->kind == CLOSE || op->kind >= F_WRITE) {
    snprintf(into + strlen(into), room - strlen(into), " slot %d", op->slot);
  }
  if (op->kind == F_COPY) snprintf(into + strlen(into), room - strlen(into), " from slot %d", op->other);
  if (op->kind < F_WRITE && op->kind != CLOSE) add_text(into, room, op->path);
  if (op->kind == SYMLINK || op->kind == LINK || op->kind == RENAME || op->kind == F_LINK) {
    add_text(into, room, op->path2);
  }
  snprintf(into + strlen(into), room - strlen(into), " flags 0%o a 0%lo b %ld c %ld umask %o%s", op->flags, op->a,
           op->b, op->c, op->mask, op->limit ? " limited" : "");
  if (op->kind != UTIMES && op->kind != F_UTIMES) return;
  for (int i = 0; i < 2; i++) {
    long nsec = op->times[i].tv_nsec;
    const char *word = nsec == UTIME_NOW ? "now" : nsec == UTIME_OMIT ? "omit" : "";
    snprintf(into + strlen(into), room - strlen(into), " %ld.%09ld%s", (long)op->times[i].tv_sec, nsec, word);
  }
}
