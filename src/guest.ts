/** `virtiofs/guest`: what a guest worker loads, and no more. */
export { BusError, FsError } from './guest/errors.ts';
export type { Guest, WriteFileOptions } from './guest/guest.ts';
export type { LockInfo, LockOptions, LockRange, LockType, LockWait } from './guest/lock-calls.ts';
export type { Mapping, MmapOptions } from './guest/mapping.ts';
export type { File } from './guest/open-file.ts';
export type { Stats } from './guest/stats.ts';
export type { Attachment } from './worker/host.ts';
export { type MountOptions, mount } from './worker/mount.ts';
