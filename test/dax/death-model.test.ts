/**
 * A guest that ends in the middle of an access, or is only said to have ended: the model of enter, leave and bury, over
 * all interleavings, and with each precaution left out.
 */
import { describe, expect, test } from 'vitest';
import type { Steps } from '../every.ts';
import { content, explore, type Frame, grace, put, type World } from './model.ts';

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
