/**
 * The locks of one file. There are two sorts that never meet: byte ranges (of processes and of open file descriptions,
 * told apart by nothing but their owners), and flock locks, which are ranges that cover everything.
 */
import { assert } from '../base/assert.ts';
import { F_RDLCK, F_UNLCK } from '../wire/mode.ts';
import type { Inode } from './inode.ts';
import type { LockClient, LockRequest, Waiter } from './lock-client.ts';
import { type LockedRange, LockRanges, RANGE_END } from './lock-ranges.ts';

/** Somebody who has locks of one sort in one file: a client and 64 bits of its choice. */
export class LockOwner {
  readonly client: LockClient;
  readonly low: number;
  readonly high: number;
  /** Of the last lock it set. */
  pid = 0;
  /**
   * The handle it last locked through. A process flushes whenever it closes a descriptor, which takes its locks; an
   * open file description ends with its handle and says nothing. So what is left when the handle goes, goes with it.
   */
  fh = 0;
  readonly ranges = new LockRanges();

  constructor(client: LockClient, low: number, high: number) {
    this.client = client;
    this.low = low;
    this.high = high;
  }

  is(client: LockClient, low: number, high: number): boolean {
    return this.low === low && this.high === high && this.client === client;
  }

  /** Returns the first range that keeps `client` from what it asks for. */
  conflict(client: LockClient, request: LockRequest): LockedRange | undefined {
    if (this.is(client, request.ownerLow, request.ownerHigh)) return undefined;
    return this.ranges.find(request.start, request.end, request.type === F_RDLCK);
  }
}

export class LockSpace {
  /** INVARIANT: each has a lock; no two have locks that exclude each other. */
  readonly owners: LockOwner[] = [];

  find(client: LockClient, low: number, high: number): LockOwner | undefined {
    for (const owner of this.owners) if (owner.is(client, low, high)) return owner;
    return undefined;
  }

  /** Tells whether another owner is in the way. */
  isBlocked(client: LockClient, request: LockRequest): boolean {
    for (const owner of this.owners) if (owner.conflict(client, request) !== undefined) return true;
    return false;
  }

  /** Sets or releases; whether others are in the way was asked before. */
  apply(client: LockClient, request: LockRequest): void {
    const { ownerLow, ownerHigh, type } = request;
    let owner = this.find(client, ownerLow, ownerHigh);
    if (owner === undefined) {
      if (type === F_UNLCK) return;
      owner = new LockOwner(client, ownerLow, ownerHigh);
      this.owners.push(owner);
    }
    if (type !== F_UNLCK) {
      owner.pid = request.pid;
      owner.fh = request.fh;
    }
    const before = owner.ranges.count;
    owner.ranges.set(request.start, request.end, type);
    client.count += owner.ranges.count - before;
    if (owner.ranges.count === 0) this.owners.splice(this.owners.indexOf(owner), 1);
  }

  /** Takes everything from the owners that `isGone` names; tells whether there was any. */
  drop(isGone: (owner: LockOwner) => boolean): boolean {
    let dropped = false;
    for (let i = this.owners.length - 1; i >= 0; i--) {
      const owner = this.owners[i] as LockOwner;
      if (!isGone(owner)) continue;
      owner.client.count -= owner.ranges.count;
      this.owners.splice(i, 1);
      dropped = true;
    }
    return dropped;
  }

  checkInvariants(): void {
    for (const owner of this.owners) {
      owner.ranges.checkInvariants();
      assert(owner.ranges.count > 0, 'an owner without a lock is listed');
      assert(this.find(owner.client, owner.low, owner.high) === owner, 'an owner is listed twice');
      for (const other of this.owners) if (other !== owner) checkApart(owner, other);
    }
  }
}

export class FileLocks {
  readonly inode: Inode;
  readonly ranges = new LockSpace();
  readonly flocks = new LockSpace();
  /** Both sorts, in the order they came. INVARIANT: each has somebody in its way. */
  readonly waiters: Waiter[] = [];

  constructor(inode: Inode) {
    this.inode = inode;
  }

  get isEmpty(): boolean {
    return this.waiters.length === 0 && this.ranges.owners.length === 0 && this.flocks.owners.length === 0;
  }

  /** The locks that a request is about. */
  spaceOf(request: LockRequest): LockSpace {
    return request.isFlock ? this.flocks : this.ranges;
  }

  checkInvariants(): void {
    assert(!this.isEmpty, 'a file without locks is listed');
    this.ranges.checkInvariants();
    this.flocks.checkInvariants();
    for (const { client, request } of this.waiters) {
      assert(this.spaceOf(request).isBlocked(client, request), 'somebody waits for nothing');
    }
  }
}

function checkApart(one: LockOwner, other: LockOwner): void {
  for (let pos = 0; pos <= RANGE_END; ) {
    const range = one.ranges.find(pos, RANGE_END, false);
    if (range === undefined) return;
    const met = other.ranges.find(range.start, range.end, range.type === F_RDLCK);
    assert(met === undefined, 'two owners have locks that exclude each other');
    pos = range.end + 1;
  }
}
