// Output that is the same on every system: errno by name, modes by type.
#pragma once
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static inline const char *error_name(int error) {
  switch (error) {
#define NAME(E) \
  case E:       \
    return #E;
    NAME(EACCES) NAME(EBADF) NAME(EBUSY) NAME(EEXIST) NAME(EFBIG) NAME(EINVAL) NAME(EISDIR) NAME(ELOOP)
    NAME(EMFILE) NAME(ENAMETOOLONG) NAME(ENOENT) NAME(ENOSPC) NAME(ENOTDIR) NAME(ENOTEMPTY) NAME(ENOTSUP)
    NAME(ENXIO) NAME(EPERM) NAME(ESPIPE) NAME(EXDEV) NAME(EILSEQ) NAME(EIO) NAME(ENOSYS) NAME(EFAULT)
#ifdef ENOTCAPABLE
    NAME(ENOTCAPABLE)
#endif
#undef NAME
  }
  static char text[32];
  snprintf(text, sizeof text, "errno %d", error);
  return text;
}

// Prints a call with its result, or the name of its error.
static inline long say(const char *what, long result) {
  if (result < 0) printf("%s: %s\n", what, error_name(errno));
  else printf("%s: %ld\n", what, result);
  return result;
}

// The same for calls whose result says only that they worked.
static inline int ok(const char *what, int result) {
  printf("%s: %s\n", what, result < 0 ? error_name(errno) : "ok");
  return result;
}

static inline const char *type_name(mode_t mode) {
  return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "symlink" : "other";
}

static inline unsigned long checksum(const unsigned char *bytes, size_t size) {
  unsigned long sum = 5381;
  for (size_t i = 0; i < size; i++) sum = (sum * 33 + bytes[i]) & 0xffffffff;
  return sum;
}
