/** What a served directory can do with the optional package of system calls, compared with what the system says. */
import {
  linkSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ByteString, textOfBytes } from '../../src/base/bytes.ts';
import type { DirInode } from '../../src/fs/dir/inode.ts';
import { findNative } from '../../src/fs/dir/native.ts';
import { Caller } from '../../src/host/inode.ts';
import { silentLog } from '../../src/host/log.ts';
import { type Errno, errnoName } from '../../src/wire/errno.ts';
import { FATTR_FLAGS } from '../../src/wire/flags.ts';
import * as mode from '../../src/wire/mode.ts';
import { bootDir, check, type DirWorld, errnoOfResult, name, ok, openBelow } from '../fakes/dir-world.ts';
import { nativeSkipReason, nativeTitle } from '../fakes/native.ts';

const isRoot = process.geteuid?.() === 0;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const KEEP = mode.FALLOC_FL_KEEP_SIZE;
const MIB = 1 << 20;
const superuser = new Caller();
const user = Object.assign(new Caller(), { uid: 1000, gid: 1000 });

function boot(options: Parameters<typeof bootDir>[0] = {}): DirWorld {
  return bootDir({ ...options, anchor: 'descriptors and native calls' });
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

function set(world: DirWorld, inode: DirInode, attribute: string, value: string | Uint8Array, flags = 0): string {
  const data = typeof value === 'string' ? bytes(value) : value;
  return errnoOfResult(world.fs.setxattr!(inode, name(attribute), data, flags, superuser) || undefined);
}

function get(world: DirWorld, inode: DirInode, attribute: string): string {
  const value = world.fs.getxattr!(inode, name(attribute), superuser);
  return typeof value === 'number' ? errnoOfResult(value) : Buffer.from(value).toString('latin1');
}

function listed(world: DirWorld, inode: DirInode, caller: Caller): string[] {
  return ok(world.fs.listxattr!(inode, caller) as ByteString[] | Errno)
    .map(textOfBytes)
    .sort();
}

function bytesOf32(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}

describe.skipIf(nativeSkipReason !== undefined)(nativeTitle('a directory with native system calls'), () => {
  test('keeps attributes of files, directories and names that are not UTF-8, where others see them', () => {
    const world = boot();
    const file = world.create(world.fs.root, 'file');
    const sub = world.mkdir(world.fs.root, 'sub');
    for (const inode of [file, sub, world.fs.root]) {
      expect(set(world, inode, 'user.one', 'a\0b\xff')).toBe('no error');
      expect(get(world, inode, 'user.one')).toBe('a\0b\xff');
      expect(set(world, inode, 'user.empty', '')).toBe('no error');
      expect(get(world, inode, 'user.empty')).toBe('');
    }
    const odd = ok(world.fs.mknod(sub, 'caf\xe9' as ByteString, mode.S_IFREG | 0o644, 0, world.caller));
    expect(set(world, odd, 'user.täglich', 'x')).toBe('no error');
    expect(listed(world, odd, superuser)).toEqual(['user.täglich']);
    // Another file system on the same directory.
    const other = boot({ path: world.dir });
    expect(get(other, other.walk('file'), 'user.one')).toBe('a\0b\xff');
  });

  test('creates and replaces as asked, removes, and says what is not there', () => {
    const world = boot();
    const file = world.create(world.fs.root, 'file');
    expect(set(world, file, 'user.a', '1', XATTR_REPLACE)).toBe('ENODATA');
    expect(set(world, file, 'user.a', '1', XATTR_CREATE)).toBe('no error');
    expect(set(world, file, 'user.a', '2', XATTR_CREATE)).toBe('EEXIST');
    expect(set(world, file, 'user.a', '3', XATTR_REPLACE)).toBe('no error');
    expect(get(world, file, 'user.a')).toBe('3');
    check(world.fs.removexattr!(file, name('user.a'), superuser));
    expect(get(world, file, 'user.a')).toBe('ENODATA');
    expect(errnoOfResult(world.fs.removexattr!(file, name('user.a'), superuser))).toBe('ENODATA');
  });

  test('keeps to the limits of the system', () => {
    const world = boot();
    const file = world.create(world.fs.root, 'file');
    expect(set(world, file, 'user.big', new Uint8Array(65537))).toBe('E2BIG');
    expect(set(world, file, `user.${'n'.repeat(251)}`, 'x')).toBe('ERANGE');
    expect(set(world, file, `user.${'n'.repeat(250)}`, 'x')).toBe('no error');
    expect(set(world, file, 'user.', 'x')).toBe('EINVAL');
    expect(set(world, file, 'nobody.a', 'x')).toBe('ENOTSUP');
    symlinkSync('file', world.out('link'));
    expect(set(world, world.walk('link'), 'user.a', 'x')).toBe('EPERM');
  });

  test('shows and takes no access control lists', () => {
    const world = boot();
    const file = world.create(world.fs.root, 'file');
    expect(get(world, file, 'system.posix_acl_access')).toBe('ENOTSUP');
    expect(set(world, file, 'system.posix_acl_access', '\x02\0\0\0')).toBe('ENOTSUP');
    expect(errnoOfResult(world.fs.removexattr!(file, name('system.posix_acl_access'), superuser))).toBe('ENOTSUP');
    // Somebody else sets one: owner rw, uid 1 r, group r, mask r, others r.
    const entry = (tag: number, bits: number, id = 0xffff_ffff) => [tag, 0, bits, 0, ...bytesOf32(id)];
    const list = [2, 0, 0, 0, ...entry(1, 6), ...entry(2, 4, 1), ...entry(4, 4), ...entry(16, 4), ...entry(32, 4)];
    const done = findNative(silentLog)!.setxattr(
      world.out('file'),
      name('system.posix_acl_access'),
      Buffer.from(list),
      0,
    );
    expect(['OK', 'ENOTSUP']).toContain(errnoName(done));
    expect(listed(world, file, superuser)).toEqual([]);
  });

  test.runIf(isRoot)('lists trusted names to the superuser alone, and sets those of a link on the link', () => {
    const world = boot();
    const file = world.create(world.fs.root, 'file');
    symlinkSync('file', world.out('link'));
    const link = world.walk('link');
    expect([set(world, file, 'trusted.t', 'x'), set(world, file, 'user.u', 'x')]).toEqual(['no error', 'no error']);
    expect(listed(world, file, superuser)).toEqual(['trusted.t', 'user.u']);
    expect(listed(world, file, user)).toEqual(['user.u']);
    expect(set(world, link, 'trusted.l', 'x')).toBe('no error');
    expect(listed(world, link, superuser)).toEqual(['trusted.l']);
    expect(get(world, file, 'trusted.l')).toBe('ENODATA');
  });

  test('reaches the attributes of a file that lost its name, and keeps its pages', () => {
    const world = boot();
    const file = world.open(world.create(world.fs.root, 'file'));
    world.write(file, 0, 'abc');
    world.read(file);
    const resident = file.cached!.residentPages;
    expect(set(world, file, 'user.a', 'x')).toBe('no error');
    world.attr(file);
    expect([file.cached!.residentPages, resident]).toEqual([1, 1]);
    check(world.fs.unlink(world.fs.root, name('file')));
    expect(get(world, file, 'user.a')).toBe('x');
    world.fs.release(file, 0);
  });

  test('still notices what somebody else changed just before an attribute was set', () => {
    const world = boot();
    world.put('file', 'old');
    const file = world.open(world.walk('file'));
    expect(world.read(file)).toBe('old');
    writeFileSync(world.out('file'), 'newer');
    expect(set(world, file, 'user.a', 'x')).toBe('no error');
    expect(world.read(file)).toBe('newer');
    world.fs.release(file, 0);
  });

  test('changes nothing when it is read-only', () => {
    const world = boot({ readOnly: true, setUp: (dir) => writeFileSync(`${dir}/file`, '') });
    const file = world.walk('file');
    expect(set(world, file, 'user.a', 'x')).toBe('EROFS');
    expect(errnoOfResult(world.fs.removexattr!(file, name('user.a'), superuser))).toBe('EROFS');
    expect(errnoOfResult(world.fs.tmpfile!(world.fs.root, mode.S_IFREG | 0o600, superuser))).toBe('EROFS');
    expect(get(world, file, 'user.a')).toBe('ENODATA');
  });

  test('makes fifos and sockets with exactly the mode asked for, and keeps out of them', () => {
    const world = boot();
    for (const type of [mode.S_IFIFO, mode.S_IFSOCK]) {
      const node = ok(world.fs.mknod(world.fs.root, name(`x${type}`), type | 0o662, 0, world.caller));
      expect(lstatSync(world.out(`x${type}`)).mode).toBe(type | 0o662);
      expect(node.type).toBe(type);
      expect(errnoOfResult(world.fs.open(node, mode.O_RDWR))).toBe('EBADF');
      const again = world.fs.mknod(world.fs.root, name(`x${type}`), type | 0o600, 0, world.caller);
      expect(errnoOfResult(again)).toBe('EEXIST');
    }
  });

  test.runIf(isRoot)('makes devices with large numbers, for the caller', () => {
    const world = boot();
    // Major 0x123, minor 0x45678, as the kernel packs them.
    const rdev = (0x123 << 8) | 0x78 | (0x456 << 20);
    const owner = Object.assign(new Caller(), { uid: 7, gid: 8 });
    const node = ok(world.fs.mknod(world.fs.root, name('c'), mode.S_IFCHR | 0o600, rdev, owner));
    expect(world.attr(node)).toMatchObject({ rdev, uid: 7, gid: 8, mode: mode.S_IFCHR | 0o600 });
    expect(lstatSync(world.out('c')).rdev).toBe(rdev);
  });

  test('exchanges files, also with a full directory, and knows both afterwards', () => {
    const world = boot();
    const { root } = world.fs;
    world.put('a', 'aaa');
    const sub = world.mkdir(root, 'sub');
    world.mkdir(sub, 'inner');
    const [a, inner] = [world.walk('a'), world.walk('sub/inner')];
    check(world.fs.rename(root, name('a'), root, name('sub'), mode.RENAME_EXCHANGE));
    expect([lstatSync(world.out('a')).isDirectory(), readFileSync(world.out('sub'), 'latin1')]).toEqual([true, 'aaa']);
    expect([world.walk('a'), world.walk('sub'), world.walk('a/inner')]).toEqual([sub, a, inner]);
    world.fs.checkInvariants();
    check(world.fs.rename(root, name('sub'), sub, name('inner'), mode.RENAME_EXCHANGE));
    expect(world.fs.parent(inner)).toBe(root);
    expect([world.walk('sub'), world.walk('a/inner')]).toEqual([inner, a]);
    const exchange = (from: string, to: string) =>
      errnoOfResult(world.fs.rename(root, name(from), root, name(to), mode.RENAME_EXCHANGE));
    expect([exchange('a', 'none'), exchange('none', 'a')]).toEqual(['ENOENT', 'ENOENT']);
    expect(errnoOfResult(world.fs.rename(root, name('a'), sub, name('inner'), mode.RENAME_EXCHANGE))).toBe('EINVAL');
  });

  test('exchanges what nobody holds any more, and two names of one file', () => {
    const world = boot({ idleMax: 8 });
    const { root } = world.fs;
    for (const file of ['a', 'b']) {
      world.put(file, file);
      const inode = world.open(world.walk(file));
      world.read(inode);
      world.fs.release(inode, 0);
      world.fs.forget(inode);
    }
    check(world.fs.rename(root, name('a'), root, name('b'), mode.RENAME_EXCHANGE));
    world.fs.checkInvariants();
    expect([world.read(world.walk('a')), world.read(world.walk('b'))]).toEqual(['b', 'a']);
    linkSync(world.out('a'), world.out('c'));
    check(world.fs.rename(root, name('a'), root, name('c'), mode.RENAME_EXCHANGE));
    world.fs.checkInvariants();
    expect(world.walk('a')).toBe(world.walk('c'));
  });

  test('finds what is in an exchanged directory that nobody holds itself', () => {
    const world = boot({ descriptorLimit: 1 });
    const { root } = world.fs;
    world.put('a');
    const sub = world.mkdir(root, 'sub');
    world.put('sub/file');
    const file = world.walk('sub/file');
    world.fs.forget(sub);
    for (let i = 0; i < 100; i++) world.walk('a');
    check(world.fs.rename(root, name('a'), root, name('sub'), mode.RENAME_EXCHANGE));
    for (let i = 0; i < 100; i++) world.walk('sub');
    expect(world.attr(file).nlink).toBe(1);
    world.fs.checkInvariants();
  });

  test('links the object, whatever has taken its name, and a symbolic link as such', () => {
    const world = boot();
    world.put('file', 'old');
    linkSync(world.out('file'), world.out('second'));
    const file = world.walk('file');
    world.attr(file);
    renameSync(world.out('file'), world.out('moved'));
    world.put('file', 'new');
    check(world.fs.link(file, world.fs.root, name('copy')));
    expect(readFileSync(world.out('copy'), 'latin1')).toBe('old');
    symlinkSync('file', world.out('link'));
    check(world.fs.link(world.walk('link'), world.fs.root, name('link2')));
    expect([lstatSync(world.out('link2')).isSymbolicLink(), lstatSync(world.out('link')).nlink]).toEqual([true, 2]);
    expect(errnoOfResult(world.fs.link(file, world.fs.root, name('copy')))).toBe('EEXIST');
  });

  test('a file without a name is written, gets a name, or is gone without a trace', () => {
    const world = boot();
    const file = world.open(ok(world.fs.tmpfile!(world.fs.root, mode.S_IFREG | 0o2666, world.caller)));
    expect(world.attr(file)).toMatchObject({ nlink: 0, mode: mode.S_IFREG | 0o2666 });
    expect(world.write(file, 0, 'abc')).toBe(3);
    expect(readdirSync(world.dir)).toEqual([]);
    check(world.fs.link(file, world.fs.root, name('file')));
    expect(readFileSync(world.out('file'), 'latin1')).toBe('abc');
    expect(world.walk('file')).toBe(file);
    const other = world.open(ok(world.fs.tmpfile!(world.fs.root, mode.S_IFREG | 0o600, world.caller)));
    const before = openBelow(world.dir);
    world.fs.release(other, 0);
    world.fs.forget(other);
    expect(openBelow(world.dir)).toBe(before - 1);
    world.fs.release(file, 0);
  });

  test('fallocate reserves, and punches holes that hold no blocks', () => {
    const world = boot();
    const file = world.open(world.create(world.fs.root, 'file'));
    const allocate = (flags: number, pos: number, size: number) =>
      errnoOfResult(world.fs.fallocate(file, flags, pos, size, world.caller) || undefined);
    expect(allocate(KEEP, 0, MIB)).toBe('no error');
    expect(world.attr(file).size).toBe(0);
    expect(statSync(world.out('file')).blocks * 512).toBeGreaterThanOrEqual(MIB);
    world.write(file, 0, new Uint8Array(MIB).fill(97));
    world.store(file, 4096, 'dirty');
    world.store(file, MIB - 5, 'dirty');
    const full = statSync(world.out('file')).blocks;
    expect(allocate(KEEP | mode.FALLOC_FL_PUNCH_HOLE, 100, MIB - 8192)).toBe('no error');
    expect(statSync(world.out('file')).blocks).toBeLessThan(full / 2);
    const expected = Buffer.alloc(MIB, 97).fill(0, 100, 100 + MIB - 8192);
    expected.write('dirty', MIB - 5);
    check(world.fs.fsync(file, false));
    expect(readFileSync(world.out('file')).equals(expected)).toBe(true);
    expect(world.read(file, 0, 200) + world.read(file, MIB - 5, 9)).toBe(`${'a'.repeat(100)}${'\0'.repeat(100)}dirty`);
    expect(allocate(0, 0, 2 * MIB)).toBe('no error');
    expect(world.attr(file).size).toBe(2 * MIB);
    expect(world.read(file, MIB, 4)).toBe('\0\0\0\0');
    world.fs.release(file, 0);
  });

  test('holes are found as they are, and what was stored through a window is data', () => {
    const world = boot();
    const file = world.open(world.create(world.fs.root, 'file'));
    check(world.setattr(file, { valid: FATTR_FLAGS.FATTR_SIZE, size: 4 * MIB }));
    world.write(file, MIB, 'abc');
    const seek = (pos: number, whence: number) => world.fs.seek(file, pos, whence);
    expect([seek(0, mode.SEEK_HOLE), seek(0, mode.SEEK_DATA), seek(MIB, mode.SEEK_HOLE)]).toEqual([0, MIB, MIB + 4096]);
    expect(errnoOfResult(seek(2 * MIB, mode.SEEK_DATA))).toBe('ENXIO');
    world.store(file, 3 * MIB, 'x');
    expect([seek(2 * MIB, mode.SEEK_DATA), seek(2 * MIB, mode.SEEK_HOLE)]).toEqual([3 * MIB, 2 * MIB]);
    expect(errnoOfResult(seek(4 * MIB, mode.SEEK_HOLE))).toBe('ENXIO');
    world.fs.release(file, 0);
  });

  test('times are set to the nanosecond, alone or both, also before 1970, also of a link', () => {
    const world = boot();
    const { FATTR_ATIME, FATTR_MTIME, FATTR_MTIME_NOW } = FATTR_FLAGS;
    world.put('file');
    symlinkSync('file', world.out('link'));
    for (const path of ['file', 'link']) {
      const inode = world.walk(path);
      const times = { atime: 1_700_000_000, atimensec: 123_456_789, mtime: -5, mtimensec: 1 };
      check(world.setattr(inode, { valid: FATTR_ATIME | FATTR_MTIME, ...times }));
      expect(world.attr(inode)).toMatchObject(times);
      check(world.setattr(inode, { valid: FATTR_ATIME, atime: 3, atimensec: 999_999_999 }));
      expect(world.attr(inode)).toMatchObject({ atime: 3, atimensec: 999_999_999, mtime: -5, mtimensec: 1 });
      check(world.setattr(inode, { valid: FATTR_MTIME | FATTR_MTIME_NOW }));
      expect(world.attr(inode)).toMatchObject({ atime: 3, atimensec: 999_999_999 });
      expect(Math.abs(world.attr(inode).mtime - Date.now() / 1000)).toBeLessThan(60);
    }
  });

  test('acts inside although somebody puts a link to outside in the place of a directory', () => {
    const world = boot();
    const outside = boot();
    const sub = world.mkdir(world.fs.root, 'sub');
    const file = world.create(world.fs.root, 'file');
    renameSync(world.out('sub'), world.out('away'));
    symlinkSync(outside.dir, world.out('sub'));
    ok(world.fs.mknod(sub, name('fifo'), mode.S_IFIFO | 0o600, 0, world.caller));
    check(world.fs.link(file, sub, name('linked')));
    ok(world.fs.tmpfile!(sub, mode.S_IFREG | 0o600, world.caller));
    expect(set(world, sub, 'user.a', 'x')).toBe('no error');
    expect(readdirSync(outside.dir)).toEqual([]);
    expect(listed(outside, outside.fs.root, superuser)).toEqual([]);
    expect(readdirSync(world.out('away')).sort()).toEqual(['fifo', 'linked']);
    unlinkSync(world.out('sub'));
  });
});

test('without native calls a directory has no attributes and no files without a name', () => {
  const { fs } = bootDir();
  expect([fs.getxattr, fs.setxattr, fs.listxattr, fs.removexattr, fs.tmpfile]).toEqual(Array(5).fill(undefined));
});
