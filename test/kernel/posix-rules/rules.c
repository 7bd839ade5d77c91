/*
 * Runs a table of POSIX rules in a directory: each line is one system call, its user and what must come of it.
 *
 * Usage: posix-rules DIRECTORY TABLE [LACKING...]
 * DIRECTORY: an empty one, on any file system; the table must hold on tmpfs too, which checks the table.
 * A line: [@UID[:GID[,GROUP...]]] [ERROR[|ERROR]] CALL ARGUMENT...; "= TITLE [needs WORD]" starts a rule in a directory
 * of its own, skipped if WORD is LACKING. In paths %N is a name of N bytes, %pN a path of N bytes that means "a".
 * Exit code 0: all hold; 1: some do not; 2: wrong arguments or a wrong table.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 12, WORD_ROOM = 4400, LINE_ROOM = 400, RULES_MAX = 1000 };

static char words[WORDS][WORD_ROOM];
static int word_count, held = -1, line_number, bad_count, rule_count, skipped_count;
static char title[LINE_ROOM];
static struct stat marked;
static char **lacking;
static int lacking_count;

static void __attribute__((noreturn)) give_up(const char *why) {
  fprintf(stderr, "line %d: %s: %s\n", line_number, why, strerror(errno));
  exit(2);
}

static void become(const char *who) {
  gid_t groups[8];
  int count = 0;
  char *at = (char *)who;
  uid_t uid = strtoul(at, &at, 10);
  gid_t gid = *at == ':' ? strtoul(at + 1, &at, 10) : uid;
  while (*at == ',') groups[count++] = strtoul(at + 1, &at, 10);
  if (setresuid(0, 0, 0) || setgroups(count, groups) || setresgid(gid, gid, gid) || setresuid(uid, uid, 0)) {
    give_up("cannot become another user");
  }
}

static void expand(const char *from, char *into) {
  char *start = into;
  while (*from) {
    if (*from != '%') {
      *into++ = *from++;
      continue;
    }
    int is_path = from[1] == 'p';
    long size = strtol(from + 1 + is_path, (char **)&from, 10);
    if (size < 0 || size > 4200) give_up("too long");
    for (long i = 0; i < size; i++) {
      int is_slash = i == size - 2 || i % 2;
      *into++ = !is_path ? 'n' : i == size - 1 ? 'a' : is_slash ? '/' : '.';
    }
  }
  *into = 0;
  if (strcmp(start, "''") == 0) *start = 0;
}

static const char *word(int i) {
  if (i >= word_count) give_up("a word is missing");
  return words[i];
}

static long number(int i, int base) {
  char *end;
  long value = strtol(word(i), &end, base);
  if (*end) give_up(word(i));
  return value;
}

static const struct { const char *word; int value; } FLAGS[] = {
    {"rdonly", O_RDONLY}, {"wronly", O_WRONLY}, {"rdwr", O_RDWR}, {"creat", O_CREAT}, {"excl", O_EXCL},
    {"trunc", O_TRUNC}, {"append", O_APPEND}, {"nofollow", O_NOFOLLOW}, {"directory", O_DIRECTORY}, {"path", O_PATH},
    {"tmpfile", O_TMPFILE}, {"noatime", O_NOATIME}};

static int flags_of(const char *text) {
  int flags = O_NONBLOCK | O_CLOEXEC;
  char copy[200];
  snprintf(copy, sizeof copy, "%.190s", text);
  for (char *part = strtok(copy, "+"); part != NULL; part = strtok(NULL, "+")) {
    size_t i = 0;
    while (i < sizeof FLAGS / sizeof *FLAGS && strcmp(FLAGS[i].word, part) != 0) i++;
    if (i == sizeof FLAGS / sizeof *FLAGS) give_up(part);
    flags |= FLAGS[i].value;
  }
  return flags;
}

static struct timespec time_of(const char *text) {
  struct timespec time = {0, 0};
  if (strcmp(text, "now") == 0) time.tv_nsec = UTIME_NOW;
  else if (strcmp(text, "omit") == 0) time.tv_nsec = UTIME_OMIT;
  else time.tv_sec = atol(text);
  return time;
}

static long keep(int fd) {
  if (fd < 0) return -1;
  if (held >= 0) close(held);
  held = fd;
  return 0;
}

static long close_at_once(int fd) {
  return fd < 0 ? -1 : close(fd);
}

static int mode_of_access(const char *text) {
  return (strchr(text, 'r') ? R_OK : 0) | (strchr(text, 'w') ? W_OK : 0) | (strchr(text, 'x') ? X_OK : 0);
}

static int type_of(const char *text) {
  const char *at = strchr("pscbf", *text);
  static const int TYPES[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG};
  if (at == NULL) give_up(text);
  return TYPES[at - "pscbf"];
}

static long seen(long value, long expected) {
  if (value == expected) return 0;
  printf("line %d: %s: %s of %s is %lo (%ld), should be %lo (%ld)\n", line_number, title, word(0), word(1), value,
         value, expected, expected);
  bad_count++;
  return 0;
}

/* The clock of file times ticks between what was and what comes. */
static long mark(const char *path) {
  struct timespec tick;
  clock_getres(CLOCK_REALTIME_COARSE, &tick);
  tick.tv_nsec *= 2;
  int done = lstat(path, &marked);
  nanosleep(&tick, NULL);
  return done;
}

