/**
 * Locks as the manual pages tell them, slowly: one byte per position and owner, no ranges, no merging. It shares no
 * code with the lock table. Position LAST stands for "the end and all that follows".
 */
import { EAGAIN, EDEADLK, EINTR, ENOTCONN } from '../../src/wire/errno.ts';

export const LAST = 23;
const PENDING = -1;
const [READ, WRITE, UNLOCK] = [0, 1, 2];

export interface Ask {
  readonly file: number;
  readonly owner: number;
  readonly isFlock: boolean;
  readonly type: number;
  readonly from: number;
  readonly to: number;
}

interface Waiting {
  readonly id: number;
  readonly ask: Ask;
}

export class LockModel {
  /** Answers given to who waited, in order. */
  readonly answers: [id: number, errno: number][] = [];
  waiting: Waiting[] = [];
  /** [sort][file][owner][position] → type, or −1. */
  readonly #held: number[][][][];
  readonly #owners: number;

  constructor(files: number, owners: number) {
    this.#owners = owners;
    const bytes = () => Array.from({ length: LAST + 1 }, () => -1);
    const file = () => Array.from({ length: owners }, bytes);
    this.#held = [0, 1].map(() => Array.from({ length: files }, file));
  }

  /** Owners in the way. */
  blockers(ask: Ask): number[] {
    const found: number[] = [];
    for (let other = 0; other < this.#owners; other++) {
      if (other === ask.owner) continue;
      const bytes = this.#bytes(ask, other).slice(ask.from, ask.to + 1);
      if (bytes.some((type) => type === WRITE || (type === READ && ask.type === WRITE))) found.push(other);
    }
    return found;
  }

  /** What GETLK may answer: all conflicting runs of equal bytes that start first. */
  inTheWay(ask: Ask): { type: number; from: number; to: number }[] {
    const found: { type: number; from: number; to: number }[] = [];
    for (const owner of this.blockers(ask)) {
      const bytes = this.#bytes(ask, owner);
      for (let from = 0, to = 0; from <= LAST; from = to + 1) {
        for (to = from; to < LAST && bytes[to + 1] === bytes[from]; to++);
        const type = bytes[from] as number;
        const isMet = from <= ask.to && to >= ask.from;
        if (isMet && (type === WRITE || (type === READ && ask.type === WRITE))) found.push({ type, from, to });
      }
    }
    const first = Math.min(...found.map(({ from }) => from));
    return found.filter(({ from }) => from === first);
  }

  set(ask: Ask): number {
    const errno = this.#try(ask);
    this.#settle();
    return errno;
  }

  wait(ask: Ask, id: number): number {
    let errno = this.#try(ask);
    if (errno === EAGAIN) {
      errno = !ask.isFlock && this.#closesCircle(ask) ? EDEADLK : PENDING;
      if (errno === PENDING) this.waiting.push({ id, ask });
    }
    this.#settle();
    return errno;
  }

  /** FLUSH: the byte ranges of an owner in a file. */
  flush(file: number, owner: number): void {
    this.#held[0]?.[file]?.[owner]?.fill(-1);
    this.#settle();
  }

  interrupt(id: number): void {
    if (!this.waiting.some((one) => one.id === id)) return;
    this.waiting = this.waiting.filter((one) => one.id !== id);
    this.answers.push([id, EINTR]);
  }

  /** Everything of some owners, who are one client, ends. */
  end(owners: readonly number[]): void {
    for (const { id, ask } of this.waiting) if (owners.includes(ask.owner)) this.answers.push([id, ENOTCONN]);
    this.waiting = this.waiting.filter(({ ask }) => !owners.includes(ask.owner));
    for (const sort of this.#held) for (const file of sort) for (const owner of owners) file[owner]?.fill(-1);
    this.#settle();
  }

  #bytes(ask: Ask, owner: number): number[] {
    return this.#held[ask.isFlock ? 1 : 0]?.[ask.file]?.[owner] as number[];
  }

  #try(ask: Ask): number {
    const bytes = this.#bytes(ask, ask.owner);
    if (ask.isFlock && bytes[0] !== ask.type) bytes.fill(-1);
    if (ask.type !== UNLOCK && this.blockers(ask).length > 0) return EAGAIN;
    bytes.fill(ask.type === UNLOCK ? -1 : ask.type, ask.from, ask.to + 1);
    return 0;
  }

  #settle(): void {
    for (;;) {
      const next = this.waiting.find(({ ask }) => this.blockers(ask).length === 0);
      if (next === undefined) return;
      this.waiting = this.waiting.filter((one) => one !== next);
      this.answers.push([next.id, this.#try(next.ask)]);
    }
  }

  /** Warshall's closure of "waits for". */
  #closesCircle(ask: Ask): boolean {
    const reach = Array.from({ length: this.#owners }, () => new Set<number>());
    for (const { ask: one } of this.waiting) {
      if (!one.isFlock) for (const other of this.blockers(one)) reach[one.owner]?.add(other);
    }
    for (let middle = 0; middle < this.#owners; middle++) {
      for (const from of reach) if (from.has(middle)) for (const to of reach[middle] as Set<number>) from.add(to);
    }
    return this.blockers(ask).some((blocker) => reach[blocker]?.has(ask.owner));
  }
}
