/**
 * Flag words and code numbers of the FUSE ABI 7.45, each set as one table of name → value with the kernel's names.
 * SPEC: include/uapi/linux/fuse.h, protocol 7.45.
 */

/** INIT flags by bit number; bits 32 and up travel in `flags2`, which counts only with FUSE_INIT_EXT. */
export const INIT_FLAG_BITS = {
  FUSE_ASYNC_READ: 0,
  FUSE_POSIX_LOCKS: 1,
  FUSE_FILE_OPS: 2,
  FUSE_ATOMIC_O_TRUNC: 3,
  FUSE_EXPORT_SUPPORT: 4,
  FUSE_BIG_WRITES: 5,
  FUSE_DONT_MASK: 6,
  FUSE_SPLICE_WRITE: 7,
  FUSE_SPLICE_MOVE: 8,
  FUSE_SPLICE_READ: 9,
  FUSE_FLOCK_LOCKS: 10,
  FUSE_HAS_IOCTL_DIR: 11,
  FUSE_AUTO_INVAL_DATA: 12,
  FUSE_DO_READDIRPLUS: 13,
  FUSE_READDIRPLUS_AUTO: 14,
  FUSE_ASYNC_DIO: 15,
  FUSE_WRITEBACK_CACHE: 16,
  FUSE_NO_OPEN_SUPPORT: 17,
  FUSE_PARALLEL_DIROPS: 18,
  FUSE_HANDLE_KILLPRIV: 19,
  FUSE_POSIX_ACL: 20,
  FUSE_ABORT_ERROR: 21,
  FUSE_MAX_PAGES: 22,
  FUSE_CACHE_SYMLINKS: 23,
  FUSE_NO_OPENDIR_SUPPORT: 24,
  FUSE_EXPLICIT_INVAL_DATA: 25,
  FUSE_MAP_ALIGNMENT: 26,
  FUSE_SUBMOUNTS: 27,
  FUSE_HANDLE_KILLPRIV_V2: 28,
  FUSE_SETXATTR_EXT: 29,
  FUSE_INIT_EXT: 30,
  FUSE_INIT_RESERVED: 31,
  FUSE_SECURITY_CTX: 32,
  FUSE_HAS_INODE_DAX: 33,
  FUSE_CREATE_SUPP_GROUP: 34,
  FUSE_HAS_EXPIRE_ONLY: 35,
  FUSE_DIRECT_IO_ALLOW_MMAP: 36,
  FUSE_PASSTHROUGH: 37,
  FUSE_NO_EXPORT_SUPPORT: 38,
  FUSE_HAS_RESEND: 39,
  FUSE_ALLOW_IDMAP: 40,
  FUSE_OVER_IO_URING: 41,
  FUSE_REQUEST_TIMEOUT: 42,
} as const;

/** open_out_flags */
export const FOPEN_FLAGS = {
  FOPEN_DIRECT_IO: 1 << 0,
  FOPEN_KEEP_CACHE: 1 << 1,
  FOPEN_NONSEEKABLE: 1 << 2,
  FOPEN_CACHE_DIR: 1 << 3,
  FOPEN_STREAM: 1 << 4,
  FOPEN_NOFLUSH: 1 << 5,
  FOPEN_PARALLEL_DIRECT_WRITES: 1 << 6,
  FOPEN_PASSTHROUGH: 1 << 7,
} as const;

/** setattr_valid */
export const FATTR_FLAGS = {
  FATTR_MODE: 1 << 0,
  FATTR_UID: 1 << 1,
  FATTR_GID: 1 << 2,
  FATTR_SIZE: 1 << 3,
  FATTR_ATIME: 1 << 4,
  FATTR_MTIME: 1 << 5,
  FATTR_FH: 1 << 6,
  FATTR_ATIME_NOW: 1 << 7,
  FATTR_MTIME_NOW: 1 << 8,
  FATTR_LOCKOWNER: 1 << 9,
  FATTR_CTIME: 1 << 10,
  FATTR_KILL_SUIDGID: 1 << 11,
} as const;

/** attr_flags */
export const FUSE_ATTR_FLAGS = {
  FUSE_ATTR_SUBMOUNT: 1 << 0,
  FUSE_ATTR_DAX: 1 << 1,
} as const;

/** setupmapping_flags */
export const SETUPMAPPING_FLAGS = {
  FUSE_SETUPMAPPING_FLAG_WRITE: 1 << 0,
  FUSE_SETUPMAPPING_FLAG_READ: 1 << 1,
} as const;

/** release_flags */
export const RELEASE_FLAGS = {
  FUSE_RELEASE_FLUSH: 1 << 0,
  FUSE_RELEASE_FLOCK_UNLOCK: 1 << 1,
} as const;

/** getattr_flags */
export const GETATTR_FLAGS = {
  FUSE_GETATTR_FH: 1 << 0,
} as const;

/** lk_flags */
export const LK_FLAGS = {
  FUSE_LK_FLOCK: 1 << 0,
} as const;

/** write_flags */
export const WRITE_FLAGS = {
  FUSE_WRITE_CACHE: 1 << 0,
  FUSE_WRITE_LOCKOWNER: 1 << 1,
  FUSE_WRITE_KILL_SUIDGID: 1 << 2,
} as const;

/** read_flags */
export const READ_FLAGS = {
  FUSE_READ_LOCKOWNER: 1 << 1,
} as const;

/** ioctl_flags */
export const IOCTL_FLAGS = {
  FUSE_IOCTL_COMPAT: 1 << 0,
  FUSE_IOCTL_UNRESTRICTED: 1 << 1,
  FUSE_IOCTL_RETRY: 1 << 2,
  FUSE_IOCTL_32BIT: 1 << 3,
  FUSE_IOCTL_DIR: 1 << 4,
  FUSE_IOCTL_COMPAT_X32: 1 << 5,
} as const;

/** poll_flags */
export const POLL_FLAGS = {
  FUSE_POLL_SCHEDULE_NOTIFY: 1 << 0,
} as const;

/** fsync_flags */
export const FSYNC_FLAGS = {
  FUSE_FSYNC_FDATASYNC: 1 << 0,
} as const;

/** open_in_flags */
export const OPEN_IN_FLAGS = {
  FUSE_OPEN_KILL_SUIDGID: 1 << 0,
} as const;

/** setxattr_flags */
export const SETXATTR_FLAGS = {
  FUSE_SETXATTR_ACL_KILL_SGID: 1 << 0,
} as const;

/** notify_inval_entry_flags */
export const INVAL_ENTRY_FLAGS = {
  FUSE_EXPIRE_ONLY: 1 << 0,
} as const;

/** cuse_init_flags */
export const CUSE_FLAGS = {
  CUSE_UNRESTRICTED_IOCTL: 1 << 0,
} as const;

export const NOTIFY_CODES = {
  FUSE_NOTIFY_POLL: 1,
  FUSE_NOTIFY_INVAL_INODE: 2,
  FUSE_NOTIFY_INVAL_ENTRY: 3,
  FUSE_NOTIFY_STORE: 4,
  FUSE_NOTIFY_RETRIEVE: 5,
  FUSE_NOTIFY_DELETE: 6,
  FUSE_NOTIFY_RESEND: 7,
  FUSE_NOTIFY_INC_EPOCH: 8,
  FUSE_NOTIFY_PRUNE: 9,
} as const;
