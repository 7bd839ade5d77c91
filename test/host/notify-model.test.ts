/**
 * How a change reaches another guest's cache although nobody acknowledges anything, as a small model: each `yield` is a
 * point where the other side may run, every step has one access to shared memory, and all interleavings are explored.
 * Each test also runs the protocol with one step left out, or out of order, and shows that the model catches it.
 */
import { expect, test } from 'vitest';
import { every, type Steps, schedule } from '../every.ts';

type Item = 0 | 1;
type Message = Item | 'all';

/** What the protocol relies on; each can be broken. */
interface Rules {
  /** host: the message lies in the queue before the change is answered */
  readonly tellsFirst: boolean;
  /** host: into the last buffer goes "everything" */
  readonly keepsLast: boolean;
  /** host: what a message covered is covered only until a buffer comes back */
  readonly looksAtBuffers: boolean;
  /** guest: looks at its queue before it believes what it has */
  readonly looksFirst: boolean;
  /** guest: gives the buffer back before it asks anything anew */
  readonly givesBackFirst: boolean;
  /** guest: never looks between a request and its reply */
  readonly waitsBlind: boolean;
}

const RIGHT: Rules = {
  tellsFirst: true,
  keepsLast: true,
  looksAtBuffers: true,
  looksFirst: true,
  givesBackFirst: true,
  waitsBlind: true,
};
/** What the other guest changes, one after the other. */
const CHANGES: readonly Item[] = [0, 1, 0];
/** What our guest wants to know, look by look. */
const ROUNDS: readonly (readonly Item[])[] = [[0], [0, 1]];

class Shared {
  /** The files, and how they were when a change was answered. */
  readonly now = [0, 0];
  readonly answered = [0, 0];
  /** Of our guest: what it believes; undefined = must ask. */
  readonly believed: (number | undefined)[] = [0, 0];
  /** The notification queue: buffers ever given, and messages ever sent. */
  given: number;
  readonly sent: Message[] = [];
  asked: Item | undefined;
  reply: number | undefined;
  stale = 0;

  constructor(buffers: number) {
    this.given = buffers;
  }
}

function* host(shared: Shared, rules: Rules): Steps {
  let left = [...CHANGES];
  let seenGiven = shared.given;
  let covered = new Set<Message>();
  for (;;) {
    yield () => shared.asked !== undefined || left.length > 0;
    if (shared.asked !== undefined) {
      shared.reply = shared.now[shared.asked];
      shared.asked = undefined;
      continue;
    }
    const [item, ...rest] = left as [Item, ...Item[]];
    left = rest;
    shared.now[item] = (shared.now[item] as number) + 1;
    if (shared.given !== seenGiven && rules.looksAtBuffers) covered = new Set();
    seenGiven = shared.given;
    const free = shared.given - shared.sent.length;
    const message = free === 1 && rules.keepsLast ? 'all' : item;
    const isNeeded = free > 0 && !covered.has(item) && !covered.has('all');
    if (isNeeded) covered.add(message);
    if (!rules.tellsFirst) shared.answered[item] = shared.now[item] as number;
    yield undefined;
    if (isNeeded) shared.sent.push(message);
    yield undefined;
    shared.answered[item] = shared.now[item] as number;
  }
}

class Guest {
  readonly #shared: Shared;
  readonly #rules: Rules;
  #taken = 0;
  #owed = 0;

  constructor(shared: Shared, rules: Rules) {
    this.#shared = shared;
    this.#rules = rules;
  }

  *run(): Steps {
    for (const items of ROUNDS) {
      const wanted = [...this.#shared.answered];
      if (this.#rules.looksFirst) yield* this.#hear();
      for (const item of items) {
        yield* this.#find(item);
        if ((this.#shared.believed[item] as number) < (wanted[item] as number)) this.#shared.stale++;
      }
      yield undefined;
      this.#giveBack();
    }
  }

  *#hear(): Steps {
    const { sent, believed } = this.#shared;
    for (;;) {
      yield undefined;
      if (this.#taken === sent.length) return;
      const message = sent[this.#taken++];
      this.#owed++;
      yield undefined;
      if (this.#rules.givesBackFirst) this.#giveBack();
      for (const item of [0, 1]) if (message === 'all' || message === item) believed[item] = undefined;
    }
  }

  *#find(item: Item): Steps {
    const shared = this.#shared;
    if (shared.believed[item] !== undefined) return;
    yield undefined;
    shared.asked = item;
    if (!this.#rules.waitsBlind) {
      yield () => shared.reply !== undefined;
      yield* this.#hear();
    }
    yield () => shared.reply !== undefined;
    shared.believed[item] = shared.reply;
    shared.reply = undefined;
  }

  #giveBack(): void {
    this.#shared.given += this.#owed;
    this.#owed = 0;
  }
}

/** Returns how many schedules there were; throws at the first in which the guest believed what was no longer so. */
function explore(rules: Rules, buffers: number): number {
  return every((choose) => {
    const shared = new Shared(buffers);
    // The host waits for more at the end; the guest never does.
    schedule(choose, [host(shared, rules), new Guest(shared, rules).run()]);
    if (shared.stale > 0) throw new Error('stale');
  });
}

test.each([1, 2, 3])('with %i buffers a guest that looks first never believes what was changed before', (buffers) => {
  expect(explore(RIGHT, buffers)).toBeGreaterThan(10_000);
});

test.each([
  ['the host answers before it tells', { tellsFirst: false }, 2],
  ['the last buffer says only what has just changed', { keepsLast: false }, 1],
  ['the host takes a message for unheard although buffers came back', { looksAtBuffers: false }, 2],
  ['the guest does not look', { looksFirst: false }, 2],
  ['the guest gives buffers back only after it has asked anew', { givesBackFirst: false }, 2],
  ['the guest looks while it waits for a reply', { waitsBlind: false }, 2],
] as const)('it does if %s', (_, broken, buffers) => {
  expect(() => explore({ ...RIGHT, ...broken }, buffers)).toThrow('stale');
});
