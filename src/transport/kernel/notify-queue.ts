/**
 * What a mount's notifier has not been given yet, bounded. The ring takes some hundreds of messages; what has no room
 * waits here, at most `limit` of it, each name and each inode once: told again while it waits, it is told once.
 *
 * When even that is too much, all that waits is dropped for a *sweep*, which says more and remembers less: that every
 * name is stale (one message, INC_EPOCH), then, inode by inode of those that the kernel knows, that its attributes and
 * pages are. Nothing is lost by that: a message only ever says "forget what you know", and of what the kernel does not
 * know it has nothing stale. The sweep walks the session's own table, so it takes no memory. What is told during a
 * sweep waits behind it, under the same limit; if it runs over, the sweep starts anew.
 *
 * Why not let those who change things wait instead? Two mounts would wait for each other (host/notify.ts).
 * A kernel older than 7.44 (Linux 6.16) has no such word for names: there they live until their timeout after a sweep.
 *
 * A waiter waits for a count of the ring: what was put, and what waits. Behind a sweep the count is not known before
 * its end: `behind` is how many messages more.
 */
import type { NodeId } from '../../wire/ids.ts';
import type { Mailbox } from './mailbox.ts';

/** Positions as NotifyTarget has them: −1 = attributes alone; size 0 = to the end. */
export interface QueuedInode {
  readonly nodeid: NodeId;
  readonly pos: number;
  readonly size: number;
}

export interface NotifyQueueOptions {
  readonly box: Mailbox;
  /** How much may wait. */
  readonly limit: number;
  /** Builds messages; valid until the next one is built. */
  readonly inode: (nodeid: NodeId, pos: number, size: number) => Uint8Array;
  /** What says that every name is stale; undefined if the kernel has no word for that. */
  readonly allNames: () => Uint8Array | undefined;
  /** The inodes that the kernel knows, now and as they come and go. */
  readonly known: () => Iterable<NodeId>;
}

interface Waiter {
  /** Not known while a sweep goes on. */
  upTo: number | undefined;
  behind: number;
  readonly done: () => void;
}

/** A message for a name, or an inode whose message is built when there is room. */
type Queued = Uint8Array | QueuedInode;

export class NotifyQueue {
  readonly #options: NotifyQueueOptions;
  readonly #queued = new Map<string | NodeId, Queued>();
  #waiters: Waiter[] = [];
  #sweep: Iterator<Uint8Array> | undefined;
  /** The sweep's next message, for which there was no room. */
  #swept: Uint8Array | undefined;
  /** Messages put into the ring. */
  #put = 0;

  constructor(options: NotifyQueueOptions) {
    this.#options = options;
  }

  /** How much waits. */
  get size(): number {
    return this.#queued.size;
  }

  get isSweeping(): boolean {
    return this.#sweep !== undefined;
  }

  inode(nodeid: NodeId, pos: number, size: number): void {
    if (this.#isThrough && this.#tryPut(this.#options.inode(nodeid, pos, size))) return;
    const waiting = this.#queued.get(nodeid) as QueuedInode | undefined;
    if (waiting === undefined) this.#add(nodeid, { nodeid, pos, size });
    else this.#queued.set(nodeid, union(waiting, pos, size));
  }

  /** `message` says that a name is stale; `plain` does too, and nothing else that could make it untrue. */
  name(key: string, message: Uint8Array, plain: () => Uint8Array): void {
    if (this.#isThrough && this.#tryPut(message)) return;
    // What the name stood for has changed twice: what was to be said of one of them may be wrong of the other.
    if (this.#queued.has(key)) this.#queued.set(key, plain().slice());
    else this.#add(key, message.slice());
  }

  /** Calls back once all that was told before has been written. */
  whenHeard(done: () => void): void {
    const isKnown = this.#sweep === undefined;
    const behind = this.#queued.size;
    const upTo = isKnown ? (this.#put + behind) | 0 : undefined;
    if (upTo === this.#options.box.notifiesDone) done();
    else this.#waiters.push({ upTo, behind, done });
  }

  /** Refills the ring, and lets those go whose messages were written. Tells whether there was anything to do. */
  hear(): boolean {
    const isRefilled = this.#refill();
    const heard = this.#options.box.notifiesDone;
    // In the order they came: each waits for no less than the one before.
    const isOver = ({ upTo }: Waiter) => upTo !== undefined && ((heard - upTo) | 0) >= 0;
    const first = this.#waiters.findIndex((waiter) => !isOver(waiter));
    const over = this.#waiters.splice(0, first < 0 ? this.#waiters.length : first);
    for (const { done } of over) done();
    return isRefilled || over.length > 0;
  }

  /** Nobody is left to hear. */
  close(): void {
    this.#queued.clear();
    this.#sweep = undefined;
    for (const { done } of this.#waiters.splice(0)) done();
  }

  /** Nothing waits that must be said before. */
  get #isThrough(): boolean {
    return this.#queued.size === 0 && this.#sweep === undefined;
  }

  #tryPut(message: Uint8Array): boolean {
    if (!this.#options.box.putNotify(message)) return false;
    this.#put = (this.#put + 1) | 0;
    return true;
  }

  #add(key: string | NodeId, queued: Queued): void {
    if (this.#queued.size < this.#options.limit) {
      this.#queued.set(key, queued);
      return;
    }
    this.#queued.clear();
    this.#sweep = this.#sweepAll();
    this.#swept = undefined;
    // Whose messages are in the ring already waits longer than it must: nobody misses anything.
    for (const waiter of this.#waiters) {
      waiter.upTo = undefined;
      waiter.behind = 0;
    }
  }

  *#sweepAll(): Generator<Uint8Array> {
    const { allNames, known, inode } = this.#options;
    const names = allNames();
    if (names !== undefined) yield names;
    for (const nodeid of known()) yield inode(nodeid, 0, 0);
  }

  #refill(): boolean {
    const before = this.#put;
    if (!this.#refillBySweep()) return this.#put !== before;
    for (const [key, queued] of this.#queued) {
      const message = queued instanceof Uint8Array ? queued : this.#built(queued);
      if (!this.#tryPut(message)) break;
      this.#queued.delete(key);
    }
    return this.#put !== before;
  }

  #built({ nodeid, pos, size }: QueuedInode): Uint8Array {
    return this.#options.inode(nodeid, pos, size);
  }

  /** Tells whether no sweep is left. */
  #refillBySweep(): boolean {
    while (this.#sweep !== undefined) {
      if (this.#swept === undefined) {
        const next = this.#sweep.next();
        if (next.done === true) this.#endSweep();
        else this.#swept = next.value.slice();
      }
      if (this.#swept === undefined) break;
      if (!this.#tryPut(this.#swept)) return false;
      this.#swept = undefined;
    }
    return true;
  }

  #endSweep(): void {
    this.#sweep = undefined;
    for (const waiter of this.#waiters) waiter.upTo = (this.#put + waiter.behind) | 0;
  }
}

function union({ nodeid, pos, size }: QueuedInode, otherPos: number, otherSize: number): QueuedInode {
  if (otherPos < 0 || (otherPos === pos && otherSize === size)) return { nodeid, pos, size };
  return pos < 0 ? { nodeid, pos: otherPos, size: otherSize } : { nodeid, pos: 0, size: 0 };
}
