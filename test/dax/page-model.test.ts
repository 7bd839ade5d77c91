/**
 * More of the protocol of grace-model.test.ts, as longer stories: a page that is evicted, filled again and evicted
 * again; fsync; a file that shrinks under a view. Every step is one atomic access
 * of the real code, all interleavings are run, and each story is told once more with one step left out, to be lost.
 */
import { describe, expect, test } from 'vitest';
import type { Steps } from '../every.ts';
import { content, explore, type Frame, grace, put, type World } from './model.ts';

/** assembly/access.ts and src/dax/window.ts: a store, with faults until it is made or the page is beyond the end. */
function* store(world: World, value: number, stored: (value: number) => void): Steps {
  for (;;) {
    world.epoch++;
    yield undefined;
    const { present, frame } = world;
    yield undefined;
    if (present && frame !== undefined) {
      world.dirty = true;
      yield undefined;
      put(world, frame, value);
      stored(value);
      yield undefined;
      world.epoch++;
      return;
    }
    world.epoch++;
    world.faulted = true;
    yield () => !world.faulted;
    if (!world.isInFile) return;
  }
}

describe('a page that is evicted twice, with a fill between', () => {
  type LeftOut = 'nothing' | 'the grace period' | 'the write-back' | 'the look at DIRTY after the grace period';

  /** Evicts the page and fills it again, for a fault or for somebody else. */
  function* evict(world: World, leftOut: LeftOut): Steps {
    const early = world.dirty;
    world.present = false;
    yield undefined;
    if (leftOut !== 'the grace period') yield* grace(world);
    const isDirty = leftOut === 'the look at DIRTY after the grace period' ? early : world.dirty;
    if (isDirty && leftOut !== 'the write-back') world.backing = (world.frame as Frame).value;
    (world.frame as Frame).owner = 'other';
    world.dirty = false;
    fill(world);
    yield undefined;
  }

  function fill(world: World): void {
    world.frame = { owner: 'file', value: world.backing };
    world.present = true;
    world.faulted = false;
  }

  /** One thread, as the real host; faults that come after the evictions find the page there. */
  function* host(world: World, leftOut: LeftOut, isOver: () => boolean): Steps {
    yield* evict(world, leftOut);
    yield* evict(world, leftOut);
    for (;;) {
      yield () => world.faulted || isOver();
      if (!world.faulted) return;
      world.faulted = false;
    }
  }

  function run(leftOut: LeftOut) {
    return explore((world) => {
      let last = 0;
      let isOver = false;
      function* guest(): Steps {
        yield* store(world, 1, (value) => {
          last = value;
        });
        isOver = true;
      }
      return {
        threads: [guest(), host(world, leftOut, () => isOver)],
        check: () => {
          if (content(world) !== last) world.wrong.push('a store was lost');
        },
      };
    });
  }

  test('keeps every store, wherever it falls', () => {
    expect(run('nothing')).toEqual([]);
  });

  test.each(['the grace period', 'the write-back', 'the look at DIRTY after the grace period'] as const)(
    'loses some if %s is left out',
    (leftOut) => {
      expect(run(leftOut)).toContain('a store was lost');
    },
  );
});