static int differs(struct timespec one, struct timespec other) {
  return one.tv_sec != other.tv_sec || one.tv_nsec != other.tv_nsec;
}

static long moved(const char *path, const char *expected) {
  struct stat now;
  if (lstat(path, &now) != 0) return -1;
  char have[4] = "";
  if (strchr(expected, 'a') && differs(now.st_atim, marked.st_atim)) strcat(have, "a");
  if (differs(now.st_mtim, marked.st_mtim)) strcat(have, "m");
  if (differs(now.st_ctim, marked.st_ctim)) strcat(have, "c");
  if (strcmp(have, strcmp(expected, "-") == 0 ? "" : expected) == 0) return 0;
  printf("line %d: %s: times of %s that moved: '%s', should be '%s'\n", line_number, title, path, have, expected);
  bad_count++;
  return 0;
}

static long limit(rlim_t size) {
  struct rlimit limits = {size ? size : RLIM_INFINITY, RLIM_INFINITY};
  return setrlimit(RLIMIT_FSIZE, &limits);
}

static long write_bytes(long count) {
  static char bytes[1 << 20];
  return write(held, bytes, count);
}

static long look(const char *call) {
  struct stat status;
  if (lstat(word(1), &status) != 0) return -1;
  if (strcmp(call, "mode") == 0) return seen(status.st_mode & 07777, number(2, 8));
  if (strcmp(call, "nlink") == 0) return seen(status.st_nlink, number(2, 10));
  if (strcmp(call, "size") == 0) return seen(status.st_size, number(2, 10));
  if (strcmp(call, "rdev") == 0) return seen(status.st_rdev, number(2, 0));
  if (strcmp(call, "mtime") == 0) return seen(status.st_mtime, number(2, 10));
  if (strcmp(call, "atime") == 0) return seen(status.st_atime, number(2, 10));
  if (strcmp(call, "uid") == 0) return seen(status.st_uid, number(2, 10));
  return seen(status.st_gid, number(2, 10));
}

static long run_call(const char *call) {
#define IS(name) (strcmp(call, name) == 0)
  struct timespec times[2];
  char target[8192];
  if (IS("mkdir")) return mkdir(word(1), number(2, 8));
  if (IS("create")) return close_at_once(open(word(1), O_CREAT | O_EXCL | O_WRONLY, number(2, 8)));
  if (IS("open")) return close_at_once(open(word(1), flags_of(word(2)), 0666));
  if (IS("hold")) return keep(open(word(1), flags_of(word(2)), 0666));
  if (IS("unlink")) return unlink(word(1));
  if (IS("rmdir")) return rmdir(word(1));
  if (IS("rename")) return rename(word(1), word(2));
  if (IS("renameat2")) return syscall(SYS_renameat2, AT_FDCWD, word(1), AT_FDCWD, word(2), (int)number(3, 10));
  if (IS("link")) return link(word(1), word(2));
  if (IS("linkfollow")) return linkat(AT_FDCWD, word(1), AT_FDCWD, word(2), AT_SYMLINK_FOLLOW);
  if (IS("linkheld")) return linkat(held, "", AT_FDCWD, word(1), AT_EMPTY_PATH);
  if (IS("symlink")) return symlink(word(1), word(2));
  if (IS("readlink")) return readlink(word(1), target, sizeof target);
  if (IS("chmod")) return chmod(word(1), number(2, 8));
  if (IS("chown")) return chown(word(1), number(2, 10), number(3, 10));
  if (IS("lchown")) return lchown(word(1), number(2, 10), number(3, 10));
  if (IS("truncate")) return truncate(word(1), number(2, 10));
  if (IS("stat")) return stat(word(1), &(struct stat){0});
  if (IS("access")) return access(word(1), mode_of_access(word(2)));
  if (IS("mknod")) return mknod(word(1), type_of(word(2)) | number(3, 8), number(4, 0));
  if (IS("list")) return close_at_once(open(word(1), O_RDONLY | O_DIRECTORY));
  if (IS("setxattr")) return setxattr(word(1), word(2), "v", 1, 0);
  if (IS("getxattr")) return getxattr(word(1), word(2), target, sizeof target);
  if (IS("fchmod")) return fchmod(held, number(1, 8));
  if (IS("fchown")) return fchown(held, number(1, 10), number(2, 10));
  if (IS("ftruncate")) return ftruncate(held, number(1, 10));
  if (IS("fallocate")) return fallocate(held, number(1, 10), number(2, 10), number(3, 10));
  if (IS("write")) return write_bytes(number(1, 10));
  if (IS("seek")) return lseek(held, number(1, 10), SEEK_SET);
  if (IS("nlinkheld")) return seen(fstat(held, &marked) == 0 ? (long)marked.st_nlink : -1, number(1, 10));
  if (IS("umask")) return umask(number(1, 8)), 0;
  if (IS("limit")) return limit(number(1, 10));
  if (IS("mark")) return mark(word(1));
  if (IS("moved")) return moved(word(1), word(2));
  if (IS("utimens")) {
    times[0] = time_of(word(2)), times[1] = time_of(word(3));
    return utimensat(AT_FDCWD, word(1), times, AT_SYMLINK_NOFOLLOW);
  }
  static const char *const LOOKS[] = {"mode", "nlink", "size", "rdev", "mtime", "atime", "uid", "gid"};
  for (int i = 0; i < 8; i++) if (IS(LOOKS[i])) return look(call);
  return give_up(call), 0;
}

