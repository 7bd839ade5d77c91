/**
 * All locks on all files, and everybody who waits for one. One table per host, so that guests and mounts of the kernel
 * exclude each other; it knows clients and inodes, no session and no transport.
 *
 * Whoever waits holds nobody up: only locks that are held are in the way, as on Linux. What is released goes, before
 * anybody else can ask for it, to those who wait: in the order they came, as many as can have it.
 * SPEC: POSIX, fcntl(); Linux: fcntl_locking(2), flock(2), fs/locks.c.
 */
import { assert } from '../base/assert.ts';
import { EAGAIN, EBADF, EDEADLK, EINTR, ENOLCK, ENOTCONN, type Errno, OK } from '../wire/errno.ts';
import { InHeader } from '../wire/fuse.ts';
import { F_UNLCK } from '../wire/mode.ts';
import { type Call, type Deferred, PENDING } from './call.ts';
import type { Inode } from './inode.ts';
import { type LockClient, type LockRequest, NO_PID, Waiter } from './lock-client.ts';
import { FileLocks, type LockOwner } from './lock-space.ts';

/** Ranges and waiters that one client may have. */
export const LOCKS_MAX = 65536;

export class LockTable {
  readonly #max: number;
  readonly #files = new Map<Inode, FileLocks>();

  constructor(max = LOCKS_MAX) {
    this.#max = max;
  }

  /** Files with locks. */
  get size(): number {
    return this.#files.size;
  }

  /**
   * Makes `request` the lock that begins first among those in its way, or F_UNLCK if it could be set.
   * SPEC: Linux 6.13: asked with F_UNLCK it is the first lock that the owner itself has there.
   */
  test(client: LockClient, inode: Inode, request: LockRequest): void {
    let owner: LockOwner | undefined;
    let found: { start: number; end: number; type: number } | undefined;
    for (const other of this.#files.get(inode)?.spaceOf(request).owners ?? []) {
      const range =
        request.type !== F_UNLCK
          ? other.conflict(client, request)
          : other.is(client, request.ownerLow, request.ownerHigh)
            ? other.ranges.find(request.start, request.end, false)
            : undefined;
      if (range === undefined || (found !== undefined && found.start <= range.start)) continue;
      found = range;
      owner = other;
    }
    request.type = found?.type ?? F_UNLCK;
    if (found === undefined || owner === undefined) return;
    request.start = found.start;
    request.end = found.end;
    request.pid = owner.pid;
  }

  /** Sets or releases at once: OK, EAGAIN, ENOLCK. */
  set(client: LockClient, inode: Inode, request: LockRequest): Errno {
    const file = this.#fileFor(inode, request);
    if (file === undefined) return OK;
    const errno = this.#attempt(file, client, request);
    this.#settle(file);
    return errno;
  }

  /**
   * Sets, now or later: OK, PENDING, EDEADLK, ENOLCK. `call` is answered when the lock is there. `asker`: which of the
   * client's sessions asks.
   */
  setOrWait(client: LockClient, inode: Inode, request: LockRequest, call: Call, asker: object = client): Errno {
    const file = this.#fileFor(inode, request);
    if (file === undefined) return OK;
    let errno = this.#attempt(file, client, request);
    if (errno === EAGAIN) errno = this.#wait(file, client, request, call, asker);
    this.#settle(file);
    return errno;
  }

  /** FLUSH: a process closed a descriptor, any descriptor, of the file. */
  releaseOwner(client: LockClient, inode: Inode, low: number, high: number): void {
    const file = this.#files.get(inode);
    if (file === undefined) return;
    file.ranges.drop((owner) => owner.is(client, low, high));
    this.#settle(file);
  }

  /** RELEASE: takes what was locked through the handle and nobody has released. */
  releaseHandle(client: LockClient, inode: Inode, fh: number): void {
    const file = this.#files.get(inode);
    if (file === undefined) return;
    const isGone = (owner: LockOwner) => owner.fh === fh && owner.client === client;
    file.ranges.drop(isGone);
    file.flocks.drop(isGone);
    for (const waiter of client.waiters.filter(({ file: its, request }) => its === file && request.fh === fh)) {
      this.#answer(waiter, EBADF);
    }
    this.#settle(file);
  }

  /** INTERRUPT: ends the wait of a request; one that does not wait, or not any more, is none of ours. */
  interrupt(client: LockClient, low: number, high: number, asker: object = client): void {
    const is = (one: Waiter) => one.uniqueLow === low && one.uniqueHigh === high && one.asker === asker;
    const waiter = client.waiters.find(is);
    if (waiter === undefined) return;
    this.#answer(waiter, EINTR);
    this.#forgetIfEmpty(waiter.file);
  }

  /** One of the client's sessions is gone: nobody is there to get what it waits for. */
  cancel(client: LockClient, asker: object): void {
    for (const waiter of client.waiters.filter((one) => one.asker === asker)) {
      this.#answer(waiter, ENOTCONN);
      this.#forgetIfEmpty(waiter.file);
    }
  }

