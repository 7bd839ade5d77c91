/**
 * Random operations of four guests on a few files, through windows of three ranges and a pool of 64 frames, against a
 * model that knows every byte; the invariants after each step.
 *
 * Replay: SEED=… npx vitest run test/dax/random.test.ts, with NOTES=1 for the steps before the failure. For long:
 * OPERATIONS=1000000, shared out among the five tests.
 */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { FaultyBackings } from '../fakes/faulty-backing.ts';
import { play } from './random-game.ts';
import type { WorldOptions } from './random-world.ts';

const OPERATIONS = Number(process.env['OPERATIONS'] ?? 5000);
const SEED = Number(process.env['SEED'] ?? 1);
/** Steps of one world: then everything is taken down, and must be. */
const STEPS = 2500;
const HOUR_MS = 3_600_000;

/** Worlds that a share of the operations makes. */
function worldsOf(share: number): number {
  return Math.ceil((OPERATIONS * share) / STEPS);
}

const KINDS: readonly (readonly [string, WorldOptions])[] = [
  ['dir', { fs: 'dir', frames: 64 }],
  ['memory', { fs: 'memory', frames: 400 }],
];

test.each(KINDS)(
  '%s: every byte and every invariant after each step (replay with SEED=…)',
  async (_, options) => {
    const worlds = worldsOf(0.25);
    for (let seed = SEED; seed < SEED + worlds; seed++) {
      await play(seed, { ...options, isBelievedForever: seed % 4 < 3 }, STEPS);
    }
  },
  HOUR_MS,
);

test.each(KINDS)(
  '%s, some guests with pages of their own: what is flushed or told is seen, by everybody, at once',
  async (_, options) => {
    const worlds = worldsOf(0.2);
    for (let seed = SEED; seed < SEED + worlds; seed++) {
      const cache = (['auto', 'always', 'none', 'always'] as const)[seed % 4] ?? 'auto';
      // Space does not run out: what was gathered would be lost.
      const frames = options.fs === 'memory' ? 16_000 : options.frames;
      await play(seed, { ...options, frames, cache, isBelievedForever: seed % 5 < 3 }, STEPS);
    }
  },
  HOUR_MS,
);

test(
  'a disk that fails now and then: each call says so or does it, and nothing that was stored is lost',
  async () => {
    const worlds = worldsOf(0.1);
    let failed = 0;
    for (let i = 0; i < worlds; i++) {
      const faulty = new FaultyBackings(new Prng(SEED + i));
      failed += await play(SEED + i, { fs: 'dir', frames: 64, faulty }, STEPS);
      expect(faulty.failedReads * faulty.failedWrites).toBeGreaterThan(0);
    }
    expect(failed).toBeGreaterThan(worlds);
  },
  HOUR_MS,
);
