/**
 * The tables of a process that several workers share: who may change what, and nothing about files or requests.
 *
 * Descriptors are looked up without the lock: the entry is read, the description counted up if it is counted at all,
 * and the entry read again. If it is another by then, the count was a stranger's and is given back. Whatever changes
 * which descriptor names what happens under the lock. Whoever counts a description down from 1 makes it TAKEN, releases
 * its handle, and then frees its place; nobody else can come by it in between.
 *
 *   running → exited: `end`, by any thread
 *   running → killed: a thread died: the process may have been in the middle of anything
 *
 * INVARIANT: a descriptor's description is counted once for it.
 */
import { assert } from '../base/assert.ts';
import { lockWord, type MayWait, unlockWord } from '../base/mutex.ts';
import { EBADF, EINVAL, EMFILE } from '../wire/errno.ts';
import type { Cpu } from './channel.ts';
import * as w from './process-words.ts';

export const ORPHAN = -2;

export class ProcessTable {
  readonly words: Int32Array;
  readonly view: DataView;
  /** Set by `acquire` and by `dup2`. */
  orphan = -1;
  replaced = -1;
  readonly #cpu: Cpu | undefined;
  /** As an owner of locks. */
  #thread = 0;
  readonly #waits: MayWait = (owner) => this.#mayWait(owner);

  constructor(buffer: ArrayBufferLike, cpu: Cpu | undefined) {
    this.words = new Int32Array(buffer, 0, w.PATHS);
    this.view = new DataView(buffer);
    this.#cpu = cpu;
  }

  get isRunning(): boolean {
    return Atomics.load(this.words, w.STATE) === w.RUNNING;
  }

  get isKilled(): boolean {
    return Atomics.load(this.words, w.STATE) === w.KILLED;
  }

  get hasLocks(): boolean {
    return Atomics.load(this.words, w.HAS_LOCKS) !== 0;
  }

  noteLocks(): void {
    // ORDER: before the lock is asked for: who closes a file after that gives it up.
    Atomics.store(this.words, w.HAS_LOCKS, 1);
  }

