/** Native system calls in a host's worker: the bundle finds their package, and can be told not to. */
import { lstatSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Guest } from '../../src/index.ts';
import { S_IFIFO } from '../../src/wire/mode.ts';
import { nativeSkipReason, nativeTitle } from '../fakes/native.ts';

// The bundle, not the sources: a worker's file has to be JavaScript.
const { createHost, mount }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

async function serve(native?: boolean): Promise<{ guest: Guest; path: string }> {
  const path = mkdtempSync(join(tmpdir(), 'virtiofs-served-'));
  const fs = native === undefined ? `dir:${path}` : ({ type: 'dir', path, native } as const);
  const host = await createHost({ cacheSize: 8 << 20, windowSize: 4 << 20, guests: 1, fs });
  onTestFinished(async () => {
    await host.terminate();
    rmSync(path, { recursive: true });
  });
  const guest = mount(host.attach());
  guest.writeFile('/a', 'aaa');
  guest.writeFile('/b', 'bbb');
  return { guest, path };
}

function codeOf(work: () => void): string {
  try {
    work();
    return 'OK';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe.skipIf(nativeSkipReason !== undefined)(nativeTitle('guests of a directory with native calls'), () => {
  test('exchange files, make fifos and set times to the nanosecond', async () => {
    const { guest, path } = await serve();
    guest.rename('/a', '/b', { exchange: true });
    guest.mknod('/fifo', S_IFIFO | 0o640);
    guest.utimens('/a', 1_000_000_001n, 1_700_000_000_123_456_789n);
    expect(lstatSync(join(path, 'fifo')).mode).toBe(S_IFIFO | 0o640);
    const stats = lstatSync(join(path, 'a'), { bigint: true });
    expect([stats.atimeNs, stats.mtimeNs]).toEqual([1_000_000_001n, 1_700_000_000_123_456_789n]);
    expect(readFileSync(join(path, 'a'), 'latin1') + guest.readFile('/b', 'utf8')).toBe('bbbaaa');
  });
});

test('a host that is told to use no native calls has what node:fs has', async () => {
  const { guest } = await serve(false);
  expect(codeOf(() => guest.rename('/a', '/b', { exchange: true }))).toBe('EINVAL');
  expect(codeOf(() => guest.mknod('/fifo', S_IFIFO | 0o640))).toBe('EPERM');
});
