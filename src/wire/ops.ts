/**
 * Every operation of FUSE 7.45: number, request parts, reply parts, queue. Dispatcher, length checks, traces and
 * docs/wire.md are derived from it.
 *
 * A request is the 40-byte header and then its parts; a reply is the 16-byte header and then its parts. `name` is a
 * NUL-terminated string, `bytes` runs to the end of the message, `many` repeats a struct to the end of the message,
 * `extensions` are `total_extlen` × 8 bytes at the very end.
 * SPEC: include/uapi/linux/fuse.h, protocol 7.45.
 */
import * as fuse from './fuse.ts';
import type { AnyStruct } from './struct.ts';
import type { U32 } from './types.ts';

export type Part =
  | { readonly part: 'struct'; readonly struct: AnyStruct }
  | { readonly part: 'name'; readonly name: string }
  | { readonly part: 'bytes'; readonly name: string; readonly size: U32 | undefined }
  | { readonly part: 'many'; readonly struct: AnyStruct; readonly count: U32 }
  | { readonly part: 'dirents'; readonly struct: AnyStruct }
  | { readonly part: 'either'; readonly struct: AnyStruct; readonly name: string }
  | { readonly part: 'extensions' };

export interface Op {
  /** The number in `fuse_in_header.opcode`. */
  readonly code: number;
  /** The protocol minor that added it; 0 = older than the header's change log. */
  readonly since: number;
  readonly queue: 'request' | 'hiprio';
  readonly request: readonly Part[];
  /** `none`: the operation has no reply at all. An empty list: the reply is its header alone. */
  readonly reply: 'none' | readonly Part[];
}

const fixed = (struct: AnyStruct): Part => ({ part: 'struct', struct });
const name = (label: string): Part => ({ part: 'name', name: label });
/** `size` is the field of the request's first struct that says how many bytes there are. */
const bytes = (label: string, size?: U32): Part => ({ part: 'bytes', name: label, size });
/** `count` is the field of the request's first struct that says how many follow. */
const many = (struct: AnyStruct, count: U32): Part => ({ part: 'many', struct, count });
const dirents = (struct: AnyStruct): Part => ({ part: 'dirents', struct });
/** `struct` when the request's size field is 0, the bytes themselves otherwise. */
const either = (struct: AnyStruct, label: string): Part => ({ part: 'either', struct, name: label });
const extensions: Part = { part: 'extensions' };

