/*
 * A random tester in the manner of fsx: one file of the file system under test, one plain file elsewhere as the model.
 * Every operation is done to both; what is read, the size and, now and then, the whole file must be the same.
 *
 * Usage: fsx FILE MODEL SEED OPERATIONS
 * The same seed is the same operations. Prints the operations that the file system does not have, and the rate.
 * Exit code 0: no difference; 1: a difference, with the last operations and how to replay; 2: wrong arguments.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SIZE = 512 * 1024, USUAL_LENGTH = 32 * 1024, COMPARE_EVERY = 500, LOG_SIZE = 40, PAGE = 4096 };
enum { READ, WRITE, MAP_READ, MAP_WRITE, TRUNCATE, PUNCH, ZERO, ZERO_KEEP, ALLOCATE, COPY, REOPEN, FORGET, APPEND };
enum { KINDS = APPEND + 1 };

static const char *const NAMES[KINDS] = {"read",  "write",     "mapped read", "mapped write",    "truncate",
                                         "punch", "zero",      "zero, keep",  "allocate",        "copy_file_range",
                                         "reopen", "drop cache", "append"};
/* How often each is chosen, of the sum. */
static const int WEIGHTS[KINDS] = {22, 22, 10, 12, 6, 4, 4, 2, 2, 6, 2, 4, 4};

static const char *file_name, *model_name;
static int file, model;
static uint64_t seed, state, done;
static long counts[KINDS], missing[KINDS];
static char logged[LOG_SIZE][120];
static unsigned char bytes[MAX_SIZE], expected[MAX_SIZE];