static void split(char *line) {
  word_count = 0;
  for (char *part = strtok(line, " \n"); part != NULL; part = strtok(NULL, " \n")) {
    if (word_count == WORDS) give_up("too many words");
    expand(part, words[word_count++]);
  }
}

static void drop_first(void) {
  for (int i = 1; i < word_count; i++) memcpy(words[i - 1], words[i], WORD_ROOM);
  word_count--;
}

static int is_expected(const char *expected, const char *name) {
  char copy[100];
  snprintf(copy, sizeof copy, "%s", expected);
  for (char *part = strtok(copy, "|"); part != NULL; part = strtok(NULL, "|")) if (strcmp(part, name) == 0) return 1;
  return 0;
}

static void run_line(char *line) {
  char shown[LINE_ROOM], expected[100] = "OK", who[100] = "0";
  snprintf(shown, sizeof shown, "%s", line);
  shown[strcspn(shown, "\n")] = 0;
  split(line);
  if (words[0][0] == '@') snprintf(who, sizeof who, "%.90s", words[0] + 1), drop_first();
  if (words[0][0] == 'E') snprintf(expected, sizeof expected, "%.90s", words[0]), drop_first();
  become(who);
  errno = 0;
  long value = run_call(words[0]);
  const char *have = value < 0 ? strerrorname_np(errno) : "OK";
  become("0");
  if (is_expected(expected, have)) return;
  printf("line %d: %s: '%s' is %s\n", line_number, title, shown, have);
  bad_count++;
}

/* "= TITLE [needs WORD]": whether it is to run. */
static int begin_rule(char *line, int root) {
  if (held >= 0) close(held);
  held = -1;
  limit(0);
  umask(0);
  line[strcspn(line, "\n")] = 0;
  snprintf(title, sizeof title, "%s", line + 2);
  rule_count++;
  char *needed = strstr(line, "[needs ");
  for (int i = 0; needed != NULL && i < lacking_count; i++) {
    if (strncmp(needed + 7, lacking[i], strlen(lacking[i])) == 0) return skipped_count++, 0;
  }
  char name[40];
  snprintf(name, sizeof name, "rule%d", rule_count);
  if (fchdir(root) != 0 || mkdir(name, 0777) != 0 || chdir(name) != 0) give_up(name);
  return 1;
}

int main(int argc, char **argv) {
  FILE *table = argc < 3 ? NULL : fopen(argv[2], "r");
  int root = argc < 3 ? -1 : open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (table == NULL || root < 0) {
    fprintf(stderr, "usage: posix-rules DIRECTORY TABLE [LACKING...]\n");
    return 2;
  }
  lacking = argv + 3;
  lacking_count = argc - 3;
  signal(SIGXFSZ, SIG_IGN);
  char line[LINE_ROOM];
  int is_running = 0;
  while (fgets(line, sizeof line, table) != NULL) {
    line_number++;
    if (*line == '#' || *line == '\n') continue;
    if (*line == '=') is_running = begin_rule(line, root);
    else if (is_running) run_line(line);
  }
  printf("%d rules, %d skipped, %d complaints\n", rule_count, skipped_count, bad_count);
  return bad_count > 0;
}
