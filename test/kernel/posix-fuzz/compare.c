/* What must be the same on both sides; where the sides may differ is said in each "Known:", here and in main.c. */
#include "fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Times before this were set, not taken from a clock. */
enum { SET_BEFORE = 1500000000, OBJECTS = 8, INODES = 600, DEPTH_MAX = 12, DATA_ROOM = 1 << 18 };
enum { ATIME = 1, MTIME = 2, CTIME = 4, SAME = 8 };

struct sight {
  int error;
  struct statx at;
};

static struct sight before[OBJECTS][SIDES], after[OBJECTS][SIDES];
static const char *const OBJECT_NAMES[OBJECTS] = {"path", "path followed", "its directory", "second path",
                                                  "its directory", "slot", "other slot", "root"};

void complain(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("  ");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
}

static void look(int fd, const char *path, int flags, struct sight *sight) {
  int done = syscall(SYS_statx, fd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &sight->at);
  sight->error = done == 0 ? 0 : errno;
}

static void directory_of(const char *path, char *into) {
  strcpy(into, path);
  size_t size = strlen(into);
  while (size > 0 && into[size - 1] == '/') size--;
  while (size > 0 && into[size - 1] != '/') size--;
  into[size] = 0;
  if (size == 0) strcpy(into, ".");
}

static void look_all(const struct op *op, struct sight sights[OBJECTS][SIDES], const int roots[SIDES]) {
  static char directory[PATH_ROOM], directory2[PATH_ROOM];
  directory_of(op->path, directory);
  directory_of(op->path2, directory2);
  for (int side = 0; side < SIDES; side++) {
    int root = roots[side];
    enter(root);
    look(root, op->path, AT_SYMLINK_NOFOLLOW, &sights[0][side]);
    look(root, op->path, 0, &sights[1][side]);
    look(root, directory, 0, &sights[2][side]);
    look(root, op->path2, AT_SYMLINK_NOFOLLOW, &sights[3][side]);
    look(root, directory2, 0, &sights[4][side]);
    look(slot_fd(op->slot, side), "", AT_EMPTY_PATH, &sights[5][side]);
    look(slot_fd(op->other, side), "", AT_EMPTY_PATH, &sights[6][side]);
    look(root, ".", 0, &sights[7][side]);
    leave();
  }
}

void look_before(const struct op *op, const int roots[SIDES]) {
  look_all(op, before, roots);
}

static int64_t nanoseconds(struct statx_timestamp time) {
  return time.tv_sec * 1000000000 + time.tv_nsec;
}

static int is_chosen(struct statx_timestamp time) {
  return time.tv_sec < SET_BEFORE;
}

/* Known: node:fs sets microseconds, before 1970 milliseconds. */
static int is_same_time(struct statx_timestamp reference, struct statx_timestamp tested) {
  int64_t unit = features.nanoseconds ? 1 : reference.tv_sec < 0 ? 1000000 : 1000;
  int64_t difference = nanoseconds(reference) - nanoseconds(tested);
  return difference > -unit && difference < unit;
}

