/**
 * Every struct of the FUSE ABI 7.45, field by field, with the kernel's names: the one place where the format is said.
 * Codec, length checks, types, traces and docs/wire.md are derived from it.
 * SPEC: include/uapi/linux/fuse.h, protocol 7.45 (Linux 6.18).
 */
import { bits64, flexible, i32, i64, nested, sat64, struct, u16, u32, u64, words } from './struct.ts';

export const Attr = struct('fuse_attr', {
  ino: u64,
  size: u64,
  blocks: u64,
  atime: i64,
  mtime: i64,
  ctime: i64,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  nlink: u32,
  uid: u32,
  gid: u32,
  rdev: u32,
  blksize: u32,
  flags: u32,
});

export const SxTime = struct('fuse_sx_time', { tv_sec: i64, tv_nsec: u32, __reserved: i32 });

export const Statx = struct('fuse_statx', {
  mask: u32,
  blksize: u32,
  attributes: bits64,
  nlink: u32,
  uid: u32,
  gid: u32,
  mode: u16,
  __spare0: words(2, 1),
  ino: u64,
  size: u64,
  blocks: u64,
  attributes_mask: bits64,
  atime: nested(SxTime),
  btime: nested(SxTime),
  ctime: nested(SxTime),
  mtime: nested(SxTime),
  rdev_major: u32,
  rdev_minor: u32,
  dev_major: u32,
  dev_minor: u32,
  __spare2: words(8, 14),
});

export const Kstatfs = struct('fuse_kstatfs', {
  blocks: u64,
  bfree: u64,
  bavail: u64,
  files: u64,
  ffree: u64,
  bsize: u32,
  namelen: u32,
  frsize: u32,
  padding: u32,
  spare: words(4, 6),
});

export const FileLock = struct('fuse_file_lock', { start: sat64, end: sat64, type: u32, pid: u32 });

/** Size by protocol minor: <9 120, >=9 128. */
export const EntryOut = struct('fuse_entry_out', {
  nodeid: u64,
  generation: u64,
  entry_valid: sat64,
  attr_valid: sat64,
  entry_valid_nsec: u32,
  attr_valid_nsec: u32,
  attr: nested(Attr),
});

export const ForgetIn = struct('fuse_forget_in', { nlookup: sat64 });
export const ForgetOne = struct('fuse_forget_one', { nodeid: u64, nlookup: sat64 });
export const BatchForgetIn = struct('fuse_batch_forget_in', { count: u32, dummy: u32 });

/** Size by protocol minor: <9 0, >=9 16. */
export const GetattrIn = struct('fuse_getattr_in', { getattr_flags: u32, dummy: u32, fh: u64 });

/** Size by protocol minor: <9 96, >=9 104. */
export const AttrOut = struct('fuse_attr_out', {
  attr_valid: sat64,
  attr_valid_nsec: u32,
  dummy: u32,
  attr: nested(Attr),
});

export const StatxIn = struct('fuse_statx_in', {
  getattr_flags: u32,
  reserved: u32,
  fh: u64,
  sx_flags: u32,
  sx_mask: u32,
});

export const StatxOut = struct('fuse_statx_out', {
  attr_valid: sat64,
  attr_valid_nsec: u32,
  flags: u32,
  spare: words(8, 2),
  stat: nested(Statx),
});

/** Size by protocol minor: <12 8, >=12 16. */
export const MknodIn = struct('fuse_mknod_in', { mode: u32, rdev: u32, umask: u32, padding: u32 });
export const MkdirIn = struct('fuse_mkdir_in', { mode: u32, umask: u32 });
export const RenameIn = struct('fuse_rename_in', { newdir: u64 });
export const Rename2In = struct('fuse_rename2_in', { newdir: u64, flags: u32, padding: u32 });
export const LinkIn = struct('fuse_link_in', { oldnodeid: u64 });

export const SetattrIn = struct('fuse_setattr_in', {
  valid: u32,
  padding: u32,
  fh: u64,
  size: sat64,
  lock_owner: bits64,
  atime: i64,
  mtime: i64,
  ctime: i64,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  unused4: u32,
  uid: u32,
  gid: u32,
  unused5: u32,
});

