/*
 * A random tester of POSIX conduct: every system call is made on a tmpfs and on the file system under test, as one of
 * several users, and must bring the same result, error, attributes, moved times, names and content.
 *
 * Usage: posix-fuzz REFERENCE TESTED SEED SEEDS OPERATIONS [WORD...]
 * REFERENCE, TESTED: existing directories, the first on tmpfs. Seeds SEED ... SEED + SEEDS - 1.
 * WORD: what the tested one lacks or is (docs/file-systems.md): dir, no-permissions, writeback; or how to go on:
 * no-shrink, loud (prints every operation).
 * Exit code 0: no difference; 1: a difference, with the operations that make it; 2: wrong arguments.
 */
#include "fuzz.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OPERATIONS_MAX = 5000, SCAN_EVERY = 50, TRIES_MAX = 150 };

struct features features = {1, 1, 1, 1, 1, 1, 1, 0};
static const char *places[SIDES];
static struct timespec tick;
static int is_loud, should_shrink = 1, round_number;
static unsigned char is_left_out[OPERATIONS_MAX];
static char made[OPERATIONS_MAX];

/* So deep that ".." three times does not lead outside. */
static int make_root(const char *place, char *path, size_t room) {
  int size = snprintf(path, room, "%s/round%d", place, round_number);
  static const char *const BELOW[] = {"", "/1", "/1/2", "/1/2/3", "/1/2/3/work"};
  int fd = -1;
  for (int i = 0; i < 5; i++) {
    snprintf(path + size, room - size, "%s", BELOW[i]);
    if (mkdir(path, 0755) != 0) perror(path), exit(2);
  }
  fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fchmod(fd, 0777) != 0) perror(path), exit(2);
  path[size] = 0;
  return fd;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
  (void)status, (void)walk;
  return type == FTW_DP ? rmdir(path) : unlink(path);
}

static int has_dots(const char *path) {
  return *path == '.' || strstr(path, "/.") != NULL;
}

static int is_possible(const struct op *op) {
  int type = op->a & S_IFMT;
  /* Known: without default_permissions Linux asks nobody whether a directory may be searched for "." and "..". */
  if (!features.checked_by_kernel && (has_dots(op->path) || has_dots(op->path2))) return 0;
  struct stat status;
  /* Known: pipes are the kernel's own, and it marks times on them in one file system and not in the other. */
  int is_open = fstat(slot_fd(op->slot, REFERENCE), &status) == 0;
  if (op->kind == F_WRITE && is_open && !S_ISREG(status.st_mode)) return 0;
  /* Known: it seeks in directories by other rules. */
  if (op->kind == F_SEEK && is_open && S_ISDIR(status.st_mode)) return 0;
  /* Known: neither whether what is no file may be opened. */
  if (op->kind == MKNOD && !(features.specials && features.checked_by_kernel)) return type == S_IFREG || type == 0;
  if (op->kind == OPEN_TMPFILE) return features.tmpfile;
  if (op->kind == RENAME && (op->flags & 2)) return features.exchange;
  if (op->kind >= GET_XATTR && op->kind <= SET_ACL) return features.xattrs;
  if (op->kind == F_SET_XATTR || op->kind == F_GET_XATTR) return features.xattrs;
  /* Known: with FALLOC_FL_KEEP_SIZE the kernel does not look at RLIMIT_FSIZE for FUSE. */
  if (op->kind == F_ALLOCATE && op->flags == FALLOC_FL_KEEP_SIZE) return features.holes && !op->limit;
  return 1;
}

static void say(long index, const struct op *op, const struct outcome *outcome) {
  char text[1000];
  describe_op(op, text, sizeof text);
  printf("%5ld %s = %ld%s%s\n", index, text, outcome->value, outcome->error ? " " : "",
         outcome->error ? strerrorname_np(outcome->error) : "");
}

