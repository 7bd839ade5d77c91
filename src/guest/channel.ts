/**
 * A guest's way to its host: one synchronous FUSE request at a time, whatever carries it. The virtio channel is the
 * real one; tests drive a server directly. Request and reply are written and read in place, in memory both can reach.
 *
 * Use: write the arguments at `args`, set the fields of `request`, `call()`, read the reply's arguments at `reply`.
 */
import type { Errno } from '../wire/errno.ts';
import type { NodeId } from '../wire/ids.ts';
import type { NotifySource } from './notifications.ts';

/** Bytes of arguments one request may have (two names, a symlink target, a full batch of 256 mappings). */
export const ARGS_ROOM = 8192;
/** Bytes of fixed reply arguments (STATX has the most, 288). */
export const REPLY_ROOM = 512;

/** Reused for every request: set every field that the operation uses; `call` leaves them as they are. */
export class Request {
  opcode = 0;
  nodeid = 0 as NodeId;
  uid = 0;
  gid = 0;
  pid = 0;
  /** Bytes written at `args`. */
  argSize = 0;
  /** Address and size of the payload that follows the arguments (WRITE); size 0 = none. */
  dataIn = 0;
  dataInSize = 0;
  /** Bytes of fixed arguments expected in the reply; 0 = header only. */
  replySize = 0;
  /** Where a variable reply (READ, READDIR, READLINK …) goes, and how much fits; size 0 = none. */
  dataOut = 0;
  dataOutSize = 0;
  /** After this long without an answer the host is asked to give the request up: INTERRUPT. */
  timeoutMs = Number.POSITIVE_INFINITY;
}

/** The worker as one of its guest's CPUs. */
export interface Cpu {
  /** No other CPU that the guest has or had is this one. */
  readonly number: number;
  /** Whether the CPU with a number still runs, or may. */
  isLive(number: number): boolean;
}

export interface Channel {
  /** Absent: the guest has but this one. */
  readonly cpu?: Cpu | undefined;
  /** The memory that all addresses here refer to. */
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly request: Request;
  /** Address where the arguments of the next request are written. Read it anew for each request. */
  readonly args: number;
  /** Address of the reply's fixed arguments after `call`. */
  readonly reply: number;
  /** Address and size of the channel's own bounce buffer for payloads, for programs whose buffers are elsewhere. */
  readonly data: number;
  readonly dataSize: number;
  /** After a successful `call`: bytes of the reply after its header (fixed arguments and payload together). */
  readonly received: number;

  /**
   * Sends `request` and waits for the answer. Returns the reply's errno; ENOTCONN when the device is gone or was reset,
   * EIO when the reply breaks the protocol (too short, wrong unique, length that lies).
   */
  call(): Errno;
  /** Sends `request` without waiting: FORGET, BATCH_FORGET (hiprio queue), RELEASE whose answer nobody reads. */
  post(): void;
  /** Posted requests that the host has not answered yet. */
  readonly pending: number;
  /** Waits until everything posted has been taken by the host. */
  drain(): void;
  /** What the host tells of others' changes; absent: nothing, and only time makes caches doubtful. */
  readonly notifications?: NotifySource | undefined;
  /** Whether the host offers a DAX window to this guest. */
  readonly hasWindow: boolean;
  /** Resets the device and gives its slot back. */
  close(): void;
}