export const OPS = {
  LOOKUP: { code: 1, since: 0, queue: 'request', request: [name('name')], reply: [fixed(fuse.EntryOut)] },
  FORGET: { code: 2, since: 0, queue: 'hiprio', request: [fixed(fuse.ForgetIn)], reply: 'none' },
  GETATTR: { code: 3, since: 0, queue: 'request', request: [fixed(fuse.GetattrIn)], reply: [fixed(fuse.AttrOut)] },
  SETATTR: { code: 4, since: 1, queue: 'request', request: [fixed(fuse.SetattrIn)], reply: [fixed(fuse.AttrOut)] },
  READLINK: { code: 5, since: 0, queue: 'request', request: [], reply: [bytes('target')] },
  SYMLINK: {
    code: 6,
    since: 1,
    queue: 'request',
    request: [name('name'), name('target'), extensions],
    reply: [fixed(fuse.EntryOut)],
  },
  MKNOD: {
    code: 8,
    since: 0,
    queue: 'request',
    request: [fixed(fuse.MknodIn), name('name'), extensions],
    reply: [fixed(fuse.EntryOut)],
  },
  MKDIR: {
    code: 9,
    since: 0,
    queue: 'request',
    request: [fixed(fuse.MkdirIn), name('name'), extensions],
    reply: [fixed(fuse.EntryOut)],
  },
  UNLINK: { code: 10, since: 1, queue: 'request', request: [name('name')], reply: [] },
  RMDIR: { code: 11, since: 1, queue: 'request', request: [name('name')], reply: [] },
  RENAME: {
    code: 12,
    since: 1,
    queue: 'request',
    request: [fixed(fuse.RenameIn), name('old name'), name('new name')],
    reply: [],
  },
  LINK: {
    code: 13,
    since: 1,
    queue: 'request',
    request: [fixed(fuse.LinkIn), name('new name')],
    reply: [fixed(fuse.EntryOut)],
  },
  OPEN: { code: 14, since: 1, queue: 'request', request: [fixed(fuse.OpenIn)], reply: [fixed(fuse.OpenOut)] },
  READ: { code: 15, since: 1, queue: 'request', request: [fixed(fuse.ReadIn)], reply: [bytes('data')] },
  WRITE: {
    code: 16,
    since: 1,
    queue: 'request',
    request: [fixed(fuse.WriteIn), bytes('data', fuse.WriteIn.size)],
    reply: [fixed(fuse.WriteOut)],
  },
  STATFS: { code: 17, since: 0, queue: 'request', request: [], reply: [fixed(fuse.StatfsOut)] },
  RELEASE: { code: 18, since: 1, queue: 'request', request: [fixed(fuse.ReleaseIn)], reply: [] },
  FSYNC: { code: 20, since: 1, queue: 'request', request: [fixed(fuse.FsyncIn)], reply: [] },
  SETXATTR: {
    code: 21,
    since: 1,
    queue: 'request',
    request: [fixed(fuse.SetxattrIn), name('name'), bytes('value', fuse.SetxattrIn.size)],
    reply: [],
  },
  GETXATTR: {
    code: 22,
    since: 1,
    queue: 'request',
    request: [fixed(fuse.GetxattrIn), name('name')],
    reply: [either(fuse.GetxattrOut, 'value')],
  },
  LISTXATTR: {
    code: 23,
    since: 1,
    queue: 'request',
    request: [fixed(fuse.GetxattrIn)],
    reply: [either(fuse.GetxattrOut, 'names')],
  },
  REMOVEXATTR: { code: 24, since: 1, queue: 'request', request: [name('name')], reply: [] },
  FLUSH: { code: 25, since: 1, queue: 'request', request: [fixed(fuse.FlushIn)], reply: [] },
  INIT: { code: 26, since: 0, queue: 'request', request: [fixed(fuse.InitIn)], reply: [fixed(fuse.InitOut)] },
  OPENDIR: { code: 27, since: 1, queue: 'request', request: [fixed(fuse.OpenIn)], reply: [fixed(fuse.OpenOut)] },
  READDIR: { code: 28, since: 1, queue: 'request', request: [fixed(fuse.ReadIn)], reply: [dirents(fuse.Dirent)] },
  RELEASEDIR: { code: 29, since: 1, queue: 'request', request: [fixed(fuse.ReleaseIn)], reply: [] },
  FSYNCDIR: { code: 30, since: 2, queue: 'request', request: [fixed(fuse.FsyncIn)], reply: [] },
  GETLK: { code: 31, since: 7, queue: 'request', request: [fixed(fuse.LkIn)], reply: [fixed(fuse.LkOut)] },
  SETLK: { code: 32, since: 7, queue: 'request', request: [fixed(fuse.LkIn)], reply: [] },
  SETLKW: { code: 33, since: 7, queue: 'request', request: [fixed(fuse.LkIn)], reply: [] },
  ACCESS: { code: 34, since: 3, queue: 'request', request: [fixed(fuse.AccessIn)], reply: [] },
  CREATE: {
    code: 35,
    since: 3,
    queue: 'request',
    request: [fixed(fuse.CreateIn), name('name'), extensions],
    reply: [fixed(fuse.EntryOut), fixed(fuse.OpenOut)],
  },
  INTERRUPT: { code: 36, since: 7, queue: 'hiprio', request: [fixed(fuse.InterruptIn)], reply: 'none' },
  BMAP: { code: 37, since: 8, queue: 'request', request: [fixed(fuse.BmapIn)], reply: [fixed(fuse.BmapOut)] },
  DESTROY: { code: 38, since: 8, queue: 'request', request: [], reply: [] },
  IOCTL: {
    code: 39,
    since: 11,
    queue: 'request',
    request: [fixed(fuse.IoctlIn), bytes('input', fuse.IoctlIn.in_size)],
    reply: [fixed(fuse.IoctlOut), bytes('output')],
  },
  POLL: { code: 40, since: 11, queue: 'request', request: [fixed(fuse.PollIn)], reply: [fixed(fuse.PollOut)] },
  NOTIFY_REPLY: {
    code: 41,
    since: 15,
    queue: 'request',
    request: [fixed(fuse.NotifyRetrieveIn), bytes('data', fuse.NotifyRetrieveIn.size)],
    reply: 'none',
  },
  BATCH_FORGET: {
    code: 42,
    since: 16,
    queue: 'hiprio',
    request: [fixed(fuse.BatchForgetIn), many(fuse.ForgetOne, fuse.BatchForgetIn.count)],
    reply: 'none',
  },
  FALLOCATE: { code: 43, since: 19, queue: 'request', request: [fixed(fuse.FallocateIn)], reply: [] },
  READDIRPLUS: {
    code: 44,
    since: 21,
    queue: 'request',
    request: [fixed(fuse.ReadIn)],
    reply: [dirents(fuse.Direntplus)],
  },
  RENAME2: {
    code: 45,
    since: 23,
    queue: 'request',
    request: [fixed(fuse.Rename2In), name('old name'), name('new name')],
    reply: [],
  },
  LSEEK: { code: 46, since: 24, queue: 'request', request: [fixed(fuse.LseekIn)], reply: [fixed(fuse.LseekOut)] },
  COPY_FILE_RANGE: {
    code: 47,
    since: 28,
    queue: 'request',
    request: [fixed(fuse.CopyFileRangeIn)],
    reply: [fixed(fuse.WriteOut)],
  },
  SETUPMAPPING: { code: 48, since: 31, queue: 'request', request: [fixed(fuse.SetupmappingIn)], reply: [] },
  REMOVEMAPPING: {
    code: 49,
    since: 31,
    queue: 'request',
    request: [fixed(fuse.RemovemappingIn), many(fuse.RemovemappingOne, fuse.RemovemappingIn.count)],
    reply: [],
  },
  SYNCFS: { code: 50, since: 34, queue: 'request', request: [fixed(fuse.SyncfsIn)], reply: [] },
  TMPFILE: {
    code: 51,
    since: 37,
    queue: 'request',
    request: [fixed(fuse.CreateIn), name('ignored by servers'), extensions],
    reply: [fixed(fuse.EntryOut), fixed(fuse.OpenOut)],
  },
  STATX: { code: 52, since: 39, queue: 'request', request: [fixed(fuse.StatxIn)], reply: [fixed(fuse.StatxOut)] },
  COPY_FILE_RANGE_64: {
    code: 53,
    since: 45,
    queue: 'request',
    request: [fixed(fuse.CopyFileRangeIn)],
    reply: [fixed(fuse.CopyFileRangeOut)],
  },
  CUSE_INIT: {
    code: 4096,
    since: 0,
    queue: 'request',
    request: [fixed(fuse.CuseInitIn)],
    reply: [fixed(fuse.CuseInitOut)],
  },
} as const satisfies Record<string, Op>;