/* Runs what is not left out; returns the index after which the sides differed, or -1. */
static long run(uint64_t seed, long count) {
  char paths[SIDES][4096];
  int roots[SIDES];
  round_number++;
  for (int side = 0; side < SIDES; side++) roots[side] = make_root(places[side], paths[side], sizeof paths[side]);
  close_slots();
  long failed = -1;
  static struct op op;
  for (long i = 0; i < count && failed < 0; i++) {
    if (is_left_out[i]) continue;
    make_op(&op, seed, i);
    if (!is_possible(&op)) continue;
    look_before(&op, roots);
    struct outcome outcomes[SIDES];
    if (op.is_slow) nanosleep(&tick, NULL);
    for (int side = 0; side < SIDES; side++) outcomes[side] = do_op(&op, side, roots[side]);
    if (is_loud) say(i, &op, &outcomes[REFERENCE]);
    made[i] = 1;
    int is_last = i == count - 1 || i % SCAN_EVERY == SCAN_EVERY - 1;
    if (compare_after(&op, outcomes, roots) || (is_last && compare_trees(roots))) failed = i;
  }
  close_slots();
  if (chdir("/") != 0) perror("/"), exit(2);
  for (int side = 0; side < SIDES; side++) {
    close(roots[side]);
    if (nftw(paths[side], remove_one, 20, FTW_DEPTH | FTW_PHYS) != 0) {
      printf("cannot remove what is left in %s: %s\n", paths[side], strerror(errno));
      failed = failed < 0 ? count - 1 : failed;
    }
  }
  return failed;
}

/* Leaves out whatever is not needed for a difference, in ever smaller pieces. */
static long shrink(uint64_t seed, long count) {
  int tries = 0;
  FILE *loud = stdout;
  fflush(stdout);
  stdout = fopen("/dev/null", "w");
  for (long piece = count / 2; piece > 0 && tries < TRIES_MAX; piece /= 2) {
    for (long at = 0; at < count && tries < TRIES_MAX; at += piece) {
      unsigned char kept[OPERATIONS_MAX];
      memcpy(kept, is_left_out, sizeof kept);
      int is_new = 0;
      for (long i = at; i < at + piece && i < count; i++) {
        is_new |= !is_left_out[i];
        is_left_out[i] = 1;
      }
      if (!is_new) continue;
      tries++;
      long failed = run(seed, count);
      if (failed < 0) memcpy(is_left_out, kept, sizeof kept);
      else count = failed + 1;
    }
  }
  fclose(stdout);
  stdout = loud;
  return count;
}

static int test_seed(uint64_t seed, long count) {
  memset(is_left_out, 0, sizeof is_left_out);
  long failed = run(seed, count);
  if (failed < 0) return 0;
  printf("seed %llu, operation %ld: the sides differ; the same again:\n", (unsigned long long)seed, failed);
  count = should_shrink ? shrink(seed, failed + 1) : failed + 1;
  is_loud = 1;
  if (run(seed, count) < 0) printf("  not again: it depends on time\n");
  is_loud = 0;
  printf("replay: posix-fuzz REFERENCE TESTED %llu 1 %ld\n", (unsigned long long)seed, failed + 1);
  fflush(stdout);
  return 1;
}

static int take_word(const char *word) {
  if (strcmp(word, "dir") == 0) {
    features.specials = features.xattrs = features.exchange = 0;
    features.tmpfile = features.nanoseconds = features.holes = 0;
  } else if (strcmp(word, "no-xattrs") == 0) features.xattrs = 0;
  else if (strcmp(word, "no-permissions") == 0) features.checked_by_kernel = 0;
  else if (strcmp(word, "writeback") == 0) features.writeback = 1;
  else if (strcmp(word, "no-shrink") == 0) should_shrink = 0;
  else if (strcmp(word, "loud") == 0) is_loud = 1;
  else return 0;
  return 1;
}

int main(int argc, char **argv) {
  int are_good = argc >= 6;
  for (int i = 6; i < argc; i++) are_good &= take_word(argv[i]);
  long count = are_good ? atol(argv[5]) : 0;
  if (count <= 0 || count > OPERATIONS_MAX) {
    fprintf(stderr, "usage: posix-fuzz REFERENCE TESTED SEED SEEDS OPERATIONS [WORD...]\n");
    return 2;
  }
  clock_getres(CLOCK_REALTIME_COARSE, &tick);
  tick.tv_nsec *= 2;
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  for (int side = 0; side < SIDES; side++) {
    places[side] = realpath(argv[1 + side], NULL);
    if (places[side] == NULL) perror(argv[1 + side]), exit(2);
  }
  uint64_t seed = strtoull(argv[3], NULL, 10);
  int bad = 0;
  long seeds = atol(argv[4]);
  for (long i = 0; i < seeds && bad < 8; i++) bad += test_seed(seed + i, count);
  printf("%ld seeds from %llu, %ld operations each: %d differ\n", seeds, (unsigned long long)seed, count, bad);
  return bad > 0;
}