  /** Registers this thread. False: there are too many. */
  enter(): boolean {
    for (let i = 0; i < w.THREADS_MAX; i++) {
      // ORDER: a place is taken by whoever wins; nothing else is published by it.
      if (Atomics.compareExchange(this.words, w.THREADS + i, 0, 1 + (this.#cpu?.number ?? 0)) !== 0) continue;
      this.#thread = i + 1;
      return true;
    }
    return false;
  }

  /** Unregisters this thread, which has given up all it counted. */
  leave(): void {
    // ORDER: our last store, after everything we counted was given back.
    Atomics.store(this.words, w.THREADS + this.#thread - 1, 0);
  }

  /** No other thread is registered. */
  get isLast(): boolean {
    for (let i = 0; i < w.THREADS_MAX; i++) {
      if (i !== this.#thread - 1 && Atomics.load(this.words, w.THREADS + i) !== 0) return false;
    }
    return true;
  }

  /** Takes the process's lock. False: the process is over. */
  lock(): boolean {
    if (!this.#buryDead() || !this.#lockAt(w.LOCK)) return false;
    if (this.isRunning) return true;
    this.unlock();
    return false;
  }

  unlock(): void {
    unlockWord(this.words, w.LOCK);
  }

  /** Takes a description's position. False: the process is over. */
  lockPosition(index: number): boolean {
    return this.#lockAt(w.descriptionAt(index) + w.POSITION_LOCK);
  }

  unlockPosition(index: number): void {
    unlockWord(this.words, w.descriptionAt(index) + w.POSITION_LOCK);
  }

  entry(fd: number): number {
    return fd >= 0 && fd < w.DESCRIPTORS_MAX ? Atomics.load(this.words, w.DESCRIPTORS + fd) : 0;
  }

  /**
   * Counts what the descriptor names once more, and returns its index; −1: nothing. Pairs with `drop`.
   * ORPHAN: a stranger's last count came to us meanwhile: the caller releases `orphan`, and asks again.
   */
  acquire(fd: number): number {
    for (;;) {
      const entry = this.entry(fd);
      if (entry === 0 || !this.isRunning) return -1;
      const index = w.indexOf(entry);
      if (!this.hold(index)) continue;
      if (Atomics.load(this.words, w.DESCRIPTORS + fd) === entry) return index;
      if (!this.drop(index)) continue;
      this.orphan = index;
      return ORPHAN;
    }
  }

  /** Counts a description that is there; false: it is not. */
  hold(index: number): boolean {
    const at = w.descriptionAt(index) + w.COUNT;
    for (;;) {
      const count = Atomics.load(this.words, at);
      if (count <= 0) return false;
      // ORDER: acquire: the description's words were stored before it was first counted.
      if (Atomics.compareExchange(this.words, at, count, count + 1) === count) return true;
    }
  }

  /** Gives a count back. True: it was the last, and the caller must release the handle, and then call `free`. */
  drop(index: number): boolean {
    const at = w.descriptionAt(index) + w.COUNT;
    for (;;) {
      const count = Atomics.load(this.words, at);
      // A killed process's descriptions are taken back whoever counts them.
      if (count <= 0) return false;
      const next = count === 1 ? w.TAKEN : count - 1;
      // ORDER: everything this thread did with the description comes before.
      if (Atomics.compareExchange(this.words, at, count, next) === count) return next === w.TAKEN;
    }
  }

  /** The handle is released: the place may be used again. */
  free(index: number): void {
    const at = w.descriptionAt(index);
    // ORDER: before the place can be another's: who keeps something of it looks at both.
    Atomics.add(this.words, w.RELEASES, 1);
    // ORDER: as above.
    Atomics.store(this.words, at + w.COUNT, 0);
  }

  /** Finds a free place for a description, under the lock; −EMFILE if there is none. `publish` completes it. */
  takeLocked(): number {
    for (let index = 0; index < w.DESCRIPTIONS_MAX; index++) {
      const at = w.descriptionAt(index);
      if (Atomics.load(this.words, at + w.COUNT) !== 0) continue;
      // ORDER: nobody counts it, so it is ours until it is published.
      Atomics.add(this.words, at + w.GENERATION, 1);
      this.words.fill(0, at + w.POSITION_LOCK, at + w.DESCRIPTION_WORDS);
      return index;
    }
    return -EMFILE;
  }

  /** Counts a new description once; its words are written. */
  publishLocked(index: number): void {
    // ORDER: its words come before; pairs with the load in `hold`.
    Atomics.store(this.words, w.descriptionAt(index) + w.COUNT, 1);
  }

  /** The lowest free number from `from` on. */
  lowestLocked(from: number): number {
    if (!Number.isInteger(from) || from < 0 || from >= w.DESCRIPTORS_MAX) return -EINVAL;
    for (let fd = from; fd < w.DESCRIPTORS_MAX; fd++) if (this.words[w.DESCRIPTORS + fd] === 0) return fd;
    return -EMFILE;
  }

  /** Makes the descriptor name the description, for a count that the caller has. */
  installLocked(fd: number, index: number, closesOnExec: boolean): void {
    const generation = this.words[w.descriptionAt(index) + w.GENERATION] as number;
    // ORDER: counted before it is named; pairs with the loads in `acquire`.
    Atomics.store(this.words, w.DESCRIPTORS + fd, w.entryOf(index, generation, closesOnExec));
  }

  /** fcntl(F_DUPFD) */
  dup(fd: number, from: number, closesOnExec: boolean): number {
    if (!this.lock()) return -EBADF;
    try {
      const index = w.indexOf(this.entry(fd));
      if (index < 0) return -EBADF;
      const made = this.lowestLocked(from);
      if (made < 0) return made;
      this.hold(index);
      this.installLocked(made, index, closesOnExec);
      return made;
    } finally {
      this.unlock();
    }
  }

  /** dup3(2): sets `replaced` to what `to` named, if anything (else −1), whose count is the caller's now. */
  dup2(fd: number, to: number, closesOnExec: boolean): number {
    this.replaced = -1;
    if (!this.lock()) return -EBADF;
    try {
      const index = w.indexOf(this.entry(fd));
      if (index < 0 || !Number.isInteger(to) || to < 0 || to >= w.DESCRIPTORS_MAX) return -EBADF;
      if (fd === to) return fd;
      this.replaced = w.indexOf(this.entry(to));
      this.hold(index);
      this.installLocked(to, index, closesOnExec);
      return to;
    } finally {
      this.unlock();
    }
  }

  /** Frees the number and returns what it named, whose count is the caller's now; −1: nothing. */
  remove(fd: number): number {
    if (!this.lock()) return -1;
    const entry = this.entry(fd);
    // ORDER: from here on the number means nothing in any thread; calls that run have counts of their own.
    if (entry !== 0) Atomics.store(this.words, w.DESCRIPTORS + fd, 0);
    this.unlock();
    return w.indexOf(entry);
  }

  setClosesOnExec(fd: number, closes: boolean): boolean {
    if (!this.lock()) return false;
    const entry = this.entry(fd);
    if (entry !== 0) this.installLocked(fd, w.indexOf(entry), closes);
    this.unlock();
    return entry !== 0;
  }

  /** Ends the process for all its threads; returns the descriptions whose counts are the caller's now. */
  end(): number[] {
    if (!this.lock()) return [];
    const { words } = this;
    const found = [w.CWD, w.ROOT].map((place) => words[place] as number);
    for (let fd = 0; fd < w.DESCRIPTORS_MAX; fd++) {
      const entry = this.entry(fd);
      if (entry === 0) continue;
      found.push(w.indexOf(entry));
      words[w.DESCRIPTORS + fd] = 0;
    }
    // ORDER: whoever takes the lock after us finds it over.
    Atomics.store(words, w.STATE, w.EXITED);
    this.unlock();
    return found;
  }

  /** What a killed process had open: for one caller, once. */
  reap(): number[] {
    const { words } = this;
    // ORDER: one of those that come wins.
    if (!this.isKilled || Atomics.compareExchange(words, w.REAPED, 0, 1) !== 0) return [];
    const found: number[] = [];
    for (let index = 0; index < w.DESCRIPTIONS_MAX; index++) {
      const at = w.descriptionAt(index) + w.COUNT;
      // ORDER: whoever still counts it down finds nothing to count.
      if (Atomics.exchange(words, at, w.TAKEN) !== 0) found.push(index);
    }
    return found;
  }

  /** One of the threads died: so does the process. */
  kill(): void {
    // ORDER: every lock and lookup checks this word.
    Atomics.compareExchange(this.words, w.STATE, w.RUNNING, w.KILLED);
  }

  #lockAt(at: number): boolean {
    return lockWord(this.words, at, this.#thread, this.#waits);
  }

  #mayWait(owner: number): boolean {
    if (this.isKilled) return false;
    const thread = Atomics.load(this.words, w.THREADS + owner - 1);
    if (thread === 0 || this.#cpu?.isLive(thread - 1) === false) {
      this.kill();
      return false;
    }
    assert(!(this.words.buffer instanceof ArrayBuffer), 'one thread does not wait for itself');
    return true;
  }

  /** Looks whether all threads are there; false if not. */
  #buryDead(): boolean {
    if (!this.isRunning) return false;
    if (this.#cpu === undefined) return true;
    for (let i = 0; i < w.THREADS_MAX; i++) {
      const thread = Atomics.load(this.words, w.THREADS + i);
      if (thread !== 0 && !this.#cpu.isLive(thread - 1)) this.kill();
    }
    return this.isRunning;
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    const counts = new Map<number, number>();
    for (let fd = 0; fd < w.DESCRIPTORS_MAX; fd++) {
      const index = w.indexOf(this.entry(fd));
      if (index >= 0) counts.set(index, (counts.get(index) ?? 0) + 1);
    }
    for (const [index, count] of counts) {
      const has = this.words[w.descriptionAt(index) + w.COUNT] as number;
      assert(has >= count, `description ${index} is counted ${has} times, and named by ${count} descriptors`);
    }
  }
}
