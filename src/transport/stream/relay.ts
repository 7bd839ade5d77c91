/**
 * Serves guests from a foreign FUSE server: one connection, one INIT, any number of guests.
 *
 * The foreign server sees one client, as if a kernel stood between. So the first guest's INIT is agreed on for all,
 * lookups and handles are given back when a guest ends, however it ends, and DESTROY comes at the very end.
 *
 * Requests are forwarded one at a time, each waited for: the thread that relays serves all guests. Therefore locks are
 * not offered: a lock that waits would stop the guest that holds it too.
 */
import type { Call, CallHandler } from '../../host/call.ts';
import type { Log } from '../../host/log.ts';
import { readSegments } from '../../virtio/chain.ts';
import type { GuestMemory } from '../../virtio/memory.ts';
import { EIO, ENOTCONN, EPROTO, type Errno, OK } from '../../wire/errno.ts';
import { INIT_FLAG_BITS } from '../../wire/flags.ts';
import {
  BatchForgetIn,
  ForgetIn,
  ForgetOne,
  InHeader,
  InitIn,
  InitOut,
  OutHeader,
  ReleaseIn,
} from '../../wire/fuse.ts';
import { FUSE_KERNEL_MINOR_VERSION, FUSE_KERNEL_VERSION, IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../wire/ids.ts';
import { DEFAULT_SIZES, MessageSizes } from '../../wire/message.ts';
import { OPS } from '../../wire/ops.ts';
import { sizeOf } from '../../wire/struct.ts';
import type { U16, U32 } from '../../wire/types.ts';
import type { Handle, Ledger, Lookups, Words64 } from './ledger.ts';
import { RelaySession } from './relay-session.ts';

/** A connection to the server on which one request at a time is asked and waited for. */
export interface Link {
  /** For log lines. */
  readonly name: string;
  /** Where the next request is written. */
  readonly request: Uint8Array;
  /** Where the last reply lies, until the next exchange that has one. */
  readonly reply: Uint8Array;
  /** Why the link is gone. */
  readonly why: string;
  /** Replies to nothing that was asked. */
  readonly strays: number;
  /** Sends `size` bytes of `request`: the bytes of the reply, 0 when none is due, −1 when the link is gone. */
  exchange(size: number, hasReply: boolean): number;
  close(): void;
}

export interface RelayOptions {
  readonly link: Link;
  /** The memory that the guests' payloads lie in. */
  readonly memory: GuestMemory;
  /** The largest payload of one request or reply. */
  readonly maxWrite: number;
  readonly log: Log;
}

/** What the relay cannot pass on. */
const NOT_OFFERED: readonly (keyof typeof INIT_FLAG_BITS)[] = [
  // No window: the server's files are not in our memory.
  'FUSE_MAP_ALIGNMENT',
  'FUSE_HAS_INODE_DAX',
  // See above.
  'FUSE_POSIX_LOCKS',
  'FUSE_FLOCK_LOCKS',
  // Of /dev/fuse only.
  'FUSE_SPLICE_WRITE',
  'FUSE_SPLICE_MOVE',
  'FUSE_SPLICE_READ',
  'FUSE_PASSTHROUGH',
  'FUSE_OVER_IO_URING',
  'FUSE_HAS_RESEND',
];
const PAGE_SIZE = 4096;
const BATCH = 256;
const BATCH_MINOR = 16;
/** SPEC: fs/fuse/dev.c, fuse_dev_do_write: an error is 1 … 511. */
const ERROR_MAX = 511;
const INIT_OUT_MAX = sizeOf(InitOut);

export class Relay {
  readonly memory: GuestMemory;
  readonly log: Log;
  /** The sizes of messages since INIT. */
  sizes = DEFAULT_SIZES;
  readonly #link: Link;
  readonly #maxWrite: number;
  readonly #request: DataView;
  readonly #sessions = new Set<RelaySession>();
  /** What the server answered to INIT, capped; undefined before. */
  #initOut: DataView | undefined;
  #unique = 0;
  #isGone = false;

  constructor(options: RelayOptions) {
    this.#link = options.link;
    this.memory = options.memory;
    this.log = options.log;
    this.#maxWrite = options.maxWrite;
    this.#request = viewOf(options.link.request);
  }

  /** Inodes and handles that guests hold. */
  get held(): number {
    let held = 0;
    for (const session of this.#sessions) held += session.held;
    return held;
  }

  openSession(name: string): CallHandler {
    const session: RelaySession = new RelaySession(this, name, () => this.#sessions.delete(session));
    this.#sessions.add(session);
    return session;
  }

  /** Ends every session, says DESTROY, closes the connection. */
  close(): void {
    for (const session of [...this.#sessions]) session.close();
    if (this.#initOut !== undefined) this.#ask(OPS.DESTROY.code, { low: 0, high: 0 }, 0, true);
    const { strays, name } = this.#link;
    if (strays > 0) this.log('warn', `${name}: ${strays} replies to nothing that was asked`);
    this.#link.close();
  }

  /** Forwards a request as it is. OK: the reply's arguments are `reply`, of the returned size; or an errno negated. */
  forward(call: Call, hasReply: boolean): number {
    const size = this.#copy(call);
    return size < 0 ? size : this.#exchange(size, hasReply);
  }

  /** The last reply, header included. */
  get reply(): Uint8Array {
    return this.#link.reply;
  }

  /** INIT for a guest: asks the server only once. On OK the agreed `fuse_init_out` is in `initOut`. */
  init(call: Call): Errno {
    if (this.#initOut !== undefined) return this.#isGone ? ENOTCONN : OK;
    const size = this.#copy(call);
    if (size < 0) return EIO;
    for (const flag of NOT_OFFERED) withhold(this.#request, flag);
    const received = this.#exchange(size, true);
    if (received < 0) return -received as Errno;
    return this.#takeInit(received);
  }

  get initOut(): DataView | undefined {
    return this.#initOut;
  }

  /** Gives back everything that a guest held. */
  giveBack(ledger: Ledger): void {
    // RELEASE names its inode, so it goes before the FORGET.
    for (const handle of ledger.handles) this.release(handle);
    this.forgetAll(ledger.lookups);
    ledger.clear();
  }

  /** Gives lookups back, as many at once as the server can take. */
  forgetAll(lookups: readonly Lookups[]): void {
    const batch = this.sizes.minor < BATCH_MINOR ? 1 : BATCH;
    for (let i = 0; i < lookups.length; i += batch) {
      const [first, ...more] = lookups.slice(i, i + batch);
      if (first === undefined) return;
      if (more.length === 0) this.forget(words(first[0]), first[1]);
      else this.#forgetBatch([first, ...more]);
    }
  }

  forget(nodeid: Words64, count: number): void {
    ForgetIn.nlookup.set(this.#request, IN_HEADER_SIZE, count);
    this.#ask(OPS.FORGET.code, nodeid, sizeOf(ForgetIn), false);
  }

  release(handle: Handle): void {
    const at = IN_HEADER_SIZE;
    this.#link.request.fill(0, at, at + sizeOf(ReleaseIn));
    this.#request.setUint32(at + ReleaseIn.fh.offset, handle.fh.low, true);
    this.#request.setUint32(at + ReleaseIn.fh.offset + 4, handle.fh.high, true);
    ReleaseIn.flags.set(this.#request, at, handle.flags);
    const opcode = handle.isDirectory ? OPS.RELEASEDIR.code : OPS.RELEASE.code;
    this.#ask(opcode, handle.nodeid, sizeOf(ReleaseIn), true);
  }

  #forgetBatch(lookups: readonly Lookups[]): void {
    let at = IN_HEADER_SIZE;
    BatchForgetIn.count.set(this.#request, at, lookups.length);
    BatchForgetIn.dummy.set(this.#request, at, 0);
    at += sizeOf(BatchForgetIn);
    for (const [nodeid, count] of lookups) {
      ForgetOne.nodeid.set(this.#request, at, nodeid);
      ForgetOne.nlookup.set(this.#request, at, count);
      at += sizeOf(ForgetOne);
    }
    this.#ask(OPS.BATCH_FORGET.code, words(0), at - IN_HEADER_SIZE, false);
  }

  /** Asks something of our own, whose arguments are written; its answer changes nothing. */
  #ask(opcode: number, nodeid: Words64, argSize: number, hasReply: boolean): void {
    if (this.#isGone) return;
    this.#link.request.fill(0, 0, IN_HEADER_SIZE);
    InHeader.len.set(this.#request, 0, IN_HEADER_SIZE + argSize);
    InHeader.opcode.set(this.#request, 0, opcode);
    this.#request.setUint32(InHeader.nodeid.offset, nodeid.low, true);
    this.#request.setUint32(InHeader.nodeid.offset + 4, nodeid.high, true);
    this.#exchange(IN_HEADER_SIZE + argSize, hasReply);
  }

  /** Copies a request, payload and all, to where the link wants it; its size, or an errno negated. */
  #copy(call: Call): number {
    const { request } = this.#link;
    const { requestSize, messageSize, dataIn } = call;
    if (messageSize > request.length) return -EIO;
    request.set(new Uint8Array(call.request.buffer, call.request.byteOffset, requestSize));
    const payload = readSegments(this.memory, dataIn, 0, request, requestSize, messageSize - requestSize);
    return requestSize + payload === messageSize ? messageSize : -EIO;
  }

  /** Returns the bytes of the reply's arguments, or an errno negated. */
  #exchange(size: number, hasReply: boolean): number {
    // SPEC: fs/fuse/dev.c, FUSE_REQ_ID_STEP: odd numbers mean interrupts.
    this.#unique += 2;
    InHeader.unique.setWords(this.#request, 0, this.#unique >>> 0, Math.floor(this.#unique / 0x1_0000_0000));
    const received = this.#isGone ? -1 : this.#link.exchange(size, hasReply);
    if (received < 0) return -this.#lose();
    return hasReply ? this.#check(received) : 0;
  }

  #check(received: number): number {
    const error = -OutHeader.error.get(viewOf(this.#link.reply), 0);
    if (error === 0) return received - OUT_HEADER_SIZE;
    if (error > 0 && error <= ERROR_MAX && received === OUT_HEADER_SIZE) return -error;
    this.log('error', `${this.#link.name}: a reply of ${received} bytes with error ${-error}`);
    return -EIO;
  }

  #lose(): Errno {
    if (!this.#isGone) this.log('error', `${this.#link.name}: ${this.#link.why}`);
    this.#isGone = true;
    return ENOTCONN;
  }

  #takeInit(received: number): Errno {
    const { reply, name } = this.#link;
    const size = Math.min(received, INIT_OUT_MAX);
    const out = viewOf(reply.slice(OUT_HEADER_SIZE, OUT_HEADER_SIZE + size));
    const major = size < 8 ? 0 : InitOut.major.get(out, 0);
    if (major !== FUSE_KERNEL_VERSION) {
      this.log('error', `${name}: the server speaks FUSE ${major}, not ${FUSE_KERNEL_VERSION}`);
      return EPROTO;
    }
    cap(out, InitOut.max_write, this.#maxWrite);
    cap(out, InitOut.max_pages, Math.ceil(this.#maxWrite / PAGE_SIZE));
    for (const flag of NOT_OFFERED) takeOut(out, flag);
    const minor = Math.min(InitOut.minor.get(out, 0), FUSE_KERNEL_MINOR_VERSION);
    const flags = size < InitOut.flags.offset + 4 ? 0 : InitOut.flags.get(out, 0);
    this.sizes = new MessageSizes(minor, (flags & (1 << INIT_FLAG_BITS.FUSE_SETXATTR_EXT)) !== 0);
    this.#initOut = out;
    return OK;
  }
}

/** Makes `out` say at most what one guest offered: never a flag that was not. */
export function agreeOn(out: DataView, request: DataView): void {
  for (const flag of Object.keys(INIT_FLAG_BITS) as (keyof typeof INIT_FLAG_BITS)[]) {
    if (!isOffered(request, flag)) takeOut(out, flag);
  }
}

function words(value: number): Words64 {
  return { low: value >>> 0, high: Math.floor(value / 0x1_0000_0000) };
}

function isOffered(request: DataView, flag: keyof typeof INIT_FLAG_BITS): boolean {
  const bit = INIT_FLAG_BITS[flag];
  const flags = InitIn.flags.get(request, IN_HEADER_SIZE);
  if (bit < 32) return (flags & (1 << bit)) !== 0;
  // The message's check made sure that INIT_EXT comes with the long struct.
  const hasFlags2 = (flags & (1 << INIT_FLAG_BITS.FUSE_INIT_EXT)) !== 0;
  return hasFlags2 && (InitIn.flags2.get(request, IN_HEADER_SIZE) & (1 << (bit - 32))) !== 0;
}

function withhold(request: DataView, flag: keyof typeof INIT_FLAG_BITS): void {
  if (!isOffered(request, flag)) return;
  const bit = INIT_FLAG_BITS[flag];
  const field = bit < 32 ? InitIn.flags : InitIn.flags2;
  field.set(request, IN_HEADER_SIZE, field.get(request, IN_HEADER_SIZE) & ~(1 << (bit & 31)));
}

function takeOut(out: DataView, flag: keyof typeof INIT_FLAG_BITS): void {
  const bit = INIT_FLAG_BITS[flag];
  const field = bit < 32 ? InitOut.flags : InitOut.flags2;
  if (field.offset + field.size <= out.byteLength) field.set(out, 0, field.get(out, 0) & ~(1 << (bit & 31)));
}

function cap(out: DataView, field: U16 | U32, limit: number): void {
  if (field.offset + field.size > out.byteLength) return;
  field.set(out, 0, Math.min(field.get(out, 0), limit));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
