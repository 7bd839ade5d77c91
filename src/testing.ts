/**
 * `virtiofs/testing`: what people use who test FUSE, virtio-fs or DAX code: host and guests in one thread under a clock
 * they turn by hand, the parts to build worlds of their own, and trace lines.
 */

export { ManualClock } from './base/clock.ts';
export { InlineDoorbell } from './base/doorbell.ts';
export { Prng } from './base/prng.ts';
export type { Call } from './host/call.ts';
export type { DirSink, DirStream, FileSystem, Outcome } from './host/file-system.ts';
export { Attr, AttrChange, Caller, Inode, StatFs } from './host/inode.ts';
export { Server } from './host/server.ts';
export type { Session, SessionOptions } from './host/session.ts';
export { Chain, SegmentList } from './virtio/chain.ts';
export { DeviceQueue } from './virtio/device.ts';
export { DriverQueue } from './virtio/driver.ts';
export { type GuestMemory, LocalMemory } from './virtio/memory.ts';
export { VirtioDevice, VirtioDriver } from './virtio/negotiate.ts';
export { formatReply, formatRequest } from './wire/format.ts';
export type { Connection } from './worker/connect.ts';
export { createInline, type InlineHost, type InlineOptions } from './worker/inline.ts';