export const OpenIn = struct('fuse_open_in', { flags: u32, open_flags: u32 });

/** Size by protocol minor: <12 8, >=12 16. */
export const CreateIn = struct('fuse_create_in', { flags: u32, mode: u32, umask: u32, open_flags: u32 });
export const OpenOut = struct('fuse_open_out', { fh: u64, open_flags: u32, backing_id: i32 });
export const ReleaseIn = struct('fuse_release_in', { fh: u64, flags: u32, release_flags: u32, lock_owner: bits64 });
export const FlushIn = struct('fuse_flush_in', { fh: u64, unused: u32, padding: u32, lock_owner: bits64 });

export const ReadIn = struct('fuse_read_in', {
  fh: u64,
  offset: sat64,
  size: u32,
  read_flags: u32,
  lock_owner: bits64,
  flags: u32,
  padding: u32,
});

/** Size by protocol minor: <9 24, >=9 40. */
export const WriteIn = struct('fuse_write_in', {
  fh: u64,
  offset: sat64,
  size: u32,
  write_flags: u32,
  lock_owner: bits64,
  flags: u32,
  padding: u32,
});

export const WriteOut = struct('fuse_write_out', { size: u32, padding: u32 });

/** Size by protocol minor: <4 48, >=4 80. */
export const StatfsOut = struct('fuse_statfs_out', { st: nested(Kstatfs) });
export const FsyncIn = struct('fuse_fsync_in', { fh: u64, fsync_flags: u32, padding: u32 });

/** Size by protocol minor: without SETXATTR_EXT 8, with 16. */
export const SetxattrIn = struct('fuse_setxattr_in', { size: u32, flags: u32, setxattr_flags: u32, padding: u32 });
export const GetxattrIn = struct('fuse_getxattr_in', { size: u32, padding: u32 });
export const GetxattrOut = struct('fuse_getxattr_out', { size: u32, padding: u32 });
export const LkIn = struct('fuse_lk_in', { fh: u64, owner: bits64, lk: nested(FileLock), lk_flags: u32, padding: u32 });
export const LkOut = struct('fuse_lk_out', { lk: nested(FileLock) });
export const AccessIn = struct('fuse_access_in', { mask: u32, padding: u32 });

/** Size by protocol minor: without INIT_EXT 16, with 64. */
export const InitIn = struct('fuse_init_in', {
  major: u32,
  minor: u32,
  max_readahead: u32,
  flags: u32,
  flags2: u32,
  unused: words(4, 11),
});

/** Size by protocol minor: <5 8, <23 24, >=23 64. */
export const InitOut = struct('fuse_init_out', {
  major: u32,
  minor: u32,
  max_readahead: u32,
  flags: u32,
  max_background: u16,
  congestion_threshold: u16,
  max_write: u32,
  time_gran: u32,
  max_pages: u16,
  map_alignment: u16,
  flags2: u32,
  max_stack_depth: u32,
  request_timeout: u16,
  unused: words(2, 11),
});

export const CuseInitIn = struct('cuse_init_in', { major: u32, minor: u32, unused: u32, flags: u32 });

export const CuseInitOut = struct('cuse_init_out', {
  major: u32,
  minor: u32,
  unused: u32,
  flags: u32,
  max_read: u32,
  max_write: u32,
  dev_major: u32,
  dev_minor: u32,
  spare: words(4, 10),
});

export const InterruptIn = struct('fuse_interrupt_in', { unique: bits64 });
export const BmapIn = struct('fuse_bmap_in', { block: u64, blocksize: u32, padding: u32 });
export const BmapOut = struct('fuse_bmap_out', { block: u64 });

export const IoctlIn = struct('fuse_ioctl_in', {
  fh: u64,
  flags: u32,
  cmd: u32,
  arg: bits64,
  in_size: u32,
  out_size: u32,
});

export const IoctlIovec = struct('fuse_ioctl_iovec', { base: u64, len: u64 });
export const IoctlOut = struct('fuse_ioctl_out', { result: i32, flags: u32, in_iovs: u32, out_iovs: u32 });
export const PollIn = struct('fuse_poll_in', { fh: u64, kh: bits64, flags: u32, events: u32 });
export const PollOut = struct('fuse_poll_out', { revents: u32, padding: u32 });
export const NotifyPollWakeupOut = struct('fuse_notify_poll_wakeup_out', { kh: bits64 });

