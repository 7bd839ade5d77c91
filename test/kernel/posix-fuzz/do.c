/* One operation on one side: the system call, as its user, and a digest of what it brought. */
#include "fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { READ_ROOM = 1 << 17, NAMES_MAX = 200 };

/* As the kernel takes it: the C library's fchmodat() goes other ways for AT_SYMLINK_NOFOLLOW. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static int slots[SLOTS][SIDES];
static int has_slots;
static char bytes[READ_ROOM];

uint64_t digest_of(uint64_t digest, const void *data, size_t size) {
  const unsigned char *at = data;
  for (size_t i = 0; i < size; i++) digest = (digest ^ at[i]) * 0x100000001b3u;
  return digest;
}

/* The saved user stays root, which is the way back. */
void become(const struct user *user) {
  int failed = setresuid(0, 0, 0) || setgroups(user->group_count, user->groups) ||
               setresgid(user->gid, user->gid, user->gid) || setresuid(user->uid, user->uid, 0);
  if (failed) perror("cannot become another user"), exit(2);
}

void leave(void) {
  static int outside = -1;
  if (outside < 0) outside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fchdir(outside) != 0 || chroot(".") != 0) perror("cannot leave the directory"), exit(2);
}

void enter(int root) {
  leave();
  if (fchdir(root) != 0 || chroot(".") != 0) perror("cannot enter the directory"), exit(2);
}

int slot_fd(int slot, int side) {
  return has_slots ? slots[slot][side] : -1;
}

void close_slots(void) {
  for (int i = 0; i < SLOTS; i++) {
    for (int side = 0; side < SIDES; side++) {
      if (has_slots && slots[i][side] >= 0) close(slots[i][side]);
      slots[i][side] = -1;
    }
  }
  has_slots = 1;
}

