/**
 * The protocol by which the host takes pages from guests that hold no lock, as a small model: each `yield` is a point
 * where the other side may run, every step is one atomic access of the real code, and all interleavings are explored.
 * Each test also runs the protocol with one step left out and shows that the model catches it.
 */
import { describe, expect, test } from 'vitest';
import { every, type Steps, schedule } from '../every.ts';

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
function* guestStore(memory: Memory, outcome: { stored?: boolean; corrupted?: boolean }): Steps {
  memory.epoch++;
  yield undefined;
  const present = memory.present;
  yield undefined;
  if (present) {
    memory.dirty = true;
    yield undefined;
    if (memory.frame === 'stolen') outcome.corrupted = true;
    else memory.value = 1;
    yield undefined;
    outcome.stored = true;
  }
  memory.epoch++;
}

/** src/host/grace.ts: waits until the guest has left the access it was in. */
function* grace(memory: Memory): Steps {
  const epoch = memory.epoch;
  yield undefined;
  if ((epoch & 1) === 0) return;
  yield () => memory.epoch !== epoch || memory.dead;
}

/** Runs guest and host under every schedule; `check` looks at what came of each. Returns how many there were. */
function everySchedule(makeThreads: () => { threads: Steps[]; check: () => void }): number {
  return every((choose) => {
    const { threads, check } = makeThreads();
    expect(schedule(choose, threads)).toBe(true);
    check();
  });
}

function explore(host: (memory: Memory) => Steps, guest: typeof guestStore) {
  let lost = 0;
  let corrupted = 0;
  const runs = everySchedule(() => {
    const memory = fresh();
    const outcome: { stored?: boolean; corrupted?: boolean } = {};
    return {
      threads: [guest(memory, outcome), host(memory)],
      check: () => {
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
  function* evict(memory: Memory, options: { wait: boolean }): Steps {
    memory.present = false;
    yield undefined;
    if (options.wait) yield* grace(memory);
    if (memory.dirty) {
      memory.backing = memory.value;
      yield undefined;
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
  function* writeBack(memory: Memory, order: 'clear, wait, write' | 'write, clear' | 'clear, write'): Steps {
    if (order === 'write, clear') {
      memory.backing = memory.value;
      yield undefined;
      memory.dirty = false;
      return;
    }
    memory.dirty = false;
    yield undefined;
    if (order === 'clear, wait, write') yield* grace(memory);
    memory.backing = memory.value;
  }

  function stale(order: Parameters<typeof writeBack>[1]): number {
    let stale = 0;
    everySchedule(() => {
      const memory = { ...fresh(), dirty: true };
      const outcome: { stored?: boolean } = {};
      return {
        threads: [guestStore(memory, outcome), writeBack(memory, order)],
        check: () => {
          if (outcome.stored && !memory.dirty && memory.backing !== 1) stale++;
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
  function* pin(memory: Memory, outcome: { stored?: boolean }): Steps {
    memory.pins++;
    yield undefined;
    memory.epoch++;
    yield undefined;
    const present = memory.present;
    yield undefined;
    memory.epoch++;
    yield undefined;
    // The view exists only if the page was there; else the guest faults and tries again.
    outcome.stored = present;
  }

  function* evict(memory: Memory, options: { lookAtPins: 'after' | 'before' }): Steps {
    const early = memory.pins;
    yield undefined;
    memory.present = false;
    yield undefined;
    yield* grace(memory);
    const pins = options.lookAtPins === 'after' ? memory.pins : early;
    yield undefined;
    if (pins > 0) memory.present = true;
    else memory.frame = 'stolen';
  }

  function broken(lookAtPins: 'after' | 'before'): number {
    let broken = 0;
    everySchedule(() => {
      const memory = fresh();
      const outcome: { stored?: boolean } = {};
      return {
        threads: [pin(memory, outcome), evict(memory, { lookAtPins })],
        check: () => {
          if (outcome.stored && memory.frame === 'stolen') broken++;
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
    expect(every((choose) => expect(schedule(choose, [grace(memory)])).toBe(true))).toBe(1);
  });

  test('would make it wait for ever if nobody said so', () => {
    const memory = { ...fresh(), epoch: 1 };
    every((choose) => expect(schedule(choose, [grace(memory)])).toBe(false));
  });
});
