/**
 * More of the protocol of grace-model.test.ts, as longer stories: a page that is evicted, filled again and evicted
 * again; fsync; a file that shrinks under a view; a guest that dies, or only seems to. Every step is one atomic access
 * of the real code, all interleavings are run, and each story is told once more with one step left out, to be lost.
 */
import { describe, expect, test } from 'vitest';
import { type Choose, every, type Steps, schedule } from '../every.ts';

/** A frame: whose page it is, and its one byte. */
interface Frame {
  owner: 'file' | 'other';
  value: number;
}

interface World {
  /** The page table entry. */
  frame: Frame | undefined;
  present: boolean;
  dirty: boolean;
  pins: number;
  /** The file has the page: not cut. */
  isInFile: boolean;
  epoch: number;
  generation: number;
  /** The guest runs no more code. */
  isDead: boolean;
  faulted: boolean;
  backing: number;
  /** What went wrong. */
  readonly wrong: string[];
}

function fresh(): World {
  const frame: Frame = { owner: 'file', value: 0 };
  return {
    frame,
    present: true,
    dirty: false,
    pins: 0,
    isInFile: true,
    epoch: 0,
    generation: 0,
    isDead: false,
    faulted: false,
    backing: 0,
    wrong: [],
  };
}

function put(world: World, frame: Frame, value: number): void {
  if (frame.owner === 'other') world.wrong.push('a store hit the next owner of the frame');
  frame.value = value;
}

/** What the file's page holds for whoever looks. */
function content(world: World): number {
  return world.frame?.owner === 'file' ? world.frame.value : world.backing;
}

type Story = (world: World, choose: Choose) => { threads: Steps[]; check: () => void };

/** Thrown to end the search. */
class Found extends Error {}

/** Runs all schedules, up to the first one in which something goes wrong; returns what that was. */
function explore(story: Story): readonly string[] {
  let wrong: readonly string[] = [];
  try {
    const runs = every((choose) => {
      const world = fresh();
      const { threads, check } = story(world, choose);
      if (!schedule(choose, threads)) world.wrong.push('somebody waits for ever');
      check();
      wrong = world.wrong;
      if (wrong.length > 0) throw new Found();
    });
    expect(runs).toBeGreaterThan(20);
  } catch (error) {
    if (!(error instanceof Found)) throw error;
  }
  return wrong;
}

/** src/host/grace.ts. */
function* grace(world: World): Steps {
  const { epoch } = world;
  yield undefined;
  if ((epoch & 1) === 1) yield () => world.epoch !== epoch || world.isDead;
}

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

describe('a guest that ends at any step, or is only said to have ended', () => {
  /** assembly/access.ts: enter() and leave() in full, and a store between. */
  function* access(world: World, mine: number, value: number, leftOut: LeftOut = 'nothing'): Steps {
    let entered = 0;
    for (;;) {
      if (world.generation !== mine) return;
      const { epoch } = world;
      entered = (epoch + 1) | 1;
      yield undefined;
      const isEntered = world.epoch === epoch || leftOut === 'entering by compare-and-swap';
      if (isEntered) world.epoch = entered;
      yield undefined;
      if (isEntered) break;
    }
    if (leftOut === 'the second look at the generation' || world.generation === mine) {
      yield undefined;
      const { present, frame } = world;
      yield undefined;
      if (present && frame !== undefined) put(world, frame, value);
      yield undefined;
    }
    if (leftOut === 'leaving by compare-and-swap') world.epoch++;
    else if (world.epoch === entered) world.epoch = entered + 1;
  }

  type LeftOut =
    | 'nothing'
    | 'the second look at the generation'
    | 'entering by compare-and-swap'
    | 'leaving by compare-and-swap';

  function* upTo(lastStep: number, world: World, steps: Steps): Steps {
    for (let step = 0; step < lastStep; step++) {
      const { value, done } = steps.next();
      if (done) return;
      yield value;
    }
    world.isDead = true;
  }

  /** src/host/device-server.ts and grace.ts bury: the slot is taken away, then a page is taken as always. */
  function* bury(world: World, abandons: boolean): Steps {
    world.generation++;
    yield undefined;
    const { epoch } = world;
    if ((epoch & 1) === 1) {
      yield () => world.epoch !== epoch || world.isDead;
      if (abandons && world.epoch === epoch) world.epoch++;
    }
    world.isDead = false;
    yield undefined;
    world.present = false;
    yield undefined;
    yield* grace(world);
    (world.frame as Frame).owner = 'other';
  }

  function die(abandons: boolean) {
    return explore((world, choose) => {
      const guest = upTo(choose(8), world, access(world, 0, 1));
      return { threads: [guest, bury(world, abandons)], check: () => {} };
    });
  }

  test('stores nothing into what its page has become, and keeps nobody waiting, at whatever step it ends', () => {
    expect(die(true)).toEqual([]);
  });

  test('would keep everybody waiting for its slot if its epoch were left odd', () => {
    expect(die(false)).toEqual(['somebody waits for ever']);
  });

  /** The slot has its next guest; the old worker was only said to be dead, and comes late from its first look. */
  function reuse(leftOut: LeftOut) {
    return explore((world) => {
      const zombie = access(world, 0, 1, leftOut);
      zombie.next();
      world.generation = 1;
      function* host(): Steps {
        world.present = false;
        yield undefined;
        yield* grace(world);
        (world.frame as Frame).owner = 'other';
      }
      return {
        threads: [zombie, access(world, 1, 2), host()],
        check: () => {
          if (content(world) === 1) world.wrong.push('the old guest stored into a page of the new one');
          if ((world.epoch & 1) === 1) world.wrong.push('the epoch is odd and nobody is inside');
        },
      };
    });
  }

  test('does not disturb the next guest of its slot', () => {
    expect(reuse('nothing')).toEqual([]);
  });

  test.each([
    'the second look at the generation',
    'entering by compare-and-swap',
    'leaving by compare-and-swap',
  ] as const)('would if this were left out: %s', (leftOut) => {
    expect(reuse(leftOut)).not.toEqual([]);
  });
});