static long keep(const struct op *op, int side, int fd) {
  if (fd < 0) return -1;
  int *slot = &slots[op->slot][side];
  if (*slot >= 0) close(*slot);
  *slot = fd;
  return 0;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Order is nobody's business. */
static uint64_t digest_sorted(char **names, int count) {
  uint64_t digest = 0;
  qsort(names, count, sizeof *names, compare_names);
  for (int i = 0; i < count; i++) {
    digest = digest_of(digest, names[i], strlen(names[i]) + 1);
    free(names[i]);
  }
  return digest;
}

static long list(int fd, uint64_t *digest) {
  if (fd < 0) return -1;
  DIR *dir = fdopendir(fd);
  if (dir == NULL) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  char *names[NAMES_MAX];
  int count = 0;
  rewinddir(dir);
  errno = 0;
  for (struct dirent *entry; count < NAMES_MAX && (entry = readdir(dir)) != NULL;) {
    char text[300];
    snprintf(text, sizeof text, "%s %d", entry->d_name, entry->d_type);
    names[count++] = strdup(text);
  }
  int error = errno;
  closedir(dir);
  *digest = digest_sorted(names, count);
  errno = error;
  return error == 0 ? count : -1;
}

static long digest_xattrs(long size, uint64_t *digest) {
  if (size < 0) return -1;
  char *names[NAMES_MAX];
  int count = 0;
  for (long at = 0; at < size && count < NAMES_MAX; at += strlen(bytes + at) + 1) names[count++] = strdup(bytes + at);
  *digest = digest_sorted(names, count);
  return size;
}

static long digested(long size, uint64_t *digest) {
  if (size > 0) *digest = digest_of(1, bytes, size);
  return size;
}

static long read_file(const char *path, uint64_t *digest) {
  int fd = open(path, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return -1;
  struct stat status;
  fstat(fd, &status);
  long size = S_ISREG(status.st_mode) ? digested(read(fd, bytes, sizeof bytes), digest) : 0;
  int error = errno;
  close(fd);
  errno = error;
  return size;
}

static const char *xattr_name(const struct op *op) {
  static const char *const NAMES[] = {"user.a", "user.a", "trusted.t", "user.a", "security.s", "user.", "other.x"};
  return NAMES[(op->b & 0xffff) % 7];
}

static size_t xattr_size(const struct op *op) {
  return op->c == 70000 ? 65537 : op->c < 0 || op->c > 200 ? 3 : op->c;
}

/* A user list, a group list or none, as acl(5) wants them, or not. */
static long set_acl(const struct op *op) {
  static const char *const LISTS[] = {"system.posix_acl_access", "system.posix_acl_default"};
  struct { uint32_t version; struct { uint16_t tag, permissions; uint32_t id; } entries[6]; } acl = {2, {{0, 0, 0}}};
  static const uint16_t TAGS[] = {1, 2, 4, 8, 0x10, 0x20};
  int count = 0;
  for (int i = 0; i < 6; i++) {
    int is_named = TAGS[i] == 2 || TAGS[i] == 8;
    if ((TAGS[i] == 2 && !(op->b & 1)) || (TAGS[i] == 8 && !(op->b & 2)) || (TAGS[i] == 0x10 && !(op->b & 7))) continue;
    if (i == 0 && (op->b & 24) == 24) continue;
    acl.entries[count].tag = TAGS[i];
    acl.entries[count].permissions = op->c >> (i % 5 * 3) & 7;
    acl.entries[count++].id = is_named ? 1001 + (op->b >> 3 & 1) : -1u;
  }
  if (op->b == 31) return removexattr(op->path, LISTS[op->flags]);
  return setxattr(op->path, LISTS[op->flags], &acl, 4 + 8 * count, 0);
}

static void fill_bytes(const struct op *op, long size) {
  for (long i = 0; i < size; i++) bytes[i] = (char)(op->mask + op->slot + i * 7 + i / 251);
}

static long data_size(const struct op *op) {
  return op->c >= 0 && op->c <= 70000 ? op->c : 17;
}

static long do_path(const struct op *op, int side, uint64_t *digest) {
  const char *path = op->path;
  struct stat status;
  switch (op->kind) {
    case OPEN: case OPEN_TMPFILE:
      return keep(op, side, open(path, op->flags | O_NONBLOCK | O_CLOEXEC, op->a & 07777));
    case MKDIR: return mkdir(path, op->a & 07777);
    case MKNOD: return mknod(path, op->a, op->b);
    case SYMLINK: return symlink(op->path2, path);
    case LINK: return linkat(AT_FDCWD, path, AT_FDCWD, op->path2, op->flags);
    case UNLINK: return unlink(path);
    case RMDIR: return rmdir(path);
    case RENAME: return syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, op->path2, op->flags);
    case CHMOD: return syscall(SYS_fchmodat2, AT_FDCWD, path, op->a & 07777, op->flags);
    case CHOWN: return fchownat(AT_FDCWD, path, op->a, op->b, op->flags);
    case TRUNCATE: return truncate(path, op->b);
    case UTIMES: return utimensat(AT_FDCWD, path, op->times, op->flags);
    case ACCESS: return syscall(SYS_faccessat2, AT_FDCWD, path, op->a, op->flags);
    case STAT: return fstatat(AT_FDCWD, path, &status, op->flags);
    case READLINK: return digested(readlink(path, bytes, sizeof bytes), digest);
    case LIST: return list(open(path, O_RDONLY | O_DIRECTORY), digest);
    case GET_XATTR: return digested(getxattr(path, xattr_name(op), bytes, sizeof bytes), digest);
    case SET_XATTR: return setxattr(path, xattr_name(op), "xyzxyz", xattr_size(op) % 7, op->flags);
    case SET_ACL: return set_acl(op);
    case LIST_XATTR: return digest_xattrs(listxattr(path, bytes, sizeof bytes), digest);
    case REMOVE_XATTR: return removexattr(path, xattr_name(op));
    default: return read_file(path, digest);
  }
}

/* Where data and holes are may differ, so nothing may depend on it. */
static long seek(int fd, off_t at, int whence) {
  off_t old = lseek(fd, 0, SEEK_CUR), found = lseek(fd, at, whence);
  int error = errno;
  if (whence >= SEEK_DATA && found >= 0) lseek(fd, old, SEEK_SET);
  errno = error;
  return found;
}

static long do_file(const struct op *op, int side, uint64_t *digest) {
  int fd = slots[op->slot][side];
  loff_t from = op->b, to = op->c;
  switch (op->kind) {
    case CLOSE:
      slots[op->slot][side] = -1;
      return fd < 0 ? 0 : close(fd);
    case F_WRITE: return write(fd, bytes, data_size(op));
    case F_READ: return digested(read(fd, bytes, data_size(op)), digest);
    case F_PWRITE: return pwrite(fd, bytes, data_size(op), op->b);
    case F_PREAD: return digested(pread(fd, bytes, data_size(op), op->b), digest);
    case F_TRUNCATE: return ftruncate(fd, op->b);
    case F_ALLOCATE: return fallocate(fd, op->flags, op->b > 70000 ? 5000 : op->b, op->c > 70000 ? 5000 : op->c);
    case F_CHMOD: return fchmod(fd, op->a & 07777);
    case F_CHOWN: return fchown(fd, op->a, op->b);
    case F_UTIMES: return futimens(fd, op->times);
    case F_SEEK: return seek(fd, op->b, op->flags);
    case F_COPY: return copy_file_range(slots[op->other][side], &from, fd, op->mask ? &to : NULL, 5000, 0);
    case F_LINK: return linkat(fd, "", AT_FDCWD, op->path2, AT_EMPTY_PATH);
    case F_SET_XATTR: return fsetxattr(fd, xattr_name(op), "uvwuvw", xattr_size(op) % 7, op->flags);
    case F_GET_XATTR: return digested(fgetxattr(fd, xattr_name(op), bytes, sizeof bytes), digest);
    case F_LIST: return list(fcntl(fd, F_DUPFD_CLOEXEC, 0), digest);
    default: return fsync(fd);
  }
}

struct outcome do_op(const struct op *op, int side, int root) {
  struct outcome outcome = {0, 0, 0};
  enter(root);
  fill_bytes(op, op->kind == F_WRITE || op->kind == F_PWRITE ? data_size(op) : 0);
  mode_t before = umask(op->mask);
  struct rlimit limit = {op->limit ? (rlim_t)op->limit : RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_FSIZE, &limit);
  become(&USERS[op->user]);
  errno = 0;
  int is_file = op->kind == CLOSE || op->kind >= F_WRITE;
  outcome.value = is_file ? do_file(op, side, &outcome.digest) : do_path(op, side, &outcome.digest);
  outcome.error = outcome.value < 0 ? errno : 0;
  become(&USERS[0]);
  limit.rlim_cur = RLIM_INFINITY;
  setrlimit(RLIMIT_FSIZE, &limit);
  umask(before);
  leave();
  return outcome;
}