  /** The client is gone: so is all it has and waits for. */
  clear(client: LockClient): void {
    for (const waiter of [...client.waiters]) this.#answer(waiter, ENOTCONN);
    const isGone = (owner: LockOwner) => owner.client === client;
    for (const file of [...this.#files.values()]) {
      file.ranges.drop(isGone);
      file.flocks.drop(isGone);
      this.#settle(file);
    }
    assert(client.count === 0, 'a client that is gone has locks');
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    const counts = new Map<LockClient, number>();
    const charge = (client: LockClient, count: number) => counts.set(client, (counts.get(client) ?? 0) + count);
    for (const [inode, file] of this.#files) {
      assert(file.inode === inode, 'locks are listed under another file');
      file.checkInvariants();
      for (const owner of file.ranges.owners.concat(file.flocks.owners)) charge(owner.client, owner.ranges.count);
      for (const waiter of file.waiters) {
        assert(waiter.client.waiters.includes(waiter), 'a waiter is unknown to its client');
        charge(waiter.client, 1);
      }
    }
    for (const [client, count] of counts) assert(client.count === count, 'a count of locks is wrong');
  }

  /** Returns where the file's locks are; undefined when there are none and nothing is to be locked. */
  #fileFor(inode: Inode, request: LockRequest): FileLocks | undefined {
    let file = this.#files.get(inode);
    if (file !== undefined || request.type === F_UNLCK) return file;
    file = new FileLocks(inode);
    this.#files.set(inode, file);
    return file;
  }

  #attempt(file: FileLocks, client: LockClient, request: LockRequest): Errno {
    const space = file.spaceOf(request);
    const owner = space.find(client, request.ownerLow, request.ownerHigh);
    const growth = owner?.ranges.growth(request.start, request.end, request.type) ?? 1;
    if (growth > 0 && client.count + growth > this.#max) return ENOLCK;
    // SPEC: flock(2): a conversion is not atomic: the old lock goes first, and is lost if the new one cannot be had.
    if (request.isFlock && growth > 0) space.drop((one) => one === owner);
    if (request.type !== F_UNLCK && space.isBlocked(client, request)) return EAGAIN;
    space.apply(client, request);
    return OK;
  }

  #wait(file: FileLocks, client: LockClient, request: LockRequest, call: Call, asker: object): Errno {
    if (isCircular(file, client, request)) return EDEADLK;
    const reply: Deferred | undefined = client.count < this.#max ? call.defer?.() : undefined;
    if (reply === undefined) return ENOLCK;
    const { unique } = InHeader;
    const waiter = new Waiter(client, file, unique.low(call.request, 0), unique.high(call.request, 0), reply, asker);
    waiter.request.copyFrom(request);
    file.waiters.push(waiter);
    client.waiters.push(waiter);
    client.count++;
    return PENDING;
  }

  /** After any change: gives what can be given, longest waiting first. */
  #settle(file: FileLocks): void {
    for (let i = 0; i < file.waiters.length; ) {
      const waiter = file.waiters[i] as Waiter;
      const { client, request } = waiter;
      if (file.spaceOf(request).isBlocked(client, request)) {
        i++;
        continue;
      }
      this.#remove(waiter);
      waiter.reply.complete(this.#attempt(file, client, request));
      // What it had there before may be less now, and that may be what somebody before it waits for.
      i = 0;
    }
    this.#forgetIfEmpty(file);
  }

  #answer(waiter: Waiter, errno: Errno): void {
    this.#remove(waiter);
    waiter.reply.complete(errno);
  }

  #remove(waiter: Waiter): void {
    const { client, file } = waiter;
    file.waiters.splice(file.waiters.indexOf(waiter), 1);
    client.waiters.splice(client.waiters.indexOf(waiter), 1);
    client.count--;
  }

  #forgetIfEmpty(file: FileLocks): void {
    if (file.isEmpty) this.#files.delete(file.inode);
  }
}

/**
 * Tells whether the owner would wait, through others, for itself. flock has no such check, and for open file
 * descriptions it would be wrong: several processes may hold one, and any of them may release.
 */
function isCircular(file: FileLocks, client: LockClient, request: LockRequest): boolean {
  if (request.isFlock || request.pid === NO_PID) return false;
  const seen = new Set<Waiter>();
  const ahead = file.ranges.owners.filter((owner) => owner.conflict(client, request) !== undefined);
  for (let owner = ahead.pop(); owner !== undefined; owner = ahead.pop()) {
    if (owner.is(client, request.ownerLow, request.ownerHigh)) return true;
    for (const waiter of owner.client.waiters) {
      const its = waiter.request;
      if (its.isFlock || its.pid === NO_PID || seen.has(waiter)) continue;
      if (!owner.is(waiter.client, its.ownerLow, its.ownerHigh)) continue;
      seen.add(waiter);
      for (const next of waiter.file.ranges.owners) {
        if (next.conflict(waiter.client, its) !== undefined) ahead.push(next);
      }
    }
  }
  return false;
}
