/** What the outside does to the tree under us: no escape, no confusion of objects, no descriptor too many. */
import {
  chmodSync,
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { Anchor } from '../../src/fs/dir/anchor.ts';
import { ACCESS_READ, FileData } from '../../src/fs/dir/data.ts';
import { DirFileSystem } from '../../src/fs/dir/dir.ts';
import type { DirInode } from '../../src/fs/dir/inode.ts';
import { statOfNode } from '../../src/fs/dir/stat.ts';
import { Attr } from '../../src/host/inode.ts';
import { silentLog } from '../../src/host/log.ts';
import { FATTR_FLAGS } from '../../src/wire/flags.ts';
import { O_RDONLY, O_RDWR, S_IFREG } from '../../src/wire/mode.ts';
import { ANCHORS, bootDir, check, errnoOfResult, name, ok, openBelow } from '../fakes/dir-world.ts';
import { createTestPages } from '../fakes/pages.ts';

/** A directory outside of what is served, with a file that nobody may reach. */
function makeSecret(): string {
  const dir = mkdtempSync(join(tmpdir(), 'virtiofs-secret-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'file'), 'secret');
  return dir;
}

describe.each(ANCHORS)('a directory anchored by %s', (anchor) => {
  test('a symbolic link to the outside is a link and nothing more', () => {
    const world = bootDir({ anchor });
    const secret = makeSecret();
    symlinkSync(secret, world.out('link'));
    symlinkSync(join(secret, 'file'), world.out('flink'));
    const link = world.walk('link');
    expect(world.fs.readlink(link)).toBe(secret);
    expect(errnoOfResult(world.fs.opendir(link))).toBe('ENOTDIR');
    expect(errnoOfResult(world.fs.open(world.walk('flink'), O_RDONLY))).toBe('EBADF');
    expect(errnoOfResult(world.fs.mknod(world.fs.root, name('flink'), S_IFREG, 0, world.caller))).toBe('EEXIST');
    check(world.fs.unlink(world.fs.root, name('flink')));
    expect(readFileSync(join(secret, 'file'), 'latin1')).toBe('secret');
  });

  test('a directory that was swapped for a link to the outside cannot lead there', () => {
    const world = bootDir({ anchor });
    const secret = makeSecret();
    mkdirSync(world.out('sub'));
    writeFileSync(world.out('sub/file'), 'inside');
    const sub = world.walk('sub');
    const file = world.walk('sub/file');
    renameSync(world.out('sub'), world.out('away'));
    symlinkSync(secret, world.out('sub'));
    if (anchor !== 'paths') {
      expect(world.read(ok(world.fs.lookup(sub, name('file'))))).toBe('inside');
      world.create(sub, 'new');
      expect(readdirSync(world.out('away')).sort()).toEqual(['file', 'new']);
    } else {
      expect(errnoOfResult(world.fs.lookup(sub, name('file')))).toBe('ESTALE');
      expect(errnoOfResult(world.fs.mknod(sub, name('new'), S_IFREG, 0, world.caller))).toBe('ESTALE');
      expect(errnoOfResult(world.fs.open(file, O_RDWR))).toBe('ESTALE');
      expect(errnoOfResult(world.fs.unlink(sub, name('file')))).toBe('ESTALE');
    }
    expect(readdirSync(secret)).toEqual(['file']);
  });

  test('a file that was swapped for a link to the outside cannot lead there', () => {
    const world = bootDir({ anchor });
    const secret = makeSecret();
    world.put('file', 'inside');
    const file = world.walk('file');
    // Used once, so that it has a descriptor.
    world.attr(file);
    renameSync(world.out('file'), world.out('away'));
    symlinkSync(join(secret, 'file'), world.out('file'));
    const change = { valid: FATTR_FLAGS.FATTR_SIZE, size: 0 };
    if (anchor !== 'paths') {
      expect(world.read(file)).toBe('inside');
      check(world.setattr(file, change));
      expect(readFileSync(world.out('away'), 'latin1')).toBe('');
    } else {
      expect(errnoOfResult(world.setattr(file, change))).toBe('ESTALE');
      expect(errnoOfResult(world.setattr(file, { valid: FATTR_FLAGS.FATTR_MODE, mode: 0 }))).toBe('ESTALE');
    }
    expect(readFileSync(join(secret, 'file'), 'latin1')).toBe('secret');
  });

  test("link does not link what has taken the source's name", () => {
    const world = bootDir({ anchor });
    world.put('file', 'old');
    const file = world.walk('file');
    world.attr(file);
    unlinkSync(world.out('file'));
    world.put('file', 'new');
    const expected = world.hasNative ? 'ENOENT' : 'ESTALE';
    expect(errnoOfResult(world.fs.link(file, world.fs.root, name('copy')))).toBe(expected);
    expect(world.names(world.fs.root)).toEqual(['file']);
  });

  test('a name that means another object now gives another inode', () => {
    const world = bootDir({ anchor });
    world.put('file', 'old');
    const before = world.walk('file');
    world.read(before);
    world.put('new', 'something new');
    renameSync(world.out('new'), world.out('file'));
    const after = world.walk('file');
    expect(after).not.toBe(before);
    expect(world.read(after)).toBe('something new');
    check(world.fs.unlink(world.fs.root, name('file')));
    expect(world.read(before)).toBe('old');
  });

  test('unlink of a name that became another object removes that one', () => {
    const world = bootDir({ anchor });
    world.put('file', 'old');
    world.walk('file');
    unlinkSync(world.out('file'));
    world.put('file', 'new');
    check(world.fs.unlink(world.fs.root, name('file')));
    expect(readdirSync(world.dir)).toEqual([]);
    expect(errnoOfResult(world.fs.unlink(world.fs.root, name('file')))).toBe('ENOENT');
  });

  test('inodes are dropped when forgotten, parents when their last child is', () => {
    const world = bootDir({ anchor });
    mkdirSync(world.out('a/b'), { recursive: true });
    writeFileSync(world.out('a/b/file'), 'abc');
    const [a, b, file] = [world.walk('a'), world.walk('a/b'), world.walk('a/b/file')];
    world.fs.forget(a);
    world.fs.forget(b);
    expect(world.fs.inodeCount).toBe(4);
    expect(world.walk('a')).toBe(a);
    expect(world.read(file)).toBe('abc');
    world.fs.forget(a);
    world.fs.forget(file);
    expect(world.fs.inodeCount).toBe(1);
  });

  test('directories that somebody moved into each other do not make a loop', () => {
    const world = bootDir({ anchor });
    mkdirSync(world.out('b/a'), { recursive: true });
    const b = world.walk('b');
    const a = world.walk('b/a');
    renameSync(world.out('b/a'), world.out('a'));
    renameSync(world.out('b'), world.out('a/b'));
    expect(world.walk('a/b')).toBe(b);
    expect(world.fs.parent(b)).toBe(a);
  });

  test('a path that is no directory is refused with one clear line', () => {
    const world = bootDir({ anchor });
    world.put('file');
    const { pageCache } = createTestPages({ frames: 8 });
    const kind = anchor === 'paths' ? 'paths' : 'descriptors';
    const open = (path: string) => new DirFileSystem({ path, pageCache, clock: new ManualClock(), anchor: kind });
    expect(() => open(world.out('none'))).toThrow(`cannot serve '${world.out('none')}': no such file or directory`);
    expect(() => open(world.out('file'))).toThrow(`cannot serve '${world.out('file')}': not a directory`);
  });
});

describe.runIf(process.platform === 'linux')('descriptors', () => {
  test('300 files work with 16 descriptors', () => {
    const world = bootDir({ descriptorLimit: 16 });
    const files = Array.from({ length: 300 }, (_, i) => {
      const parent =
        i % 50 === 0 ? world.mkdir(world.fs.root, `dir-${i / 50}`) : world.walk(`dir-${Math.floor(i / 50)}`);
      return world.create(parent, `file-${i}`);
    });
    expect(world.fs.inodeCount).toBe(307);
    files.forEach((file, i) => {
      expect(world.write(file, 0, `content ${i}`)).toBe(`content ${i}`.length);
    });
    files.forEach((file, i) => {
      world.open(file, O_RDONLY);
      expect(world.read(file)).toBe(`content ${i}`);
      world.fs.release(file, O_RDONLY);
      expect(world.attr(file).size).toBe(`content ${i}`.length);
      expect(world.fs.descriptorCount).toBeLessThanOrEqual(16 + 4 + 4);
    });
  });

  test('an evicted descriptor is opened again, also below a directory that we renamed', () => {
    const world = bootDir({ descriptorLimit: 4 });
    const sub = world.mkdir(world.fs.root, 'sub');
    const file = world.create(sub, 'file');
    for (let i = 0; i < 20; i++) world.create(world.fs.root, `other-${i}`);
    check(world.fs.rename(world.fs.root, name('sub'), world.fs.root, name('moved'), 0));
    for (let i = 0; i < 20; i++) world.attr(world.walk(`other-${i}`));
    expect(file.node).toBeUndefined();
    world.write(file, 0, 'abc');
    expect(readFileSync(world.out('moved/file'), 'latin1')).toBe('abc');
  });

  test('what replaced an evicted object is not taken for it: ESTALE', () => {
    const world = bootDir({ descriptorLimit: 4 });
    world.put('file', 'old');
    const file = world.walk('file');
    for (let i = 0; i < 20; i++) world.create(world.fs.root, `other-${i}`);
    for (let i = 0; i < 20; i++) world.attr(world.walk(`other-${i}`));
    expect(file.node).toBeUndefined();
    unlinkSync(world.out('file'));
    expect(errnoOfResult(world.fs.getattr(file, new Attr()))).toBe('ESTALE');
    world.put('file', 'new');
    expect(errnoOfResult(world.fs.getattr(file, new Attr()))).toBe('ESTALE');
    expect(errnoOfResult(world.fs.open(file, O_RDONLY))).toBe('ESTALE');
    expect(world.read(world.walk('file'))).toBe('new');
  });

  test('a file that was only looked up has no descriptor, and is ESTALE once somebody has moved it', () => {
    const world = bootDir();
    const secret = makeSecret();
    world.put('file', 'abc');
    const file = world.walk('file');
    expect(world.fs.descriptorCount).toBe(1);
    renameSync(world.out('file'), world.out('away'));
    symlinkSync(join(secret, 'file'), world.out('file'));
    expect(errnoOfResult(world.fs.open(file, O_RDWR))).toBe('ESTALE');
    expect(errnoOfResult(world.fs.getattr(file, new Attr()))).toBe('ESTALE');
    expect(errnoOfResult(world.setattr(file, { valid: FATTR_FLAGS.FATTR_SIZE, size: 0 }))).toBe('ESTALE');
    expect(world.read(world.walk('away'))).toBe('abc');
    expect(readFileSync(join(secret, 'file'), 'latin1')).toBe('secret');
  });

  test('a file that was open for reading stays open, until it changes', () => {
    const world = bootDir();
    world.put('file', 'abc');
    const file = world.walk('file');
    const use = () => {
      world.fs.release(world.open(file, O_RDONLY), O_RDONLY);
      return file.data;
    };
    const kept = use();
    expect(kept).toBeDefined();
    expect(world.fs.keepsCache(file)).toBe(false);
    expect(use()).toBe(kept);
    expect(world.fs.keepsCache(file)).toBe(true);
    chmodSync(world.out('file'), 0o600);
    expect(use()).not.toBe(kept);
    expect(world.fs.keepsCache(file)).toBe(false);
    world.fs.release(world.open(file, O_RDWR), O_RDWR);
    expect(file.data).toBeUndefined();
  });

  test('files that nobody uses give way before a new one is too many', () => {
    const world = bootDir();
    for (let i = 0; i < 5; i++) world.put(`file-${i}`);
    const files = Array.from({ length: 5 }, (_, i) => world.walk(`file-${i}`));
    const anchor = {
      keepsFilesOpen: true,
      open: (inode: DirInode) => openSync(world.out(inode.name), 'r'),
      close: (fd: number) => closeSync(fd),
      statOf: (fd: number) => statOfNode(fstatSync(fd, { bigint: true })),
    };
    const data = new FileData(world.pages.pageCache, silentLog, 100, 3);
    data.connect(anchor as unknown as Anchor);
    const open = (index: number) => {
      data.open(files[index] as DirInode, ACCESS_READ);
      (files[index] as DirInode).opens++;
    };
    for (let i = 0; i < 3; i++) open(i);
    expect(() => open(3)).toThrow('ENFILE');
    (files[1] as DirInode).opens--;
    data.rest(files[1] as DirInode);
    expect(data.count).toBe(3);
    open(3);
    expect(data.count).toBe(3);
    expect(files.map((file) => file.data !== undefined)).toEqual([true, false, true, true, false]);
    expect(() => open(4)).toThrow('ENFILE');
    data.destroy();
  });

  test('what a window changed after the last close is written back although somebody has moved the file', () => {
    const world = bootDir();
    world.create(world.fs.root, 'made');
    const file = world.open(world.walk('made'));
    world.write(file, 0, 'aaa');
    expect(world.read(file)).toBe('aaa');
    world.fs.release(file, O_RDWR);
    expect(file.data).toBeUndefined();
    world.store(file, 0, 'bbb');
    renameSync(world.out('made'), world.out('away'));
    check(world.fs.sync());
    expect(readFileSync(world.out('away'), 'latin1')).toBe('bbb');
  });

  test('a file that somebody else unlinked keeps its descriptor', () => {
    const world = bootDir({ descriptorLimit: 4 });
    world.put('file', 'abc');
    const file = world.walk('file');
    world.attr(file);
    unlinkSync(world.out('file'));
    for (let i = 0; i < 20; i++) world.create(world.fs.root, `other-${i}`);
    for (let i = 0; i < 20; i++) world.attr(world.walk(`other-${i}`));
    expect(world.attr(file).nlink).toBe(0);
    expect(world.read(file)).toBe('abc');
  });

  test('files in use keep one, through which a removed one is found again, and nothing is searched in vain', () => {
    const world = bootDir({ descriptorLimit: 8 });
    const files = Array.from({ length: 40 }, (_, i) => world.open(world.create(world.fs.root, `file-${i}`)));
    expect(files.every((file) => file.data !== undefined)).toBe(true);
    expect(files.filter((file) => file.node !== undefined).length).toBeLessThanOrEqual(8);
    rmSync(world.out('file-0'));
    const removed = files[0] as (typeof files)[0];
    expect(world.attr(removed).nlink).toBe(0);
    check(world.setattr(removed, { valid: FATTR_FLAGS.FATTR_MODE, mode: 0o600 }));
    for (const file of files) world.fs.release(file, O_RDWR);
    for (let i = 0; i < 4; i++) world.attr(world.fs.root);
    expect(world.fs.descriptorCount).toBeLessThanOrEqual(8);
  });

  test('destroy closes everything and writes everything back', () => {
    const world = bootDir();
    world.put('file', 'a'.repeat(100));
    const file = world.open(world.walk('file'));
    world.mkdir(world.fs.root, 'sub');
    world.store(file, 0, 'bbb');
    world.fs.destroy();
    expect(openBelow(world.dir)).toBe(0);
    expect(readFileSync(world.out('file'), 'latin1').slice(0, 4)).toBe('bbba');
  });

  test('a deep tree is reached from the root when every descriptor was evicted', () => {
    const world = bootDir({ descriptorLimit: 2 });
    let at = world.fs.root;
    for (let depth = 0; depth < 200; depth++) at = world.mkdir(at, 'd');
    const file = world.create(at, 'file');
    for (let i = 0; i < 10; i++) world.attr(world.fs.root);
    expect(world.fs.descriptorCount).toBeLessThan(10);
    world.write(file, 0, 'deep');
    expect(world.read(file)).toBe('deep');
  });
});
