/** Locks as programs use them: one program (locks.py), which the machine's own tmpfs has to satisfy, too. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { codeOf, mounted, skipReason, titled, umount } from './mounted.ts';

const PROGRAM = new URL('./locks.py', import.meta.url).pathname;
const noPython = codeOf(() => execFileSync('python3', ['--version'], { stdio: 'pipe' })) !== 'OK';
const why = skipReason ?? (noPython ? 'no python3: apt-get install python3' : undefined);
const title = skipReason === undefined && why !== undefined ? `locks [skipped: ${why}]` : titled('locks');

function runIn(cwd: string): string {
  return execFileSync('timeout', ['50', 'python3', PROGRAM], { cwd, stdio: 'pipe' }).toString().trim();
}

describe.skipIf(why !== undefined)(title, () => {
  test('the program is right: tmpfs keeps every promise', () => {
    const dir = mkdtempSync(join(tmpdir(), 'virtiofs-locks-'));
    execFileSync('mount', ['-t', 'tmpfs', 'virtiofs-test', dir]);
    try {
      expect(runIn(dir)).toBe('ok');
    } finally {
      umount(dir);
      rmdirSync(dir);
    }
  });

  test.each(['memory', 'dir'] as const)('%s keeps every promise', async (kind) => {
    const mount = await mounted(kind);
    try {
      expect(runIn(mount.dir)).toBe('ok');
    } finally {
      expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
    }
  });
});