export const FallocateIn = struct('fuse_fallocate_in', {
  fh: u64,
  offset: sat64,
  length: sat64,
  mode: u32,
  padding: u32,
});

export const InHeader = struct('fuse_in_header', {
  len: u32,
  opcode: u32,
  unique: bits64,
  nodeid: u64,
  uid: u32,
  gid: u32,
  pid: u32,
  total_extlen: u16,
  padding: u16,
});

export const OutHeader = struct('fuse_out_header', { len: u32, error: i32, unique: bits64 });
export const Dirent = struct('fuse_dirent', { ino: u64, off: bits64, namelen: u32, type: u32, name: flexible(1) });
export const Direntplus = struct('fuse_direntplus', { entry_out: nested(EntryOut), dirent: nested(Dirent) });
export const NotifyInvalInodeOut = struct('fuse_notify_inval_inode_out', { ino: u64, off: i64, len: i64 });
export const NotifyInvalEntryOut = struct('fuse_notify_inval_entry_out', { parent: u64, namelen: u32, flags: u32 });

export const NotifyDeleteOut = struct('fuse_notify_delete_out', {
  parent: u64,
  child: u64,
  namelen: u32,
  padding: u32,
});

export const NotifyStoreOut = struct('fuse_notify_store_out', { nodeid: u64, offset: u64, size: u32, padding: u32 });

export const NotifyRetrieveOut = struct('fuse_notify_retrieve_out', {
  notify_unique: bits64,
  nodeid: u64,
  offset: u64,
  size: u32,
  padding: u32,
});

export const NotifyRetrieveIn = struct('fuse_notify_retrieve_in', {
  dummy1: bits64,
  offset: u64,
  size: u32,
  dummy2: u32,
  dummy3: bits64,
  dummy4: bits64,
});

export const NotifyPruneOut = struct('fuse_notify_prune_out', { count: u32, padding: u32, spare: bits64 });
export const BackingMap = struct('fuse_backing_map', { fd: i32, flags: u32, padding: u64 });
export const LseekIn = struct('fuse_lseek_in', { fh: u64, offset: sat64, whence: u32, padding: u32 });
export const LseekOut = struct('fuse_lseek_out', { offset: u64 });

export const CopyFileRangeIn = struct('fuse_copy_file_range_in', {
  fh_in: u64,
  off_in: sat64,
  nodeid_out: u64,
  fh_out: u64,
  off_out: sat64,
  len: sat64,
  flags: u64,
});

export const CopyFileRangeOut = struct('fuse_copy_file_range_out', { bytes_copied: u64 });

export const SetupmappingIn = struct('fuse_setupmapping_in', {
  fh: bits64,
  foffset: u64,
  len: u64,
  flags: u64,
  moffset: u64,
});

export const RemovemappingIn = struct('fuse_removemapping_in', { count: u32 });
export const RemovemappingOne = struct('fuse_removemapping_one', { moffset: u64, len: u64 });
export const SyncfsIn = struct('fuse_syncfs_in', { padding: u64 });
export const Secctx = struct('fuse_secctx', { size: u32, padding: u32 });
export const SecctxHeader = struct('fuse_secctx_header', { size: u32, nr_secctx: u32 });
export const ExtHeader = struct('fuse_ext_header', { size: u32, type: u32 });
export const SuppGroups = struct('fuse_supp_groups', { nr_groups: u32, groups: flexible(4) });

export const UringEntInOut = struct('fuse_uring_ent_in_out', {
  flags: u64,
  commit_id: u64,
  payload_sz: u32,
  padding: u32,
  reserved: u64,
});

export const UringReqHeader = struct('fuse_uring_req_header', {
  in_out: words(1, 128),
  op_in: words(1, 128),
  ring_ent_in_out: nested(UringEntInOut),
});

export const UringCmdReq = struct('fuse_uring_cmd_req', { flags: u64, commit_id: u64, qid: u16, padding: words(1, 6) });