describe('fsync', () => {
  type LeftOut = 'nothing' | 'the grace period' | 'DIRTY is cleared first' | 'the answer comes after the write';

  /** A write-back by the timer, then the one that was asked for: the first may meet the store in the middle. */
  function* host(world: World, leftOut: LeftOut, request: { state: 'none' | 'asked' | 'answered' }): Steps {
    for (const isAsked of [false, true]) {
      if (isAsked) yield () => request.state === 'asked';
      if (isAsked && leftOut === 'the answer comes after the write') request.state = 'answered';
      yield undefined;
      if (world.dirty) {
        if (leftOut !== 'DIRTY is cleared first') world.dirty = false;
        yield undefined;
        if (leftOut !== 'the grace period') yield* grace(world);
        world.backing = (world.frame as Frame).value;
        yield undefined;
        if (leftOut === 'DIRTY is cleared first') world.dirty = false;
      }
      if (isAsked) request.state = 'answered';
      yield undefined;
    }
  }

  function run(leftOut: LeftOut) {
    return explore((world) => {
      // From a store before.
      world.dirty = true;
      const request = { state: 'none' as 'none' | 'asked' | 'answered' };
      function* guest(): Steps {
        yield* store(world, 1, () => {});
        request.state = 'asked';
        yield () => request.state === 'answered';
        // Here the process may be killed: the backing alone is left.
        if (world.backing !== 1) world.wrong.push('fsync returned and the store is not in the backing');
      }
      return { threads: [guest(), host(world, leftOut, request)], check: () => {} };
    });
  }

  test('returns when what was stored before it is in the backing, whatever the timer did meanwhile', () => {
    expect(run('nothing')).toEqual([]);
  });

  test.each(['the grace period', 'DIRTY is cleared first', 'the answer comes after the write'] as const)(
    'does not if this is left out: %s',
    (leftOut) => {
      expect(run(leftOut)).toContain('fsync returned and the store is not in the backing');
    },
  );
});

describe('a file that is cut under a view, and grows again', () => {
  type LeftOut = 'nothing' | 'the grace period' | 'the look at the pins' | 'the look at the pins before reuse';

  /** src/dax/window.ts pin: the pin, then a look at the entry; stores need no entry; then the pin goes. */
  function* viewer(world: World): Steps {
    world.pins++;
    yield undefined;
    world.epoch++;
    yield undefined;
    const { present, frame } = world;
    yield undefined;
    world.epoch++;
    yield undefined;
    if (present && frame !== undefined) {
      put(world, frame, 7);
      yield undefined;
    }
    world.pins--;
  }

  /** src/host/file-pages.ts drop, giveFrameWhenUnpinned and sweepLimbo; then the page is the file's again, new. */
  function* host(world: World, leftOut: LeftOut): Steps {
    const frame = world.frame as Frame;
    world.isInFile = false;
    world.present = false;
    yield undefined;
    if (leftOut !== 'the grace period') yield* grace(world);
    const isPinned = world.pins > 0;
    yield undefined;
    world.frame = undefined;
    yield undefined;
    if (!isPinned || leftOut === 'the look at the pins') frame.owner = 'other';
    world.frame = { owner: 'file', value: 0 };
    world.isInFile = true;
    world.present = true;
    yield undefined;
    // Limbo: the frame belongs to nobody until the pin is gone.
    if (isPinned && leftOut !== 'the look at the pins before reuse') yield () => world.pins === 0;
    frame.owner = 'other';
  }

  /** A store through the window, begun before the cut or after the growth; if it comes between, it is a bus error. */
  function* storer(world: World): Steps {
    world.epoch++;
    yield undefined;
    const { present, frame } = world;
    yield undefined;
    if (present && frame !== undefined) put(world, frame, 7);
    yield undefined;
    world.epoch++;
  }

  function run(leftOut: LeftOut, guest = viewer) {
    return explore((world) => {
      const old = world.frame as Frame;
      old.value = 5;
      return {
        threads: [guest(world), host(world, leftOut)],
        check: () => {
          if (world.frame === old) world.wrong.push('the old frame came back');
          if (![0, 7].includes(content(world))) world.wrong.push('old bytes came back');
        },
      };
    });
  }

  test('is safe from a store in flight too, but for the grace period', () => {
    expect(run('nothing', storer)).toEqual([]);
    expect(run('the grace period', storer)).toContain('a store hit the next owner of the frame');
  });

  test('shows zeros or what was stored since, and the view never writes into somebody else’s frame', () => {
    expect(run('nothing')).toEqual([]);
  });

  test.each(['the look at the pins', 'the look at the pins before reuse'] as const)(
    'lets the view write there if %s is left out',
    (leftOut) => {
      expect(run(leftOut)).toContain('a store hit the next owner of the frame');
    },
  );
});
