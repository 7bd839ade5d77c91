/** What identifies objects, how failures are numbered, and whose descriptors are whose. */
import { lstatSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { DirError, errnoOf } from '../../src/fs/dir/errors.ts';
import { InodeTable } from '../../src/fs/dir/inode-table.ts';
import { findNative } from '../../src/fs/dir/native.ts';
import { splitTime, statOfNode } from '../../src/fs/dir/stat.ts';
import { silentLog } from '../../src/host/log.ts';
import { EACCES, EIO, ESTALE } from '../../src/wire/errno.ts';
import { bootDir, name } from '../fakes/dir-world.ts';
import { nativeSkipReason, nativeTitle } from '../fakes/native.ts';

describe.skipIf(nativeSkipReason !== undefined)(nativeTitle('native calls relative to a descriptor'), () => {
  const at = () => findNative(silentLog)!.at!;

  test('tell of an object what node:fs tells', () => {
    const world = bootDir();
    writeFileSync(world.out('file'), 'x'.repeat(70_000));
    mkdirSync(world.out('d'));
    const root = at().open(world.dir, 0, 0);
    for (const path of ['file', 'd', '.']) {
      const told = at().statAt(root, name(path))!;
      const { dev, ...expected } = statOfNode(lstatSync(join(world.dir, path), { bigint: true }));
      expect({ ...told }).toEqual({ ...expected, dev: told.dev });
      expect(told.dev).toBe(at().stat(root).dev);
    }
    const device = at().open('/dev/null', 0, 0);
    expect(at().stat(device).rdev).toBe(statOfNode(statSync('/dev/null', { bigint: true })).rdev);
    at().close(device);
    expect(at().statAt(root, name('none'))).toBeUndefined();
    expect(() => at().openAt(root, name('none'), 0, 0)).toThrow('ENOENT');
    expect(() => at().unlinkAt(root, name('d'))).toThrow('EISDIR');
    expect(() => at().statAt(root, name('x'.repeat(5000)))).toThrow('ENAMETOOLONG');
    at().close(root);
    expect(() => at().close(root)).toThrow('EBADF');
  });

  test('a listing has the inode numbers that stat has', () => {
    const world = bootDir({ anchor: 'descriptors and native calls' });
    for (let i = 0; i < 3000; i++) writeFileSync(world.out(`a file whose name has the number ${i}`), '');
    const stream = world.fs.opendir(world.fs.root);
    if (typeof stream === 'number') throw new Error('opendir');
    const inos = new Map<string, number>();
    const add = (entry: string, ino: number) => inos.set(entry, ino) !== undefined;
    stream.read(0, { add, knowsIno: false });
    stream.close();
    expect(inos.size).toBe(3002);
    inos.delete('..');
    for (const [entry, ino] of inos) expect(ino).toBe(statSync(join(world.dir, entry)).ino);
  });
});

describe('numbers and errors', () => {
  const NONE = statSync('/', { bigint: true });
  const stats = (dev: bigint, ino: bigint, extra = {}) =>
    statOfNode({ ...NONE, dev, ino, mode: 0o100644n, ctimeNs: 5n, birthtimeNs: 1n, ...extra });
  const makeTable = () => new InodeTable(stats(1n, 2n), { makeSpace: () => undefined, dropped: () => {} });

  test('objects of other devices get numbers that are safe, unique and the same next time', () => {
    const table = makeTable();
    const inodes = [stats(1n, 7n), stats(2n, 7n), stats(3n, 7n), stats(1n, 2n ** 63n)].map((s) => table.insert(s));
    expect(inodes[0]!.ino).toBe(7);
    expect(new Set(inodes.map((inode) => inode.ino)).size).toBe(4);
    for (const inode of inodes) expect(Number.isSafeInteger(inode.ino)).toBe(true);
    expect(makeTable().insert(stats(2n, 7n)).ino).toBe(inodes[1]!.ino);
    expect(table.find(stats(2n, 7n))).toBe(inodes[1]);
  });

  test.runIf(process.platform === 'linux')('a reused inode number is told by the time of birth', () => {
    const table = makeTable();
    const old = table.insert(stats(1n, 7n));
    expect(table.find(stats(1n, 7n, { birthtimeNs: 2n }))).toBeUndefined();
    expect(table.insert(stats(1n, 7n, { birthtimeNs: 2n }))).not.toBe(old);
  });

  test.runIf(process.platform === 'linux')('an idle file whose number was reused leaves its place', () => {
    const table = makeTable();
    const old = table.insert(stats(1n, 7n));
    table.place(old, table.root, name('a'));
    old.idle = true;
    expect(table.find(stats(1n, 7n, { birthtimeNs: 2n }))).toBeUndefined();
    expect([old.idle, old.parent, table.root.children?.size]).toEqual([false, undefined, 0]);
  });

  test('a directory that is said to be in itself has no known place', () => {
    const table = makeTable();
    const directory = table.insert(stats(1n, 7n, { mode: 0o40755n }));
    directory.shown = true;
    table.place(directory, table.root, name('a'));
    table.place(directory, directory, name('b'));
    expect([directory.parent, table.root.children?.size, directory.children?.size ?? 0]).toEqual([undefined, 0, 0]);
    directory.shown = false;
    table.collect(directory);
    expect(table.count).toBe(1);
  });

  test('times are split into seconds and nanoseconds exactly, before 1970 too', () => {
    const prng = new Prng(1);
    const out = { sec: 0, nsec: 0 };
    for (let i = 0; i < 10_000; i++) {
      const sec = BigInt(prng.below(2 ** 33)) - 2n ** 32n;
      const nsec = prng.chance(0.3) ? prng.pick([0, 1, 127, 999_999_872, 999_999_999]) : prng.below(1_000_000_000);
      splitTime(sec * 1_000_000_000n + BigInt(nsec), out);
      expect(out).toEqual({ sec: Number(sec), nsec });
    }
  });

  test('failures become Linux numbers, and our own bugs stay errors', () => {
    expect(errnoOf(new DirError(ESTALE, 'x'))).toBe(ESTALE);
    expect(errnoOf(Object.assign(new Error('x'), { code: 'EACCES', errno: -13 }))).toBe(EACCES);
    expect(errnoOf(Object.assign(new Error('x'), { code: 'EACCES', errno: -4092 }))).toBe(EACCES);
    expect(errnoOf(Object.assign(new Error('x'), { code: 'UNKNOWN', errno: -4094 }))).toBe(EIO);
    expect(() => errnoOf(new TypeError('x'))).toThrow('x');
  });
});