static uint64_t next(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static size_t below(size_t limit) { return limit == 0 ? 0 : next() % limit; }

static void note(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(logged[done % LOG_SIZE], sizeof logged[0], format, list);
  va_end(list);
}

static void fail(const char *format, ...) {
  int error = errno;
  va_list list;
  va_start(list, format);
  fprintf(stderr, "fsx: seed %llu, operation %llu: ", (unsigned long long)seed, (unsigned long long)done);
  vfprintf(stderr, format, list);
  va_end(list);
  fprintf(stderr, " (errno: %s)\nthe last operations:\n", strerror(error));
  for (uint64_t i = done < LOG_SIZE ? 0 : done - LOG_SIZE + 1; i <= done; i++) {
    fprintf(stderr, "  %llu %s\n", (unsigned long long)i, logged[i % LOG_SIZE]);
  }
  fprintf(stderr, "replay: fsx FILE MODEL %llu %llu\n", (unsigned long long)seed, (unsigned long long)done + 1);
  exit(1);
}

static size_t size_of(int fd) {
  struct stat stats;
  if (fstat(fd, &stats) != 0) fail("fstat");
  return stats.st_size;
}

/* The model may be short only by our own mistake. */
static void model_read(size_t pos, size_t length) {
  if (pread(model, expected, length, pos) != (ssize_t)length) fail("the model is short");
}

static void model_write(const void *from, size_t pos, size_t length) {
  if (pwrite(model, from, length, pos) != (ssize_t)length) fail("the model cannot be written");
}

static void compare(const unsigned char *got, const char *what, size_t pos, size_t length) {
  if (memcmp(got, expected, length) == 0) return;
  size_t i = 0, last = length;
  while (got[i] == expected[i]) i++;
  while (got[last - 1] == expected[last - 1]) last--;
  fail("%s: differs at %zu to %zu: 0x%02x, expected 0x%02x", what, pos + i, pos + last, got[i], expected[i]);
}

static void read_and_compare(const char *what, size_t pos, size_t length) {
  size_t size = size_of(model);
  size_t want = pos >= size ? 0 : length < size - pos ? length : size - pos;
  ssize_t got = pread(file, bytes, length, pos);
  if (got != (ssize_t)want) fail("%s: %zd bytes, expected %zu", what, got, want);
  model_read(pos, want);
  compare(bytes, what, pos, want);
}

static void compare_all(void) {
  size_t size = size_of(file), want = size_of(model);
  if (size != want) fail("size is %zu, expected %zu", size, want);
  read_and_compare("the whole file", 0, MAX_SIZE);
}

static void fill(size_t length) {
  uint64_t word = next();
  for (size_t i = 0; i < length; i++) bytes[i] = (unsigned char)((word >> (i % 8 * 8)) + i / 8);
}

static void write_some(size_t pos, size_t length) {
  fill(length);
  size_t did = 0;
  while (did < length) {
    ssize_t got = pwrite(file, bytes + did, length - did, pos + did);
    if (got <= 0) fail("write: %zd", got);
    did += got;
  }
  model_write(bytes, pos, length);
}

static void append_some(size_t length) {
  size_t size = size_of(model);
  if (size + length > MAX_SIZE) length = MAX_SIZE - size;
  int fd = open(file_name, O_WRONLY | O_APPEND);
  if (fd < 0) fail("open to append");
  fill(length);
  if (write(fd, bytes, length) != (ssize_t)length) fail("append");
  if (close(fd) != 0) fail("close after append");
  model_write(bytes, size, length);
}

static void map_some(int writes, size_t pos, size_t length) {
  size_t size = size_of(model);
  if (writes && pos + length > size) {
    if (ftruncate(file, pos + length) != 0 || ftruncate(model, pos + length) != 0) fail("truncate before mapping");
  } else if (pos + length > size) {
    if (pos >= size) return;
    length = size - pos;
  }
  size_t before = pos % PAGE;
  int protection = writes ? PROT_READ | PROT_WRITE : PROT_READ;
  unsigned char *at = mmap(NULL, before + length, protection, MAP_SHARED, file, pos - before);
  if (at == MAP_FAILED) fail("mmap");
  if (writes) {
    fill(length);
    memcpy(at + before, bytes, length);
    model_write(bytes, pos, length);
    if (below(4) == 0 && msync(at, before + length, MS_SYNC) != 0) fail("msync");
  } else {
    model_read(pos, length);
    compare(at + before, "mapped read", pos, length);
  }
  if (munmap(at, before + length) != 0) fail("munmap");
}

static void zeroes(size_t pos, size_t length, int extends) {
  size_t size = size_of(model);
  if (!extends) length = pos >= size ? 0 : length < size - pos ? length : size - pos;
  memset(expected, 0, length);
  if (length > 0) model_write(expected, pos, length);
}

static void fallocate_some(int kind, size_t pos, size_t length) {
  static const int MODES[KINDS] = {
      [PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
      [ZERO] = FALLOC_FL_ZERO_RANGE,
      [ZERO_KEEP] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
  };
  if (length == 0) length = 1;
  if (fallocate(file, MODES[kind], pos, length) != 0) {
    if (errno != EOPNOTSUPP) fail("%s", NAMES[kind]);
    missing[kind]++;
  } else if (kind != ALLOCATE) zeroes(pos, length, kind == ZERO);
  else if (pos + length > size_of(model) && ftruncate(model, pos + length) != 0) fail("the model cannot grow");
}

/* Within one file the ranges must not meet. */
static void copy_some(size_t from, size_t to, size_t length) {
  size_t size = size_of(model), apart = from < to ? to - from : from - to;
  if (length > apart) length = apart;
  size_t want = from >= size ? 0 : length < size - from ? length : size - from;
  if (to + want > MAX_SIZE) want = MAX_SIZE - to;
  off_t in = from, out = to;
  size_t did = 0;
  while (did < want) {
    ssize_t got = copy_file_range(file, &in, file, &out, want - did, 0);
    if (got <= 0) fail("copy_file_range: %zd after %zu of %zu", got, did, want);
    did += got;
  }
  model_read(from, want);
  if (want > 0) model_write(expected, to, want);
}

static void reopen(void) {
  if (below(2) == 0 && fsync(file) != 0) fail("fsync");
  if (close(file) != 0) fail("close");
  file = open(file_name, O_RDWR);
  if (file < 0) fail("open");
  compare_all();
}

static void forget(void) {
  if (fdatasync(file) != 0) fail("fdatasync");
  if (posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) != 0) fail("fadvise");
}

static void truncate_some(size_t size) {
  if (ftruncate(file, size) != 0 || ftruncate(model, size) != 0) fail("truncate");
}

static int choose(void) {
  int sum = 0, kind = 0;
  for (int i = 0; i < KINDS; i++) sum += WEIGHTS[i];
  int at = below(sum);
  while (at >= WEIGHTS[kind]) at -= WEIGHTS[kind++];
  return kind;
}

static void step(void) {
  int kind = choose();
  size_t pos = below(MAX_SIZE), to = below(MAX_SIZE), length = below(below(32) == 0 ? MAX_SIZE : USUAL_LENGTH) + 1;
  /* Edges of pages are where things go wrong. */
  if (below(4) == 0) pos -= pos % PAGE;
  if (below(4) == 0 && length > PAGE) length -= length % PAGE;
  if (length > MAX_SIZE - pos) length = MAX_SIZE - pos;
  note("%s %zu +%zu, %zu (size %zu)", NAMES[kind], pos, length, to, size_of(model));
  counts[kind]++;
  if (kind == READ) read_and_compare("read", pos, length);
  else if (kind == WRITE) write_some(pos, length);
  else if (kind == MAP_READ || kind == MAP_WRITE) map_some(kind == MAP_WRITE, pos, length);
  else if (kind == TRUNCATE) truncate_some(to);
  else if (kind == COPY) copy_some(pos, to, length);
  else if (kind == REOPEN) reopen();
  else if (kind == FORGET) forget();
  else if (kind == APPEND) append_some(length);
  else fallocate_some(kind, pos, length);
  size_t size = size_of(file), want = size_of(model);
  if (size != want) fail("%s: size is %zu, expected %zu", NAMES[kind], size, want);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc != 5) return fprintf(stderr, "usage: fsx FILE MODEL SEED OPERATIONS\n"), 2;
  file_name = argv[1];
  model_name = argv[2];
  state = seed = strtoull(argv[3], NULL, 10);
  uint64_t operations = strtoull(argv[4], NULL, 10);
  file = open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  model = open(model_name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (file < 0 || model < 0) fail("open");
  double start = now();
  for (; done < operations; done++) {
    step();
    if (done % COMPARE_EVERY == 0) compare_all();
  }
  done--;
  compare_all();
  double seconds = now() - start;
  printf("fsx: seed %llu: %llu operations, %.0f a second\n", (unsigned long long)seed, (unsigned long long)operations,
         operations / seconds);
  for (int i = 0; i < KINDS; i++) {
    if (missing[i] > 0) printf("fsx: not supported here: %s (%ld of %ld)\n", NAMES[i], missing[i], counts[i]);
  }
  return unlink(file_name) != 0 || unlink(model_name) != 0;
}
