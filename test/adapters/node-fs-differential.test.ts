/** Thousands of random calls, on the running Node's node:fs and on ours: results, errors and trees are the same. */
import { describe, expect, test } from 'vitest';
import { compare } from './node-fs-sides.ts';

const SEED = Number(process.env['NODE_FS_SEED'] ?? 1);
const isSame = process.platform === 'linux' && process.getuid?.() === 0 && process.version.startsWith('v20.');

// The words are those of one Node, and the rights those of root.
describe.runIf(isSame)('ours and Node’s', () => {
  test.each([
    ['sync', 40, 150],
    ['callback', 10, 150],
    ['promise', 10, 150],
  ] as const)('%s forms of the same calls come to the same', async (form, seeds, count) => {
    let calls = 0;
    for (let seed = SEED; seed < SEED + seeds; seed++) {
      const outcome = await compare(seed, count, form);
      expect(outcome.difference, `NODE_FS_SEED=${seed}`).toBeUndefined();
      calls += outcome.calls;
    }
    expect(calls).toBe(seeds * count);
  });
});
