/** The command around a kernel mount: its lines, its signals, its exit codes, and what it leaves. */
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Command, codeOf, isMounted, mounted, skipReason, titled, umount } from './mounted.ts';

const NOBODY = 65534;
const scratch = mkdtempSync(join(tmpdir(), 'virtiofs-command-'));
mkdirSync(join(scratch, 'dir/inside'), { recursive: true });
mkdirSync(join(scratch, 'point'));
writeFileSync(join(scratch, 'file'), '');
afterAll(() => rmSync(scratch, { recursive: true }));

const at = (name: string) => join(scratch, name);

describe.skipIf(skipReason !== undefined)(titled('virtiofs mount'), () => {
  test('says one line when it is ready, and ends with 0 when it is unmounted from outside', async () => {
    const mount = await mounted('memory');
    try {
      expect(mount.command.stdout).toBe(`mounted memory on ${mount.dir}\n`);
      writeFileSync(mount.path('a'), 'hello');
      umount(mount.dir);
      expect(await mount.command.ended).toMatchObject({ code: 0, stderr: '' });
    } finally {
      await mount.stop();
    }
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('%s unmounts with everything written back', async (signal) => {
    const mount = await mounted('dir');
    try {
      writeFileSync(mount.path('a'), 'written before the signal');
      mount.command.child.kill(signal);
      expect(await mount.command.ended).toMatchObject({ code: 0, stderr: '' });
      expect(isMounted(mount.dir)).toBe(false);
      expect(readFileSync(join(mount.backing, 'a'), 'utf8')).toBe('written before the signal');
    } finally {
      await mount.stop();
    }
  });

  test('a signal to a busy mount unmounts it when nobody uses it any more', async () => {
    const mount = await mounted('memory');
    try {
      const fd = openSync(mount.path('a'), 'w');
      mount.command.child.kill('SIGTERM');
      await mount.command.says('busy');
      writeFileSync(fd, 'still served');
      closeSync(fd);
      expect(await mount.command.ended).toMatchObject({ code: 0 });
      expect(isMounted(mount.dir)).toBe(false);
    } finally {
      await mount.stop();
    }
  });

  test('a second signal breaks the connection of whoever uses the mount', async () => {
    const mount = await mounted('memory');
    const fd = openSync(mount.path('a'), 'w');
    try {
      mount.command.child.kill('SIGINT');
      await mount.command.says('signal again to force');
      mount.command.child.kill('SIGINT');
      expect(await mount.command.ended).toMatchObject({ code: 0 });
      expect(isMounted(mount.dir)).toBe(false);
      expect(['ENOTCONN', 'EIO']).toContain(codeOf(() => writeFileSync(fd, 'x')));
    } finally {
      // Closing tells of the broken connection too.
      codeOf(() => closeSync(fd));
      await mount.stop();
    }
  });

  test('after SIGKILL the mount answers ENOTCONN, and umount removes it', async () => {
    const mount = await mounted('memory');
    try {
      mount.command.child.kill('SIGKILL');
      await mount.command.ended;
      expect(codeOf(() => statSync(mount.path('a')))).toBe('ENOTCONN');
      const again = await new Command(['mount', 'memory', mount.dir]).ended;
      expect(again.code).toBe(2);
      expect(again.stderr).toMatch(/is a dead mount: remove it with 'umount .*'\n$/);
      umount(mount.dir);
      expect(statSync(mount.dir).isDirectory()).toBe(true);
    } finally {
      await mount.stop();
    }
  });

  test('the options of the mount reach the kernel and the file system', async () => {
    const mount = await mounted('memory', 'allow_other,nosuid,noatime,uid=1001,gid=1002,mode=750,size=4MiB');
    try {
      const line = readFileSync('/proc/self/mounts', 'utf8')
        .split('\n')
        .find((text) => text.includes(mount.dir));
      expect(line).toMatch(/ fuse rw,nosuid,noatime,user_id=0,group_id=0,default_permissions,allow_other /);
      const stats = statSync(mount.dir);
      expect([stats.uid, stats.gid, stats.mode & 0o7777]).toEqual([1001, 1002, 0o750]);
      expect(mount.sh('stat -f -c "%b %S" .')).toBe('1024 4096');
    } finally {
      await mount.stop();
    }
  });

  test.each(['memory', 'dir'] as const)('%s mounted ro answers EROFS to whatever changes something', async (kind) => {
    const mount = await mounted(kind, 'ro');
    try {
      expect(codeOf(() => writeFileSync(mount.path('a'), ''))).toBe('EROFS');
      expect(codeOf(() => mkdirSync(mount.path('d')))).toBe('EROFS');
    } finally {
      expect(await mount.stop()).toMatchObject({ code: 0 });
    }
  });

  test('without allow_other nobody but root gets in', async () => {
    const mount = await mounted('memory', 'default_permissions');
    try {
      expect(mount.fails('ls /proc/self/cwd/', NOBODY)).toMatch(/Permission denied/);
    } catch (error) {
      // The shell cannot even start there.
      expect((error as { code?: string }).code).toBe('EACCES');
    } finally {
      await mount.stop();
    }
  });

  const bad: [string, string[], RegExp][] = [
    ['no arguments', [], /^virtiofs: usage: virtiofs mount SPEC MOUNTPOINT/],
    ['a missing mount point', ['memory', at('nowhere')], /does not exist: create the directory first$/],
    ['a file as mount point', ['memory', at('file')], /is not a directory: name a directory$/],
    ['a busy mount point', ['memory', '/proc'], /is busy: something is mounted there; umount it first$/],
    ['a mount point inside what is served', [`dir:${at('dir')}`, at('dir/inside')], /inside the served directory/],
    ['a directory that is not there', [`dir:${at('gone')}`, at('point')], /cannot serve '.*gone': no such file/],
    ['an unknown file system', ['floppy', at('point')], /unknown file system 'floppy': expected memory, /],
    ['a bad size', ['memory:lots', at('point')], /'lots' is not a size/],
    ['an unknown option', ['memory', at('point'), '-o', 'ro,fast'], /unknown mount option 'fast': known are ro, /],
    ['an option without its value', ['memory', at('point'), '-o', 'uid'], /'uid' needs a value: write uid=…$/],
    ['a value that is no number', ['memory', at('point'), '-oattr_timeout=x'], /'attr_timeout=x': it must be a number/],
    ['memory options for a directory', [`dir:${at('dir')}`, at('point'), '-o', 'uid=1'], /are for memory/],
    ['a size that no memory has', ['memory:9999G', at('point')], /too large/],
  ];
  test.each(bad)('%s is one line and exit code 2', async (_, args, line) => {
    const { code, stdout, stderr } = await new Command(['mount', ...args]).ended;
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr.trimEnd()).toMatch(line);
  });

  test('without root it says so', async () => {
    const { code, stderr } = await new Command(['mount', 'memory', at('point')], NOBODY).ended;
    expect([code, stderr]).toEqual([2, 'virtiofs: mount needs root: run it as root or with sudo\n']);
  });
});
