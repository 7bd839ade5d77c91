/** The package's main entry: hosts and guests, for Node and browsers. */

export type { GuestStats } from './guest/counters.ts';
export { BusError, FsError } from './guest/errors.ts';
export type { Guest, WriteFileOptions } from './guest/guest.ts';
export type { LockInfo, LockOptions, LockRange, LockType, LockWait } from './guest/lock-calls.ts';
export type { Mapping, MmapOptions } from './guest/mapping.ts';
export type { Directory } from './guest/open-dir.ts';
export type { File, Whence } from './guest/open-file.ts';
export type { Allocation, DaxMode, ReclaimMode } from './guest/options.ts';
export type { DirectoryEntry, StatFs, Stats } from './guest/stats.ts';
export type { Log, LogLevel } from './host/log.ts';
export {
  type Attachment,
  type CreateHostOptions,
  createHost,
  type Host,
  IsolationError,
  type KernelMountHandle,
} from './worker/host.ts';
export type { HostReport } from './worker/host-core.ts';
export type { CacheMode, FileSystemSpec, HostOptions } from './worker/host-options.ts';
export { createInline, type InlineHost, type InlineOptions } from './worker/inline.ts';
export { type MountOptions, mount } from './worker/mount.ts';
export type { AnyWorker } from './worker/threads.ts';
