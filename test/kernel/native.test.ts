/** What programs of the real kernel can do in a directory mount with native calls, and what others then see in it. */
import * as fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesOfText } from '../../src/base/bytes.ts';
import { findNative, type Native } from '../../src/fs/dir/native.ts';
import { silentLog } from '../../src/host/log.ts';
import { errnoName } from '../../src/wire/errno.ts';
import * as mode from '../../src/wire/mode.ts';
import { nativeSkipReason, nativeTitle } from '../fakes/native.ts';
import { type Mounted, mounted, skipReason, titled } from './mounted.ts';

const NOBODY = 65534;
const MIB = 1 << 20;
const O_TMPFILE = 0o20000000 | fs.constants.O_DIRECTORY;

const isSkipped = skipReason !== undefined || nativeSkipReason !== undefined;
describe.skipIf(isSkipped)(titled(nativeTitle('a directory mount with native calls')), () => {
  let mount: Mounted;
  // The same calls on the client's side: they go through the kernel, into the mount.
  const native = findNative(silentLog) as Native;
  const at = (name: string) => mount.path(name);
  const behind = (name: string) => `${mount.backing}/${name}`;
  const room = Buffer.alloc(65536);

  function xattr(path: string, name: string): string {
    const size = native.getxattr(path, bytesOfText(name), room);
    return size < 0 ? errnoName(-size) : room.toString('latin1', 0, size);
  }

  function list(path: string): string {
    const size = native.listxattr(path, room);
    return size < 0 ? errnoName(-size) : room.toString('latin1', 0, size);
  }

  function setXattr(path: string, name: string, value: string | number, flags = 0): string {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : Buffer.alloc(value);
    return errnoName(native.setxattr(path, bytesOfText(name), bytes, flags));
  }

  beforeAll(async () => {
    mount = await mounted('dir');
  });
  afterAll(async () => {
    expect(await mount.stop()).toMatchObject({ code: 0, stderr: '' });
  });

  test('attributes pass both ways, with their flags, sizes and errors', () => {
    fs.writeFileSync(at('x'), 'abc');
    expect([setXattr(at('x'), 'user.a', 'one'), xattr(behind('x'), 'user.a')]).toEqual(['OK', 'one']);
    expect([setXattr(behind('x'), 'user.b', ''), xattr(at('x'), 'user.b')]).toEqual(['OK', '']);
    expect(list(at('x'))).toBe(list(behind('x')));
    expect([setXattr(at('x'), 'user.a', '', 1), setXattr(at('x'), 'user.c', '', 2)]).toEqual(['EEXIST', 'ENODATA']);
    expect([native.getxattr(at('x'), bytesOfText('user.a'), Buffer.alloc(2)), xattr(at('x'), 'user.z')]).toEqual([
      -34,
      'ENODATA',
    ]);
    expect(setXattr(at('x'), 'user.a', 65537)).toBe('E2BIG');
    expect(setXattr(at('x'), `user.${'n'.repeat(251)}`, '')).toBe('ERANGE');
    expect(setXattr(at('x'), 'system.posix_acl_access', '\x02\0\0\0')).toBe('ENOTSUP');
    expect(errnoName(native.removexattr(at('x'), bytesOfText('user.a')))).toBe('OK');
    expect(xattr(behind('x'), 'user.a')).toBe('ENODATA');
    expect(fs.readFileSync(at('x'), 'utf8')).toBe('abc');
  });

  test('the superuser may set trusted attributes, and nobody else sees them', () => {
    fs.writeFileSync(at('t'), '');
    expect(setXattr(at('t'), 'trusted.a', 'x')).toBe('OK');
    expect([list(at('t')), xattr(behind('t'), 'trusted.a')]).toEqual(['trusted.a\0', 'x']);
    const hasTool = mount.sh('command -v getfattr || true') !== '';
    if (hasTool) expect(mount.sh('getfattr -m - t', NOBODY)).toBe('');
  });

  test('two files change places, and a taken name stays', () => {
    fs.writeFileSync(at('one'), '1');
    fs.writeFileSync(at('two'), '2');
    expect(native.rename(at('one'), at('two'), mode.RENAME_EXCHANGE)).toBe(0);
    expect([fs.readFileSync(behind('one'), 'utf8'), fs.readFileSync(at('two'), 'utf8')]).toEqual(['2', '1']);
    expect(errnoName(native.rename(at('one'), at('two'), mode.RENAME_NOREPLACE))).toBe('EEXIST');
  });

  test('a file without a name gets one', () => {
    const fd = fs.openSync(mount.dir, O_TMPFILE | fs.constants.O_RDWR, 0o640);
    fs.writeSync(fd, 'nameless');
    expect(native.link(`/proc/self/fd/${fd}`, at('named'))).toBe(0);
    fs.closeSync(fd);
    expect(fs.readFileSync(behind('named'), 'utf8')).toBe('nameless');
    expect(fs.statSync(at('named')).mode).toBe(mode.S_IFREG | 0o640);
  });

  test('holes are made and found', () => {
    fs.writeFileSync(at('holes'), Buffer.alloc(4 * MIB, 1));
    const fd = fs.openSync(at('holes'), 'r+');
    const PUNCH = mode.FALLOC_FL_PUNCH_HOLE | mode.FALLOC_FL_KEEP_SIZE;
    expect(native.fallocate(fd, PUNCH, MIB, MIB)).toBe(0);
    const found = [native.seek(fd, 0, mode.SEEK_HOLE), native.seek(fd, MIB, mode.SEEK_DATA)];
    expect(found).toEqual([MIB, 2 * MIB]);
    expect(fs.statSync(behind('holes')).blocks * 512).toBeLessThan(3.5 * MIB);
    expect(native.fallocate(fd, mode.FALLOC_FL_KEEP_SIZE, 4 * MIB, MIB)).toBe(0);
    expect(fs.fstatSync(fd).size).toBe(4 * MIB);
    fs.closeSync(fd);
    expect(fs.readFileSync(at('holes'))[MIB + 5]).toBe(0);
  });
});
