/** Locks as programs use them: one program (locks.py), which the machine's own tmpfs has to satisfy, too. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { codeOf, mounted, skipReason, titled, umount } from './mounted.ts';

const PROGRAM = new URL('./locks.py', import.meta.url).pathname;
/** Locks a file in both ways; prints which kinds the kernel lists for it. */
const LOCKS_OF = `
import fcntl, os, sys
with open(sys.argv[1], 'w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    fcntl.lockf(file, fcntl.LOCK_EX)
    ino = os.fstat(file.fileno()).st_ino
    print(*sorted(line.split()[1] for line in open('/proc/locks') if f':{ino} ' in line), end='')
`;
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

  test.each([
    ['memory', ''],
    ['dir', ''],
    ['dir', 'local_locks'],
  ] as const)('%s %s keeps every promise', async (kind, options) => {
    const mount = await mounted(kind, options === '' ? undefined : options);
    try {
      expect(runIn(mount.dir)).toBe('ok');
    } finally {
      expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
    }
  });

  test.each([
    ['the host holds the locks, not the kernel', '', []],
    ['with local_locks the kernel holds them', ',local_locks', ['FLOCK', 'POSIX']],
  ] as const)('%s', async (_, word, held) => {
    const mount = await mounted('dir', `allow_other${word}`);
    try {
      const kinds = execFileSync('timeout', ['20', 'python3', '-c', LOCKS_OF, join(mount.dir, 'file')]).toString();
      expect(kinds.split(' ').filter((kind) => kind.trim() !== '')).toEqual(held);
    } finally {
      expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
    }
  });
});