export type OpName = keyof typeof OPS;

/** What the server tells the client without being asked: a reply header whose `error` is the code and `unique` is 0. */
export interface Notify {
  readonly code: number;
  readonly since: number;
  readonly parts: readonly Part[];
}

export const NOTIFIES = {
  POLL: { code: 1, since: 11, parts: [fixed(fuse.NotifyPollWakeupOut)] },
  INVAL_INODE: { code: 2, since: 12, parts: [fixed(fuse.NotifyInvalInodeOut)] },
  INVAL_ENTRY: { code: 3, since: 12, parts: [fixed(fuse.NotifyInvalEntryOut), name('name')] },
  STORE: { code: 4, since: 15, parts: [fixed(fuse.NotifyStoreOut), bytes('data', fuse.NotifyStoreOut.size)] },
  RETRIEVE: { code: 5, since: 15, parts: [fixed(fuse.NotifyRetrieveOut)] },
  DELETE: { code: 6, since: 18, parts: [fixed(fuse.NotifyDeleteOut), name('name')] },
  RESEND: { code: 7, since: 40, parts: [] },
  INC_EPOCH: { code: 8, since: 44, parts: [] },
  PRUNE: { code: 9, since: 45, parts: [fixed(fuse.NotifyPruneOut), bytes('nodeids')] },
} as const satisfies Record<string, Notify>;
