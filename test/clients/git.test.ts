import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import type { Host } from '../../src/index.ts';
import { hasClient } from './python.ts';

const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const COMMITS = 200;
const isThere = hasClient('isomorphic-git') && spawnSync('git', ['--version']).status === 0;
let host: Host;
let directory: string;

afterEach(async () => {
  await host.terminate();
  rmSync(directory, { recursive: true });
});

describe.skipIf(!isThere)('isomorphic-git (npm ci --prefix test/clients, and git)', () => {
  test('commits, branches, merges, checks out; two workers write in one repository; git finds no fault', async () => {
    directory = mkdtempSync(join(tmpdir(), 'virtiofs-git-'));
    host = await createHost({ fs: `dir:${directory}`, cacheSize: 64 << 20, windowSize: 16 << 20, log: () => {} });
    expect(await run('anna', 'commits', COMMITS)).toEqual({ commits: COMMITS, files: COMMITS, changed: [] });
    // Two on the way, and the merge.
    expect(await run('anna', 'branchAndMerge')).toEqual({
      ...{ isAway: true, commits: COMMITS + 3, files: COMMITS + 2, changed: [] },
    });
    const tips = await Promise.all([run('ben', 'ownBranch', COMMITS), run('carla', 'ownBranch', COMMITS)]);
    await host.stop();
    expect(git('rev-parse', 'ben', 'carla').split('\n')).toEqual(tips);
    expect(git('rev-list', '--count', 'main..ben')).toBe(String(COMMITS));
    expect(git('show', 'carla:carla.txt')).toBe(`carla ${COMMITS - 1}`);
    expect(git('status', '--porcelain')).toBe('');
    expect(git('fsck', '--full', '--strict')).toBe('');
  }, 300_000);
});

async function run(who: string, task: string, count = 0): Promise<unknown> {
  const worker = new Worker(new URL('git-worker.mjs', import.meta.url), {
    workerData: { attachment: host.attach(), who, task, count },
  });
  const [result] = await once(worker, 'message');
  await once(worker, 'exit');
  return result;
}

/** The real one, in the directory that the host serves. */
function git(...args: string[]): string {
  const safe = ['-c', 'safe.directory=*', '-C', join(directory, 'repository')];
  return execFileSync('git', [...safe, ...args], { encoding: 'utf8', stdio: 'pipe' }).trim();
}
