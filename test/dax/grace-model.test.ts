/**
 * The protocol by which the host takes pages from guests that hold no lock, as a small model: each `yield` is a point
 * where the other side may run, every step is one atomic access of the real code, and all interleavings are explored.
 * Each test also runs the protocol with one step left out and shows that the model catches it.
 */
import { describe, expect, test } from 'vitest';
import { everyInterleaving } from '../every.ts';

interface Memory {
  epoch: number;
  present: boolean;
  dirty: boolean;
  pins: number;
  /** Whose bytes are in the frame. */
  frame: 'file' | 'stolen';
  value: number;
  backing: number;
  dead: boolean;
}

function fresh(): Memory {
  return { epoch: 0, present: true, dirty: false, pins: 0, frame: 'file', value: 0, backing: 0, dead: false };
}

/** assembly/access.ts: a store through the window; faults (does nothing) when the page is not there. */
function* guestStore(memory: Memory, outcome: { stored?: boolean; corrupted?: boolean }): Generator<void> {
  memory.epoch++;
  yield;
  const present = memory.present;
  yield;
  if (present) {
    memory.dirty = true;
    yield;
    if (memory.frame === 'stolen') outcome.corrupted = true;
    else memory.value = 1;
    yield;
    outcome.stored = true;
  }
  memory.epoch++;
}

/** src/host/grace.ts: waits until the guest has left the access it was in. A generator waits by yielding. */
function* grace(memory: Memory): Generator<void> {
  const epoch = memory.epoch;
  yield;
  if ((epoch & 1) === 0) return;
  // Bounded: an unbounded wait would be an endless tree of interleavings; the guest has fewer steps than this.
  for (let i = 0; i < 6 && memory.epoch === epoch && !memory.dead; i++) yield;
  if (memory.epoch === epoch && !memory.dead) throw new Stuck();
}

/** The guest was not scheduled often enough in this interleaving: nothing to judge. */
class Stuck extends Error {}

function* unlessStuck(body: Generator<void>, on: () => void): Generator<void> {
  try {
    yield* body;
  } catch (error) {
    if (!(error instanceof Stuck)) throw error;
    on();
  }
}

function explore(host: (memory: Memory) => Generator<void>, guest: typeof guestStore) {
  let lost = 0;
  let corrupted = 0;
  const runs = everyInterleaving(() => {
    const memory = fresh();
    const outcome: { stored?: boolean; corrupted?: boolean } = {};
    let stuck = false;
    return {
      threads: [guest(memory, outcome), unlessStuck(host(memory), () => (stuck = true))],
      check: () => {
        if (stuck) return;
        if (outcome.corrupted) corrupted++;
        // A store that was made is in the frame the file still has, or in the backing.
        const now = memory.frame === 'file' ? memory.value : memory.backing;
        if (outcome.stored && !outcome.corrupted && now !== 1) lost++;
      },
    };
  });
  return { runs: runs > 10, lost, corrupted };
}

describe('eviction against a store', () => {
  function* evict(memory: Memory, options: { wait: boolean }): Generator<void> {
    memory.present = false;
    yield;
    if (options.wait) yield* grace(memory);
    if (memory.dirty) {
      memory.backing = memory.value;
      yield;
    }
    memory.frame = 'stolen';
  }

  test('never loses the store and never lets it hit the next owner of the frame', () => {
    const result = explore((memory) => evict(memory, { wait: true }), guestStore);
    expect(result).toEqual({ runs: true, lost: 0, corrupted: 0 });
  });

  test('without the grace period it does both', () => {
    const result = explore((memory) => evict(memory, { wait: false }), guestStore);
    expect(result.corrupted).toBeGreaterThan(0);
    expect(result.lost).toBeGreaterThan(0);
  });
});

describe('write-back against a store', () => {
  /** Two write-backs: what the first misses must be dirty for the second. */
  function* writeBack(memory: Memory, order: 'clear, wait, write' | 'write, clear' | 'clear, write'): Generator<void> {
    if (order === 'write, clear') {
      memory.backing = memory.value;
      yield;
      memory.dirty = false;
      return;
    }
    memory.dirty = false;
    yield;
    if (order === 'clear, wait, write') yield* grace(memory);
    memory.backing = memory.value;
  }

  function stale(order: Parameters<typeof writeBack>[1]): number {
    let stale = 0;
    everyInterleaving(() => {
      const memory = { ...fresh(), dirty: true };
      const outcome: { stored?: boolean } = {};
      let stuck = false;
      return {
        threads: [guestStore(memory, outcome), unlessStuck(writeBack(memory, order), () => (stuck = true))],
        check: () => {
          if (!stuck && outcome.stored && !memory.dirty && memory.backing !== 1) stale++;
        },
      };
    });
    return stale;
  }

  test('leaves the page dirty or has written the store, in every interleaving', () => {
    expect(stale('clear, wait, write')).toBe(0);
  });

  test('clearing after writing loses stores, and so does writing without waiting', () => {
    expect(stale('write, clear')).toBeGreaterThan(0);
    expect(stale('clear, write')).toBeGreaterThan(0);
  });
});

describe('eviction against a pin', () => {
  /** assembly/access.ts pinAdd, then the entry is looked at inside an access. */
  function* pin(memory: Memory, outcome: { stored?: boolean }): Generator<void> {
    memory.pins++;
    yield;
    memory.epoch++;
    yield;
    const present = memory.present;
    yield;
    memory.epoch++;
    yield;
    // The view exists only if the page was there; else the guest faults and tries again.
    outcome.stored = present;
  }

  function* evict(memory: Memory, options: { lookAtPins: 'after' | 'before' }): Generator<void> {
    const early = memory.pins;
    yield;
    memory.present = false;
    yield;
    yield* grace(memory);
    const pins = options.lookAtPins === 'after' ? memory.pins : early;
    yield;
    if (pins > 0) memory.present = true;
    else memory.frame = 'stolen';
  }

  function broken(lookAtPins: 'after' | 'before'): number {
    let broken = 0;
    everyInterleaving(() => {
      const memory = fresh();
      const outcome: { stored?: boolean } = {};
      let stuck = false;
      return {
        threads: [pin(memory, outcome), unlessStuck(evict(memory, { lookAtPins }), () => (stuck = true))],
        check: () => {
          if (!stuck && outcome.stored && memory.frame === 'stolen') broken++;
        },
      };
    });
    return broken;
  }

  test('never takes a frame that a view shows, if the pins are looked at after the grace period', () => {
    expect(broken('after')).toBe(0);
  });

  test('takes it if the pins were looked at before', () => {
    expect(broken('before')).toBeGreaterThan(0);
  });
});

describe('a guest that dies inside an access', () => {
  test('does not make the host wait: its epoch stays odd, its state says dead', () => {
    const memory = { ...fresh(), epoch: 1, dead: true };
    const steps = [...grace(memory)];
    expect(steps.length).toBeLessThan(3);
  });
});
