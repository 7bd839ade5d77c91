/** Bytes, sizes and times of files in a served directory; what others change meanwhile. */
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE } from '../../assembly/layout.ts';
import { bytesOfText } from '../../src/base/bytes.ts';
import { Caller, StatFs } from '../../src/host/inode.ts';
import { EOPNOTSUPP, errnoName } from '../../src/wire/errno.ts';
import { FATTR_FLAGS } from '../../src/wire/flags.ts';
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  SEEK_DATA,
  SEEK_HOLE,
} from '../../src/wire/mode.ts';
import { ANCHORS, bootDir, check, errnoOfResult, openBelow } from '../fakes/dir-world.ts';

const { FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_KILL_SUIDGID } = FATTR_FLAGS;
const NOT_SUPPORTED = errnoName(EOPNOTSUPP);
const isRoot = process.geteuid?.() === 0;

describe.each(ANCHORS)('files in a directory anchored by %s', (anchor) => {
  test('what is written is in the file at once, from however many pieces', () => {
    const world = bootDir({ anchor });
    const file = world.open(world.create(world.fs.root, 'file'));
    expect(world.write(file, 0, 'hello')).toBe(5);
    expect(readFileSync(world.out('file'), 'latin1')).toBe('hello');
    const long = Buffer.alloc(20_000, 'abcdefghij');
    expect(world.write(file, 5, long, 700)).toBe(20_000);
    expect(readFileSync(world.out('file')).subarray(5).equals(long)).toBe(true);
    expect(world.read(file)).toBe(`hello${long.toString('latin1')}`);
  });

  test('a read is short only at the end of the file', () => {
    const world = bootDir({ anchor });
    world.put('file', 'x'.repeat(PAGE_SIZE + 10));
    const file = world.walk('file');
    expect(world.read(file, PAGE_SIZE, 100).length).toBe(10);
    expect(world.read(file, PAGE_SIZE + 10, 100)).toBe('');
    expect(world.read(file, 1 << 30, 100)).toBe('');
  });

  test('a write through the file system shows in pages that are resident', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(3 * PAGE_SIZE));
    const file = world.walk('file');
    world.read(file);
    world.write(file, PAGE_SIZE - 2, 'bbbb');
    expect(world.read(file, PAGE_SIZE - 3, 6)).toBe('abbbba');
    world.write(file, 3 * PAGE_SIZE + 5, 'end');
    expect(world.read(file, 3 * PAGE_SIZE - 1, 20)).toBe('a\0\0\0\0\0end');
  });

  test('stores through a window reach the file with fsync, with release and with sync', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(8192));
    const file = world.open(world.walk('file'));
    const onDisk = (pos: number) => readFileSync(world.out('file'), 'latin1').slice(pos, pos + 3);
    world.store(file, 10, 'one');
    expect(onDisk(10)).toBe('aaa');
    check(world.fs.fsync(file, false));
    expect(onDisk(10)).toBe('one');
    world.store(file, 20, 'two');
    check(world.fs.sync());
    expect(onDisk(20)).toBe('two');
    world.store(file, 5000, 'six');
    world.fs.release(file, 0);
    expect(onDisk(5000)).toBe('six');
    expect(lstatSync(world.out('file')).size).toBe(8192);
  });

  test('a write-back that fails is reported by the next fsync, once', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(8192));
    const file = world.walk('file');
    world.store(file, 10, 'one');
    unlinkSync(world.out('file'));
    if (anchor !== 'paths') {
      check(world.fs.fsync(file, false));
      return;
    }
    // Nothing is open yet and the path leads nowhere.
    world.fs.sync();
    expect(world.lines.join()).toContain('ESTALE');
    expect(errnoOfResult(world.fs.fsync(file, false))).toBe('ESTALE');
  });

  test('truncation cuts the file and the pages, and what grows again is zeros', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(6000));
    const file = world.walk('file');
    world.read(file);
    check(world.setattr(file, { valid: FATTR_SIZE, size: 3 }));
    expect(readFileSync(world.out('file'), 'latin1')).toBe('aaa');
    check(world.setattr(file, { valid: FATTR_SIZE, size: 5000 }));
    expect(world.read(file)).toBe(`aaa${'\0'.repeat(4997)}`);
    expect(world.attr(file).size).toBe(5000);
    expect(errnoOfResult(world.setattr(world.fs.root, { valid: FATTR_SIZE, size: 0 }))).toBe('EISDIR');
  });

  test("the client's O_TRUNC is not passed on to the system", () => {
    const world = bootDir({ anchor });
    world.put('file', 'abc');
    world.open(world.walk('file'), O_WRONLY | O_TRUNC);
    expect(readFileSync(world.out('file'), 'latin1')).toBe('abc');
  });

  test('mode and times are set on the object, and the time that was not asked for stays', () => {
    const world = bootDir({ anchor });
    world.put('file');
    const file = world.walk('file');
    utimesSync(world.out('file'), 1111.5, 2222.25);
    check(world.setattr(file, { valid: FATTR_MODE, mode: 0o4711 }));
    expect(lstatSync(world.out('file')).mode & 0o7777).toBe(0o4711);
    check(world.setattr(file, { valid: FATTR_ATIME, atime: 1_700_000_000, atimensec: 123_457_999 }));
    expect(world.attr(file)).toMatchObject({ mtime: 2222, mtimensec: 250_000_000, atime: 1_700_000_000 });
    // Node 20 keeps microseconds, later ones a little more.
    expect(Math.floor(world.attr(file).atimensec / 1000)).toBe(123_457);
    check(world.setattr(file, { valid: FATTR_MTIME, mtime: -5, mtimensec: 500_000_000 }));
    expect(world.attr(file)).toMatchObject({ mtime: -5, mtimensec: 500_000_000 });
  });

  test('times of a symbolic link are its own', () => {
    const world = bootDir({ anchor });
    world.put('file');
    symlinkSync('file', world.out('link'));
    const before = lstatSync(world.out('file')).mtimeMs;
    check(world.setattr(world.walk('link'), { valid: FATTR_MTIME, mtime: 99, mtimensec: 0 }));
    expect(lstatSync(world.out('link')).mtimeMs).toBe(99_000);
    expect(lstatSync(world.out('file')).mtimeMs).toBe(before);
    expect(errnoOfResult(world.setattr(world.walk('link'), { valid: FATTR_MODE, mode: 0o600 }))).toBe(NOT_SUPPORTED);
  });

  test.runIf(isRoot)('the owner is changed, of a link too, without following it', () => {
    const world = bootDir({ anchor });
    world.put('file');
    symlinkSync('file', world.out('link'));
    check(world.setattr(world.walk('link'), { valid: FATTR_UID | FATTR_GID, uid: 7, gid: 8 }));
    check(world.setattr(world.walk('file'), { valid: FATTR_GID, gid: 9 }));
    expect(lstatSync(world.out('link'))).toMatchObject({ uid: 7, gid: 8 });
    expect(lstatSync(world.out('file'))).toMatchObject({ uid: 0, gid: 9 });
  });

  test('a time that is set is not overwritten by a later write-back', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(100));
    const file = world.open(world.walk('file'));
    world.store(file, 0, 'bbb');
    check(world.setattr(file, { valid: FATTR_MTIME, mtime: 1000, mtimensec: 0 }));
    world.fs.release(file, 0);
    expect(lstatSync(world.out('file')).mtimeMs).toBe(1_000_000);
    expect(readFileSync(world.out('file'), 'latin1').slice(0, 4)).toBe('bbba');
  });

  test('set-id bits go when the client says so', () => {
    const world = bootDir({ anchor });
    const modeOf = () => lstatSync(world.out('file')).mode & 0o7777;
    const file = world.create(world.fs.root, 'file', 0o6755);
    world.write(file, 0, 'abc');
    expect(modeOf()).toBe(isRoot ? 0o6755 : 0o755);
    world.write(file, 0, 'abc', 1 << 20, true);
    expect(modeOf()).toBe(0o755);
    check(world.setattr(file, { valid: FATTR_MODE, mode: 0o6745 }));
    check(world.setattr(file, { valid: FATTR_SIZE | FATTR_KILL_SUIDGID, size: 1 }));
    // Without group execute the bit means mandatory locking, and stays.
    expect(modeOf() & 0o4000).toBe(0);
  });

  test.runIf(isRoot)('a chown of nothing takes set-id bits too, and moves ctime', () => {
    const world = bootDir({ anchor });
    const file = world.create(world.fs.root, 'file', 0o6755);
    const { ctimeMs } = lstatSync(world.out('file'));
    while (Date.now() - ctimeMs < 20);
    check(world.setattr(file, { valid: FATTR_KILL_SUIDGID }));
    const after = lstatSync(world.out('file'));
    expect([after.mode & 0o7777, after.ctimeMs > ctimeMs]).toEqual([0o755, true]);
  });

  test('a hole behind the end changes nothing but the times', () => {
    const world = bootDir({ anchor });
    world.put('file', 'abc');
    const file = world.walk('file');
    check(world.fs.open(file, O_WRONLY));
    utimesSync(world.out('file'), 1000, 1000);
    check(world.fs.fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 10, new Caller()));
    const { size, mtimeMs, atimeMs } = lstatSync(world.out('file'));
    expect([size, mtimeMs > 1_000_000, atimeMs]).toEqual([3, true, 1_000_000]);
    world.fs.release(file, O_WRONLY);
  });

  test("somebody else's change is seen, and pages stored into are kept", () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(3 * PAGE_SIZE));
    const file = world.walk('file');
    world.read(file);
    world.store(file, PAGE_SIZE, 'mine');
    writeFileSync(world.out('file'), 'b'.repeat(4 * PAGE_SIZE));
    expect(world.attr(file).size).toBe(4 * PAGE_SIZE);
    expect(world.read(file, 0, 4)).toBe('bbbb');
    expect(world.read(file, PAGE_SIZE, 6)).toBe('mineaa');
    expect(world.read(file, 4 * PAGE_SIZE - 2, 10)).toBe('bb');
    check(world.fs.fsync(file, true));
    expect(readFileSync(world.out('file'), 'latin1').slice(PAGE_SIZE, PAGE_SIZE + 4)).toBe('mine');
  });

  test('a file that somebody else cuts is short at once for whoever asks', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(3 * PAGE_SIZE));
    const file = world.walk('file');
    world.read(file);
    truncateSync(world.out('file'), 10);
    world.walk('file');
    expect(world.read(file)).toBe('a'.repeat(10));
    appendFileSync(world.out('file'), 'tail');
    world.open(file, O_RDONLY);
    expect(world.read(file)).toBe(`${'a'.repeat(10)}tail`);
  });

  test('our own changes do not drop the pages', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(PAGE_SIZE));
    const file = world.open(world.walk('file'));
    world.read(file);
    const { counts } = world.pages.pageCache;
    const filled = counts.filledPages;
    world.write(file, 10, 'b');
    world.store(file, 20, 'c');
    check(world.fs.fsync(file, false));
    check(world.setattr(file, { valid: FATTR_MODE | FATTR_MTIME, mode: 0o600, mtime: 5 }));
    check(world.fs.rename(world.fs.root, file.name, world.fs.root, 'other' as typeof file.name, 0));
    world.attr(file);
    expect(world.read(file, 9, 3)).toBe('aba');
    expect(counts.filledPages).toBe(filled);
  });

  test('a change by somebody else just before our own write is still noticed', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(2 * PAGE_SIZE));
    const file = world.open(world.walk('file'));
    world.read(file);
    writeFileSync(world.out('file'), 'b'.repeat(2 * PAGE_SIZE));
    world.write(file, 0, 'mine');
    expect(world.read(file, 2, 4)).toBe('nebb');
    expect(world.read(file, PAGE_SIZE, 2)).toBe('bb');
  });

  test('fallocate grows, zeroes and punches; what is not supported says so', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(10_000));
    const file = world.open(world.walk('file'));
    world.read(file);
    const allocate = (mode: number, pos: number, size: number) =>
      errnoOfResult(world.fs.fallocate(file, mode, pos, size, world.caller));
    expect(allocate(0, 0, 12_000)).toBe('OK');
    expect(world.attr(file).size).toBe(12_000);
    expect(allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 9000)).toBe('OK');
    expect(allocate(FALLOC_FL_ZERO_RANGE, 11_990, 20)).toBe('OK');
    const expected = `${'a'.repeat(100)}${'\0'.repeat(9000)}${'a'.repeat(900)}${'\0'.repeat(2010)}`;
    expect(world.read(file)).toBe(expected);
    expect(readFileSync(world.out('file'), 'latin1')).toBe(expected);
    expect(allocate(FALLOC_FL_KEEP_SIZE, 0, 1)).toBe(world.hasNative ? 'OK' : NOT_SUPPORTED);
    expect(allocate(FALLOC_FL_PUNCH_HOLE, 0, 1)).toBe(NOT_SUPPORTED);
    expect(allocate(FALLOC_FL_COLLAPSE_RANGE, 0, 4096)).toBe(NOT_SUPPORTED);
  });

  test('a file is one piece of data with a hole at its end', () => {
    const world = bootDir({ anchor });
    world.put('file', 'abc');
    const file = world.walk('file');
    expect(world.fs.seek(file, 1, SEEK_DATA)).toBe(1);
    expect(world.fs.seek(file, 1, SEEK_HOLE)).toBe(3);
    expect(errnoOfResult(world.fs.seek(file, 3, SEEK_DATA))).toBe('ENXIO');
  });

  test('statfs tells what the system tells', () => {
    const world = bootDir({ anchor });
    const out = new StatFs();
    check(world.fs.statfs(out));
    const { blocks, bsize, files } = statfsSync(world.dir);
    expect(out).toMatchObject({ blocks, bsize, files, namelen: 255 });
  });

  test('only regular files are opened, and fsync of a directory works', () => {
    const world = bootDir({ anchor });
    mkdirSync(world.out('sub'));
    symlinkSync('nowhere', world.out('link'));
    expect(errnoOfResult(world.fs.open(world.walk('sub'), O_RDONLY))).toBe('EISDIR');
    expect(errnoOfResult(world.fs.open(world.walk('link'), O_RDONLY))).toBe('EBADF');
    expect(errnoOfResult(world.fs.fsync(world.walk('sub'), false))).toBe('OK');
  });

  test('a file larger than the page cache is read and stored into completely', () => {
    const world = bootDir({ anchor, frames: 64 });
    const size = 200 * PAGE_SIZE;
    world.put('file', 'a'.repeat(size));
    const file = world.open(world.walk('file'));
    for (let page = 0; page < 200; page++) world.store(file, page * PAGE_SIZE + 5, `<${page}>`);
    check(world.fs.fsync(file, false));
    const text = readFileSync(world.out('file'), 'latin1');
    expect(text.length).toBe(size);
    for (let page = 0; page < 200; page++) expect(text.startsWith(`<${page}>`, page * PAGE_SIZE + 5)).toBe(true);
    expect(world.read(file, 150 * PAGE_SIZE, 12)).toBe('aaaaa<150>aa');
  });

  test('pages are written back before a forgotten file is closed', () => {
    const world = bootDir({ anchor });
    world.put('file', 'a'.repeat(100));
    const file = world.walk('file');
    world.store(file, 0, 'bbb');
    world.fs.forget(file);
    expect(readFileSync(world.out('file'), 'latin1').slice(0, 4)).toBe('bbba');
    expect(world.pages.pageCache.checkInvariants()).toBe(0);
    expect(world.fs.inodeCount).toBe(1);
    expect(openBelow(world.dir)).toBe(anchor !== 'paths' ? 1 : 0);
  });

  test('a forgotten file keeps its pages for whoever asks next, and no data descriptor', () => {
    const world = bootDir({ anchor, idleMax: 2 });
    world.put('file', 'abc');
    const file = world.walk('file');
    expect(world.read(file)).toBe('abc');
    const filled = world.pages.pageCache.counts.filledPages;
    world.fs.forget(file);
    expect(openBelow(world.dir)).toBe(anchor !== 'paths' ? 2 : 0);
    expect(world.walk('file')).toBe(file);
    expect(world.read(file)).toBe('abc');
    expect(world.pages.pageCache.counts.filledPages).toBe(filled);
    world.fs.forget(file);
  });

  test('a forgotten file that somebody else changed is read anew', () => {
    const world = bootDir({ anchor, idleMax: 2 });
    world.put('file', 'abc');
    const file = world.walk('file');
    expect(world.read(file)).toBe('abc');
    world.fs.forget(file);
    world.put('file', 'changed');
    expect(world.read(world.walk('file'))).toBe('changed');
    world.fs.forget(file);
  });

  test('forgotten files are dropped when there are too many, and when their name goes', () => {
    const world = bootDir({ anchor, idleMax: 2 });
    for (const name of ['a', 'b', 'c', 'd']) {
      world.put(name, name);
      const file = world.walk(name);
      world.read(file);
      world.fs.forget(file);
    }
    expect(world.fs.inodeCount).toBe(3);
    world.fs.unlink(world.fs.root, bytesOfText('d'));
    world.fs.unlink(world.fs.root, bytesOfText('c'));
    expect(world.fs.inodeCount).toBe(1);
    expect(world.pages.pageCache.checkInvariants()).toBe(0);
  });

  test('a read-only file system changes nothing', () => {
    const world = bootDir({ anchor, readOnly: true });
    writeFileSync(world.out('file'), 'abc');
    const file = world.walk('file');
    expect(errnoOfResult(world.fs.open(file, O_WRONLY))).toBe('EROFS');
    expect(errnoOfResult(world.write(file, 0, 'x'))).toBe('EROFS');
    expect(errnoOfResult(world.setattr(file, { valid: FATTR_SIZE, size: 0 }))).toBe('EROFS');
    expect(errnoOfResult(world.fs.unlink(world.fs.root, file.name))).toBe('EROFS');
    renameSync(world.out('file'), world.out('file2'));
    expect(world.read(world.walk('file2'))).toBe('abc');
  });
});
