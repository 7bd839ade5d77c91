/** Requests about locks, and what the guest itself has to remember of them. */
import type { Errno } from '../wire/errno.ts';
import { LK_FLAGS } from '../wire/flags.ts';
import { FlushIn, LkIn, LkOut } from '../wire/fuse.ts';
import type { Fh, NodeId } from '../wire/ids.ts';
import { F_UNLCK } from '../wire/mode.ts';
import { OPS } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Session } from './session.ts';

/** "To the end of the file, however far it grows." */
export const TO_END = Number.MAX_SAFE_INTEGER;

/** An owner is 53 bits: 21 of the CPU that made it up, and its own count. */
const CPU_MASK = 0x1f_ffff;
const OWNERS_PER_CPU = 0x1_0000_0000;
const LK_IN_SIZE = sizeOf(LkIn);
const LK_OUT_SIZE = sizeOf(LkOut);

export interface Lock {
  readonly owner: number;
  readonly isFlock: boolean;
  /** F_RDLCK, F_WRLCK or F_UNLCK. */
  readonly type: number;
  /** Both inclusive. */
  readonly start: number;
  readonly end: number;
  /** 0xffffffff for an open file description. */
  readonly pid: number;
}

export class LockRequests {
  readonly #session: Session;
  #lastOwner: number;

  constructor(session: Session) {
    this.#session = session;
    // To the host an owner is a number and a guest: all CPUs of the guest count apart.
    this.#lastOwner = ((session.channel.cpu?.number ?? 0) & CPU_MASK) * OWNERS_PER_CPU;
  }

  /** Returns an owner that nobody else in the guest is. */
  newOwner(): number {
    return ++this.#lastOwner;
  }

  /** Whether the host keeps locks for its clients. */
  isSupported(isFlock: boolean): boolean {
    return this.#session.has(isFlock ? 'FUSE_FLOCK_LOCKS' : 'FUSE_POSIX_LOCKS');
  }

  /** The answer is read with `conflict`. */
  getlk(nodeid: NodeId, fh: Fh, lock: Lock): Errno {
    this.#write(OPS.GETLK.code, nodeid, fh, lock, LK_OUT_SIZE);
    return this.#session.call();
  }

  /** Returns the lock that GETLK found in the way. */
  conflict(): Lock | undefined {
    const { view, reply } = this.#session.channel;
    const { lk } = LkOut;
    const type = lk.type.get(view, reply);
    if (type === F_UNLCK) return undefined;
    const [start, end] = [lk.start.get(view, reply), lk.end.get(view, reply)];
    return { owner: 0, isFlock: false, type, start, end, pid: lk.pid.get(view, reply) };
  }

  setlk(nodeid: NodeId, fh: Fh, lock: Lock): Errno {
    this.#write(OPS.SETLK.code, nodeid, fh, lock, 0);
    return this.#session.call();
  }

  /** Waits for the lock; after `timeoutMs` it is given up with EINTR. */
  setlkw(nodeid: NodeId, fh: Fh, lock: Lock, timeoutMs: number): Errno {
    this.#write(OPS.SETLKW.code, nodeid, fh, lock, 0);
    this.#session.channel.request.timeoutMs = timeoutMs;
    return this.#session.call();
  }

  #write(opcode: number, nodeid: NodeId, fh: Fh, lock: Lock, replySize: number): void {
    const session = this.#session;
    const { view } = session.channel;
    const at = session.begin(opcode, nodeid, LK_IN_SIZE, replySize);
    LkIn.fh.set(view, at, fh);
    setOwner(LkIn.owner, view, at, lock.owner);
    LkIn.lk.type.set(view, at, lock.type);
    LkIn.lk.pid.set(view, at, lock.pid);
    LkIn.lk.start.set(view, at, lock.start);
    LkIn.lk.end.set(view, at, lock.end);
    if (lock.isFlock) LkIn.lk_flags.set(view, at, LK_FLAGS.FUSE_LK_FLOCK);
    if (lock.end !== TO_END) return;
    // SPEC: Linux, OFFSET_MAX: "to the end" is 2^63 − 1, which no number here can be.
    view.setUint32(at + LkIn.lk.end.offset, 0xffff_ffff, true);
    view.setUint32(at + LkIn.lk.end.offset + 4, 0x7fff_ffff, true);
  }
}

/** FLUSH names the process whose locks it takes. */
export function writeFlushOwner(view: DataView, at: number, owner: number): void {
  setOwner(FlushIn.lock_owner, view, at, owner);
}

export function setOwner(field: typeof LkIn.owner, view: DataView, at: number, owner: number): void {
  field.setWords(view, at, owner >>> 0, Math.floor(owner / OWNERS_PER_CPU));
}
