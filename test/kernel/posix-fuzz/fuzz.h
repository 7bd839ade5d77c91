/* What the parts of the POSIX tester share: one operation, what came of it, and who does it. See main.c. */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum { PATH_ROOM = 4200, SLOTS = 3, SIDES = 2, REFERENCE = 0, TESTED = 1 };

/* Everything that is done; make.c says how often, do.c how. */
enum kind {
  OPEN, OPEN_TMPFILE, CLOSE, MKDIR, MKNOD, SYMLINK, LINK, UNLINK, RMDIR, RENAME, CHMOD, CHOWN, TRUNCATE, UTIMES, ACCESS,
  STAT, READLINK, LIST, GET_XATTR, SET_XATTR, LIST_XATTR, REMOVE_XATTR, SET_ACL, READ_FILE, F_WRITE, F_READ, F_PWRITE,
  F_PREAD, F_TRUNCATE, F_ALLOCATE, F_CHMOD, F_CHOWN, F_UTIMES, F_SEEK, F_COPY, F_LINK, F_SET_XATTR, F_GET_XATTR, F_LIST, F_SYNC,
  KINDS
};

/* Made from seed and index alone, never from what went before: so any part of a sequence can be run by itself. */
struct op {
  enum kind kind;
  int user, slot, other, flags, mask;
  /* The clock of file times ticks before it runs: only then is it sure that a time which moves is seen to. */
  int is_slow;
  /* RLIMIT_FSIZE while it runs; 0 = none. */
  long limit;
  long a, b, c;
  struct timespec times[2];
  char path[PATH_ROOM], path2[PATH_ROOM];
};

struct outcome {
  long value;
  int error;
  /* Of what was read: bytes, names, a target, a value. */
  uint64_t digest;
};

struct user {
  uid_t uid;
  gid_t gid;
  int group_count;
  gid_t groups[3];
};

/* What the file system under test has, beyond the least. */
struct features {
  int specials, xattrs, exchange, tmpfile, nanoseconds, holes, checked_by_kernel, writeback;
};

extern const struct user USERS[];
extern const int USER_COUNT;
extern const char *const KIND_NAMES[KINDS];
extern struct features features;

void make_op(struct op *op, uint64_t seed, long index);
void describe_op(const struct op *op, char *into, size_t room);
/* Runs `op` in directory `root` of one side. */
struct outcome do_op(const struct op *op, int side, int root);
void become(const struct user *user);
/* No link and no ".." leads out of `root` until leave(): what is made through one as root would stay there. */
void enter(int root);
void leave(void);
int slot_fd(int slot, int side);
void close_slots(void);

/* Looks at what `op` can touch before it, and complains if the sides differ after it: 0 = they agree. */
void look_before(const struct op *op, const int roots[SIDES]);
int compare_after(const struct op *op, const struct outcome outcomes[SIDES], const int roots[SIDES]);
int compare_trees(const int roots[SIDES]);
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t digest_of(uint64_t seed, const void *bytes, size_t size);