#define CHECK(field, format)                                                                           \
  if (one->field != two->field) {                                                                      \
    complain("%s: " #field " is " format ", should be " format, name, two->field, one->field); \
    bad = 1;                                                                                           \
  }

static int compare_attributes(const char *name, const struct statx *one, const struct statx *two) {
  int bad = 0;
  CHECK(stx_mode, "%o");
  CHECK(stx_nlink, "%u");
  CHECK(stx_uid, "%u");
  CHECK(stx_gid, "%u");
  CHECK(stx_rdev_major, "%u");
  CHECK(stx_rdev_minor, "%u");
  /* Known: what a directory's size counts is each file system's own. Blocks likewise. */
  if (!S_ISDIR(one->stx_mode)) CHECK(stx_size, "%llu");
  if (is_chosen(one->stx_mtime) != is_chosen(two->stx_mtime) ||
      (is_chosen(one->stx_mtime) && !is_same_time(one->stx_mtime, two->stx_mtime))) {
    complain("%s: mtime is %lld.%09u, should be %lld.%09u", name, two->stx_mtime.tv_sec, two->stx_mtime.tv_nsec,
             one->stx_mtime.tv_sec, one->stx_mtime.tv_nsec);
    bad = 1;
  }
  if ((two->stx_mask & STATX_BTIME) == 0) complain("%s: no birth time", name), bad = 1;
  return bad;
}

static int is_reading(const struct op *op) {
  return op->kind == READ_FILE || op->kind == F_READ || op->kind == F_PREAD || op->kind == LIST || op->kind == F_LIST ||
         op->kind == READLINK || op->kind == F_COPY;
}

/* Which times moved between two sights of one inode; whether it is one. */
static int moves(const struct sight *old, const struct sight *new) {
  if (old->error != 0 || new->error != 0 || old->at.stx_ino != new->at.stx_ino) return 0;
  int bits = SAME;
  if (!is_same_time(old->at.stx_atime, new->at.stx_atime)) bits |= ATIME;
  if (!is_same_time(old->at.stx_mtime, new->at.stx_mtime)) bits |= MTIME;
  if (nanoseconds(old->at.stx_ctime) != nanoseconds(new->at.stx_ctime)) bits |= CTIME;
  return bits;
}

static int compare_object(const struct op *op, int i) {
  struct sight *reference = &after[i][REFERENCE], *tested = &after[i][TESTED];
  const char *name = OBJECT_NAMES[i];
  if (reference->error != tested->error) {
    complain("%s: stat is %s, should be %s", name, strerror(tested->error), strerror(reference->error));
    return 1;
  }
  if (reference->error != 0) return 0;
  int bad = compare_attributes(name, &reference->at, &tested->at);
  int want = moves(&before[i][REFERENCE], reference), have = moves(&before[i][TESTED], tested);
  /* Known: which reads move the access time depends on caches. Links and directories are read on every walk. */
  int sets_times = op->kind == UTIMES || op->kind == F_UTIMES;
  int is_file = S_ISREG(reference->at.stx_mode), is_link = S_ISLNK(reference->at.stx_mode);
  int is_read = is_reading(op) || is_link || (!is_file && !sets_times);
  int differ = (want ^ have) & ~(is_read ? ATIME : 0);
  /* Known: an inode number is used again at once by one side, later by the other. */
  if ((want & have & SAME) == 0) differ = 0;
  /* Known: within a tick of its clock, tmpfs may take a time that is the one there was; so may it below `dir`. */
  if (!op->is_slow) differ &= features.nanoseconds ? want : 0;
  /* Known: tmpfs moves no times when a file that has no page is truncated to the size it has. POSIX wants it. */
  if (op->kind == TRUNCATE && want == SAME && have == (SAME | MTIME | CTIME)) differ = 0;
  /* Known: with its write-back cache the kernel says what time it is, by a clock that ticks every 4 ms. */
  if (features.writeback) differ = 0;
  if (differ) {
    complain("%s: times that moved: %s%s%s, should be: %s%s%s", name, have & ATIME ? "atime " : "",
             have & MTIME ? "mtime " : "", have & CTIME ? "ctime" : "", want & ATIME ? "atime " : "",
             want & MTIME ? "mtime " : "", want & CTIME ? "ctime" : "");
    bad = 1;
  }
  if (sets_times && is_chosen(reference->at.stx_atime) && (want & ATIME) &&
      !is_same_time(reference->at.stx_atime, tested->at.stx_atime)) {
    complain("%s: atime is %lld.%09u, should be %lld.%09u", name, tested->at.stx_atime.tv_sec,
             tested->at.stx_atime.tv_nsec, reference->at.stx_atime.tv_sec, reference->at.stx_atime.tv_nsec);
    bad = 1;
  }
  return bad;
}

/* Whether the two outcomes may differ, and why. */
static int may_differ(const struct op *op, const struct outcome *reference, const struct outcome *tested) {
  /* Without default_permissions Linux looks at names and types before it asks us: another error comes first. */
  int is_refused = reference->error == EACCES || reference->error == EPERM;
  if (!features.checked_by_kernel && is_refused && tested->error != 0) return 1;
  /* Known: a chown of nothing that needs the owner looks like the preparation of a write, which does not. */
  int is_chown = op->kind == CHOWN || op->kind == F_CHOWN;
  if (is_chown && op->a == -1 && op->b == -1) return reference->error == EPERM && tested->error == 0;
  if (op->kind != F_SEEK) return 0;
  /* Known: both have holes by pages, but which pages of zeros are data is each file system's own. */
  return op->flags >= SEEK_DATA;
}

int compare_after(const struct op *op, const struct outcome outcomes[SIDES], const int roots[SIDES]) {
  const struct outcome *reference = &outcomes[REFERENCE], *tested = &outcomes[TESTED];
  int bad = 0;
  look_all(op, after, roots);
  if ((reference->value != tested->value || reference->error != tested->error) && !may_differ(op, reference, tested)) {
    complain("result is %ld (%s), should be %ld (%s)", tested->value, strerror(tested->error), reference->value,
             strerror(reference->error));
    bad = 1;
  } else if (reference->digest != tested->digest && !may_differ(op, reference, tested)) {
    complain("what was read differs");
    bad = 1;
  }
  for (int i = 0; i < OBJECTS && !bad; i++) bad = compare_object(op, i);
  return bad;
}

/* Inode numbers of one side, and whether the other side's pairs agree. */
static struct { uint64_t numbers[SIDES]; } inodes[INODES];
static int inode_count;

static int compare_numbers(const char *path, const struct statx at[SIDES]) {
  for (int i = 0; i < inode_count; i++) {
    int one = inodes[i].numbers[REFERENCE] == at[REFERENCE].stx_ino;
    int two = inodes[i].numbers[TESTED] == at[TESTED].stx_ino;
    if (one != two) return complain("%s: another inode than it should be", path), 1;
    if (one) return 0;
  }
  for (int side = 0; inode_count < INODES && side < SIDES; side++) inodes[inode_count].numbers[side] = at[side].stx_ino;
  if (inode_count < INODES) inode_count++;
  return 0;
}

static int compare_data(const char *path, const int directories[SIDES], const char *name) {
  static char data[SIDES][DATA_ROOM];
  long sizes[SIDES];
  for (int side = 0; side < SIDES; side++) {
    int fd = openat(directories[side], name, O_RDONLY | O_NOATIME | O_NOFOLLOW);
    sizes[side] = fd < 0 ? -1 : read(fd, data[side], DATA_ROOM);
    if (fd >= 0) close(fd);
  }
  if (sizes[0] == sizes[1] && (sizes[0] <= 0 || memcmp(data[0], data[1], sizes[0]) == 0)) return 0;
  complain("%s: content differs (%ld bytes, should be %ld)", path, sizes[1], sizes[0]);
  return 1;
}

static int compare_xattrs(const char *path, const int files[SIDES]) {
  static const char *const NAMES[] = {"user.a", "user.b", "trusted.t", "security.s", "system.posix_acl_access",
                                      "system.posix_acl_default"};
  for (int i = 0; features.xattrs && i < 6; i++) {
    char values[SIDES][64];
    long sizes[SIDES];
    for (int side = 0; side < SIDES; side++) sizes[side] = fgetxattr(files[side], NAMES[i], values[side], 64);
    if (sizes[0] == sizes[1] && (sizes[0] < 0 || memcmp(values[0], values[1], sizes[0]) == 0)) continue;
    complain("%s: %s differs", path, NAMES[i]);
    return 1;
  }
  return 0;
}

static int compare_directories(const char *path, const int directories[SIDES], int depth);

static int compare_entry(const char *path, const int directories[SIDES], const char *name, int depth) {
  struct statx at[SIDES];
  char links[SIDES][PATH_ROOM];
  for (int side = 0; side < SIDES; side++) {
    if (syscall(SYS_statx, directories[side], name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &at[side])) {
      return complain("%s: only on one side (%s)", path, side == REFERENCE ? "mount" : "reference"), 1;
    }
    memset(links[side], 0, PATH_ROOM);
    if (S_ISLNK(at[side].stx_mode)) (void)!readlinkat(directories[side], name, links[side], PATH_ROOM - 1);
  }
  int bad = compare_attributes(path, &at[0], &at[1]) || compare_numbers(path, at);
  if (!bad && strcmp(links[0], links[1]) != 0) complain("%s: another target", path), bad = 1;
  if (!bad && S_ISREG(at[0].stx_mode)) bad = compare_data(path, directories, name);
  if (bad || (!S_ISDIR(at[0].stx_mode) && !S_ISREG(at[0].stx_mode))) return bad;
  int files[SIDES];
  for (int side = 0; side < SIDES; side++) files[side] = openat(directories[side], name, O_RDONLY | O_NOATIME);
  bad = compare_xattrs(path, files);
  if (!bad && S_ISDIR(at[0].stx_mode) && depth < DEPTH_MAX) bad = compare_directories(path, files, depth + 1);
  for (int side = 0; side < SIDES; side++) close(files[side]);
  return bad;
}

static int compare_directories(const char *path, const int directories[SIDES], int depth) {
  int bad = 0;
  for (int side = 0; side < SIDES && !bad; side++) {
    DIR *dir = fdopendir(openat(directories[side], ".", O_RDONLY | O_DIRECTORY));
    if (dir == NULL) return complain("%s: cannot be listed: %s", path, strerror(errno)), 1;
    for (struct dirent *entry; !bad && (entry = readdir(dir)) != NULL;) {
      if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
      char child[PATH_ROOM];
      snprintf(child, sizeof child, "%.3000s/%s", path, entry->d_name);
      bad = compare_entry(child, directories, entry->d_name, side == REFERENCE ? depth : DEPTH_MAX);
    }
    closedir(dir);
  }
  return bad;
}

int compare_trees(const int roots[SIDES]) {
  inode_count = 0;
  return compare_directories(".", roots, 0);
}
