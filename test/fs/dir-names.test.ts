/** Names in a served directory, compared with what node:fs sees from outside. */
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ByteString, bytesOfText } from '../../src/base/bytes.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from '../../src/wire/mode.ts';
import { ANCHORS, bootDir, check, errnoOfResult, name, ok } from '../fakes/dir-world.ts';

const isRoot = process.geteuid?.() === 0;

describe.each(ANCHORS)('names in a directory anchored by %s', (anchor) => {
  test('a lookup finds files, directories and links and says what they are', () => {
    const world = bootDir({ anchor });
    world.put('file', 'abc');
    mkdirSync(world.out('sub'));
    symlinkSync('file', world.out('link'));
    expect(world.walk('file').type).toBe(S_IFREG);
    expect(world.walk('sub').type).toBe(S_IFDIR);
    expect(world.walk('link').type).toBe(S_IFLNK);
    expect(errnoOfResult(world.fs.lookup(world.fs.root, name('none')))).toBe('ENOENT');
  });

  test('attributes are those that lstat sees, to the nanosecond', () => {
    const world = bootDir({ anchor });
    world.put('file', 'x'.repeat(5000));
    const stats = lstatSync(world.out('file'), { bigint: true });
    const attr = world.attr(world.walk('file'));
    expect(attr).toMatchObject({ ino: Number(stats.ino), size: 5000, mode: Number(stats.mode), nlink: 1 });
    expect(attr).toMatchObject({ uid: Number(stats.uid), gid: Number(stats.gid), blocks: Number(stats.blocks) });
    expect(BigInt(attr.mtime) * 1_000_000_000n + BigInt(attr.mtimensec)).toBe(stats.mtimeNs);
    expect(BigInt(attr.ctime) * 1_000_000_000n + BigInt(attr.ctimensec)).toBe(stats.ctimeNs);
  });

  test('looking up a name twice gives the same inode', () => {
    const world = bootDir({ anchor });
    world.put('file');
    expect(world.walk('file')).toBe(world.walk('file'));
  });

  test('hard links are one inode', () => {
    const world = bootDir({ anchor });
    world.put('one');
    linkSync(world.out('one'), world.out('two'));
    expect(world.walk('two')).toBe(world.walk('one'));
    expect(world.attr(world.walk('one')).nlink).toBe(2);
  });

  test('mknod creates a file with exactly the mode asked for, whatever our own umask', () => {
    const world = bootDir({ anchor });
    const file = world.create(world.fs.root, 'file', 0o666);
    expect(world.attr(file).mode).toBe(S_IFREG | 0o666);
    expect(lstatSync(world.out('file')).mode).toBe(S_IFREG | 0o666);
    world.create(world.fs.root, 'none', 0);
    expect(lstatSync(world.out('none')).mode).toBe(S_IFREG);
  });

  test('mknod of a name that is taken, also by a link to nowhere, is EEXIST', () => {
    const world = bootDir({ anchor });
    symlinkSync('/nowhere/at/all', world.out('link'));
    const result = world.fs.mknod(world.fs.root, name('link'), S_IFREG | 0o644, 0, world.caller);
    expect(errnoOfResult(result)).toBe('EEXIST');
  });

  test.skipIf(anchor.includes('native'))('fifos and devices cannot be created without native calls: EPERM', () => {
    const world = bootDir({ anchor });
    for (const type of [S_IFIFO, S_IFCHR]) {
      expect(errnoOfResult(world.fs.mknod(world.fs.root, name('x'), type | 0o644, 0, world.caller))).toBe('EPERM');
    }
    world.put('x');
    expect(errnoOfResult(world.fs.mknod(world.fs.root, name('x'), S_IFIFO, 0, world.caller))).toBe('EEXIST');
  });

  test('mkdir and symlink create what they say', () => {
    const world = bootDir({ anchor });
    const sub = world.mkdir(world.fs.root, 'sub', 0o1777);
    expect(lstatSync(world.out('sub')).mode).toBe(S_IFDIR | 0o1777);
    const link = ok(world.fs.symlink(sub, name('link'), bytesOfText('../täglich'), world.caller));
    expect(readlinkSync(world.out('sub/link'))).toBe('../täglich');
    expect(world.fs.readlink(link)).toBe(bytesOfText('../täglich'));
    expect(errnoOfResult(world.fs.mkdir(world.fs.root, name('sub'), 0o755, world.caller))).toBe('EEXIST');
    expect(errnoOfResult(world.fs.readlink(sub))).toBe('EINVAL');
  });

  test.runIf(isRoot)('new objects belong to the caller, and to the group of a set-group-id directory', () => {
    const world = bootDir({ anchor });
    Object.assign(world.caller, { uid: 1234, gid: 567 });
    const shared = world.mkdir(world.fs.root, 'shared', 0o2775);
    expect(lstatSync(world.out('shared'))).toMatchObject({ uid: 1234, gid: 567, mode: S_IFDIR | 0o2775 });
    Object.assign(world.caller, { uid: 1, gid: 2 });
    world.create(shared, 'file', 0o4755);
    world.mkdir(shared, 'sub', 0o755);
    ok(world.fs.symlink(shared, name('link'), name('file'), world.caller));
    expect(lstatSync(world.out('shared/file'))).toMatchObject({ uid: 1, gid: 567, mode: S_IFREG | 0o4755 });
    expect(lstatSync(world.out('shared/sub'))).toMatchObject({ uid: 1, gid: 567, mode: S_IFDIR | 0o2755 });
    expect(lstatSync(world.out('shared/link'))).toMatchObject({ uid: 1, gid: 567 });
  });

  test('link adds a name; unlink takes one away', () => {
    const world = bootDir({ anchor });
    world.put('one', 'abc');
    const file = world.walk('one');
    check(world.fs.link(file, world.fs.root, name('two')));
    expect(readFileSync(world.out('two'), 'latin1')).toBe('abc');
    expect(world.attr(file).nlink).toBe(2);
    expect(errnoOfResult(world.fs.link(file, world.fs.root, name('two')))).toBe('EEXIST');
    check(world.fs.unlink(world.fs.root, name('one')));
    expect(world.names(world.fs.root)).toEqual(['two']);
    expect(world.walk('two')).toBe(file);
  });

  test('directories have no hard links, and unlink and rmdir mind the type', () => {
    const world = bootDir({ anchor });
    const sub = world.mkdir(world.fs.root, 'sub');
    world.create(sub, 'file');
    expect(errnoOfResult(world.fs.link(sub, world.fs.root, name('other')))).toBe('EPERM');
    expect(errnoOfResult(world.fs.unlink(world.fs.root, name('sub')))).toBe('EISDIR');
    expect(errnoOfResult(world.fs.rmdir(world.fs.root, name('sub')))).toBe('ENOTEMPTY');
    expect(errnoOfResult(world.fs.rmdir(sub, name('file')))).toBe('ENOTDIR');
    check(world.fs.unlink(sub, name('file')));
    check(world.fs.rmdir(world.fs.root, name('sub')));
    expect(existsSync(world.out('sub'))).toBe(false);
  });

  test('a file that is unlinked while somebody holds it keeps its bytes and attributes', () => {
    const world = bootDir({ anchor });
    world.put('file', 'abc');
    const file = world.walk('file');
    check(world.fs.unlink(world.fs.root, name('file')));
    expect(world.attr(file)).toMatchObject({ nlink: 0, size: 3 });
    world.open(file);
    expect(world.write(file, 3, 'def')).toBe(3);
    expect(world.read(file)).toBe('abcdef');
    world.fs.release(file, 0);
    expect(world.read(file)).toBe('abcdef');
    expect(errnoOfResult(world.fs.link(file, world.fs.root, name('again')))).toBe('ENOENT');
  });

  test('a directory that is removed while somebody holds it is empty and takes no new names', () => {
    const world = bootDir({ anchor });
    const sub = world.mkdir(world.fs.root, 'sub');
    check(world.fs.rmdir(world.fs.root, name('sub')));
    const expected = anchor !== 'paths' ? 'ENOENT' : 'ESTALE';
    expect(errnoOfResult(world.fs.mknod(sub, name('x'), S_IFREG, 0, world.caller))).toBe(expected);
    expect(world.attr(sub).nlink).toBe(0);
    if (anchor !== 'paths') expect(world.names(sub)).toEqual([]);
  });

  test('rename moves, replaces, and keeps what was replaced for whoever holds it', () => {
    const world = bootDir({ anchor });
    world.put('a', 'aaa');
    world.put('b', 'bbb');
    const sub = world.mkdir(world.fs.root, 'sub');
    const [a, b] = [world.walk('a'), world.walk('b')];
    check(world.fs.rename(world.fs.root, name('a'), sub, name('a2'), 0));
    expect(world.walk('sub/a2')).toBe(a);
    check(world.fs.rename(sub, name('a2'), world.fs.root, name('b'), 0));
    expect(readFileSync(world.out('b'), 'latin1')).toBe('aaa');
    expect(world.walk('b')).toBe(a);
    expect(world.read(b)).toBe('bbb');
    expect(world.attr(b).nlink).toBe(0);
  });

  test('rename checks types, emptiness and loops', () => {
    const world = bootDir({ anchor });
    const { root } = world.fs;
    const sub = world.mkdir(root, 'sub');
    world.mkdir(root, 'empty');
    world.create(root, 'file');
    world.create(sub, 'inner');
    const rename = (from: string, to: string) => errnoOfResult(world.fs.rename(root, name(from), root, name(to), 0));
    expect(rename('none', 'x')).toBe('ENOENT');
    expect(rename('file', 'sub')).toBe('EISDIR');
    expect(rename('sub', 'file')).toBe('ENOTDIR');
    expect(rename('empty', 'sub')).toBe('ENOTEMPTY');
    expect(errnoOfResult(world.fs.rename(root, name('sub'), sub, name('self'), 0))).toBe('EINVAL');
    expect(rename('sub', 'empty')).toBe('OK');
    expect(world.names(world.walk('empty'))).toEqual(['inner']);
  });

  test('rename with NOREPLACE leaves what is there; EXCHANGE needs native calls', () => {
    const world = bootDir({ anchor });
    const { root } = world.fs;
    world.put('a', 'aaa');
    world.put('b', 'bbb');
    const rename = (from: string, to: string, flags: number) =>
      errnoOfResult(world.fs.rename(root, name(from), root, name(to), flags));
    expect(rename('a', 'b', RENAME_NOREPLACE)).toBe('EEXIST');
    expect(rename('none', 'b', RENAME_NOREPLACE)).toBe('ENOENT');
    expect(rename('a', 'c', RENAME_NOREPLACE)).toBe('OK');
    expect(world.names(root)).toEqual(['b', 'c']);
    expect(rename('b', 'c', RENAME_EXCHANGE)).toBe(world.hasNative ? 'OK' : 'EINVAL');
    expect(readFileSync(world.out('b'), 'latin1')).toBe(world.hasNative ? 'aaa' : 'bbb');
  });

  test('renaming one hard link to another does nothing', () => {
    const world = bootDir({ anchor });
    world.put('one');
    linkSync(world.out('one'), world.out('two'));
    const file = world.walk('two');
    check(world.fs.rename(world.fs.root, name('one'), world.fs.root, name('two'), 0));
    expect(world.names(world.fs.root)).toEqual(['one', 'two']);
    check(world.fs.link(file, world.fs.root, name('three')));
  });

  test('children are found after their parent was renamed', () => {
    const world = bootDir({ anchor });
    const sub = world.mkdir(world.fs.root, 'sub');
    const file = world.create(sub, 'file');
    check(world.fs.rename(world.fs.root, name('sub'), world.fs.root, name('moved'), 0));
    expect(world.walk('moved/file')).toBe(file);
    world.open(file);
    expect(world.write(file, 0, 'abc')).toBe(3);
    expect(readFileSync(world.out('moved/file'), 'latin1')).toBe('abc');
  });

  test('names that are not UTF-8 work end to end', () => {
    const world = bootDir({ anchor });
    const odd = 'caf\xe9\xff' as ByteString;
    const path = Buffer.concat([Buffer.from(`${world.dir}/`), Buffer.from(odd, 'latin1')]);
    writeFileSync(path, 'abc');
    const file = ok(world.fs.lookup(world.fs.root, odd));
    expect(world.read(file)).toBe('abc');
    const link = ok(world.fs.symlink(world.fs.root, name('link'), odd, world.caller));
    expect(world.fs.readlink(link)).toBe(odd);
    const stream = ok(world.fs.opendir(world.fs.root));
    const seen: string[] = [];
    stream.read(0, { knowsIno: false, add: (entry) => seen.push(entry) > 0 });
    stream.close();
    expect(seen).toContain(odd);
    check(world.fs.rename(world.fs.root, odd, world.fs.root, '\xfe' as ByteString, 0));
    expect(readdirSync(world.dir, 'buffer').map((entry) => entry.toString('latin1'))).toContain('\xfe');
  });

  test('a listing has each of 5,000 entries once, with its type, however it is cut', () => {
    const world = bootDir({ anchor });
    for (let i = 0; i < 5000; i++) writeFileSync(world.out(`file-${i}`), '');
    mkdirSync(world.out('sub'));
    const all = world.list(world.fs.root, 100);
    expect(all.slice(0, 2).map((entry) => entry.name)).toEqual(['.', '..']);
    expect(new Set(all.map((entry) => entry.name)).size).toBe(5003);
    expect(all.length).toBe(5003);
    expect(all.filter((entry) => entry.type === S_IFDIR).map((entry) => entry.name)).toEqual(['.', '..', 'sub']);
    expect(all.every((entry) => entry.ino !== 0)).toBe(true);
  });

  test('a listing tells the inode numbers that stat tells, also of names that nobody has looked up', () => {
    const world = bootDir({ anchor });
    mkdirSync(world.out('sub'));
    for (const file of ['a', 'b']) world.put(file);
    linkSync(world.out('a'), world.out('c'));
    symlinkSync('a', world.out('d'));
    for (const { name: entry, ino } of world.list(world.fs.root).slice(2)) {
      expect([entry, ino]).toEqual([entry, lstatSync(world.out(entry)).ino]);
    }
  });

  test('an open listing does not change; reading from the start takes a new one', () => {
    const world = bootDir({ anchor });
    for (const file of ['a', 'b', 'c']) world.put(file);
    const stream = ok(world.fs.opendir(world.fs.root));
    const read = (offset: number, room: number): string[] => {
      const seen: string[] = [];
      stream.read(offset, { knowsIno: false, add: (entry) => room-- > 0 && seen.push(entry) > 0 });
      return seen;
    };
    const first = read(0, 3);
    world.put('d');
    expect([...first, ...read(3, 10)].sort()).toEqual(['.', '..', 'a', 'b', 'c']);
    expect(read(0, 10)).toContain('d');
    stream.close();
  });

  test('".." of a directory is the one it was last seen in, and not asked of the system', () => {
    const world = bootDir({ anchor });
    const sub = world.mkdir(world.mkdir(world.fs.root, 'a'), 'b');
    expect(world.fs.parent(sub)).toBe(world.walk('a'));
    expect(world.fs.parent(world.fs.root)).toBe(world.fs.root);
    expect(world.list(sub)[1]!.ino).toBe(world.walk('a').ino);
  });
});
