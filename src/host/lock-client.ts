/** What one client (a guest, with all its CPUs) asks for, has, and waits for: its side of the lock table. */
import { F_UNLCK } from '../wire/mode.ts';
import type { Deferred } from './call.ts';
import type { FileLocks } from './lock-space.ts';

/** What the pid of an open file description's lock is: it belongs to no process. SPEC: fcntl(2), F_OFD_GETLK. */
export const NO_PID = 0xffff_ffff;

/** What GETLK, SETLK and SETLKW ask for. */
export class LockRequest {
  /** 64 bits of the client's choice: a process, or an open file description. */
  ownerLow = 0;
  ownerHigh = 0;
  pid = 0;
  /** The handle it came through. */
  fh = 0;
  isFlock = false;
  /** F_RDLCK, F_WRLCK or F_UNLCK. */
  type: number = F_UNLCK;
  /** Both inclusive. */
  start = 0;
  end = 0;

  copyFrom(other: LockRequest): void {
    this.ownerLow = other.ownerLow;
    this.ownerHigh = other.ownerHigh;
    this.pid = other.pid;
    this.fh = other.fh;
    this.isFlock = other.isFlock;
    this.type = other.type;
    this.start = other.start;
    this.end = other.end;
  }
}

export class LockClient {
  /** Locked ranges and waiters: what the limit is about. */
  count = 0;
  readonly waiters: Waiter[] = [];
  /** Reused: what does not wait is asked with this, and GETLK is answered in it. */
  readonly request = new LockRequest();
}

/** A SETLKW that is not answered yet. */
export class Waiter {
  readonly client: LockClient;
  readonly file: FileLocks;
  readonly request = new LockRequest();
  /** The FUSE request's own number: INTERRUPT names it. */
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly reply: Deferred;
  /** Which of the client's sessions waits: each numbers its requests for itself. */
  readonly asker: object;

  constructor(
    client: LockClient,
    file: FileLocks,
    uniqueLow: number,
    uniqueHigh: number,
    reply: Deferred,
    asker: object,
  ) {
    this.client = client;
    this.file = file;
    this.uniqueLow = uniqueLow;
    this.uniqueHigh = uniqueHigh;
    this.reply = reply;
    this.asker = asker;
  }
}
