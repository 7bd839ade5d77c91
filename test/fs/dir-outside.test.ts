/** The world around a served directory: full disks, mount points, forbidden files, somebody who changes it all. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, type TestContext, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { DirInode } from '../../src/fs/dir/inode.ts';
import { findNative } from '../../src/fs/dir/native.ts';
import { silentLog } from '../../src/host/log.ts';
import { FATTR_FLAGS } from '../../src/wire/flags.ts';
import {
  O_RDONLY,
  O_RDWR,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFIFO,
  S_IFREG,
  SEEK_HOLE,
} from '../../src/wire/mode.ts';
import { ANCHORS, bootDir, type DirWorld, errnoOfResult, name } from '../fakes/dir-world.ts';

const isRoot = process.geteuid?.() === 0;
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const NAMES = ['a', 'b', 'c', 'd'];

describe.each(ANCHORS)('around a directory anchored by %s', (anchor) => {
  test('a write to a full disk is short, then ENOSPC, and a failed write-back is reported', (context) => {
    const world = bootDir({ anchor });
    const small = mountSmall(context, world);
    const file = world.open(world.create(world.walk('small'), 'file'));
    const count = world.write(file, 0, 'x'.repeat(200_000), 30_000);
    expect(count).toBe(128 * 1024);
    expect(lstatSync(join(small, 'file')).size).toBe(count);
    expect(errnoOfResult(world.write(file, count, 'x'))).toBe('ENOSPC');
    expect(world.read(file, count - 2)).toBe('xx');

    truncateSync(join(small, 'file'), 0);
    truncateSync(join(small, 'file'), 200_000);
    writeFileSync(join(small, 'other'), 'y'.repeat(128 * 1024));
    world.attr(file);
    world.store(file, 100_000, 'stored');
    expect(errnoOfResult(world.fs.fsync(file, false))).toBe('ENOSPC');
    rmSync(join(small, 'other'));
    expect(errnoOfResult(world.fs.fsync(file, false))).toBe('OK');
    expect(readFileSync(join(small, 'file'), 'latin1').slice(100_000, 100_006)).toBe('stored');
    world.fs.release(file, O_RDWR);
  });

  test('a mount point inside is crossed, and its inodes have numbers of their own', (context) => {
    const world = bootDir({ anchor });
    const small = mountSmall(context, world);
    writeFileSync(join(small, 'file'), 'abc');
    const file = world.walk('small/file');
    expect(file.met.dev).not.toBe(world.fs.root.met.dev);
    expect(file.ino).toBeGreaterThanOrEqual(2 ** 52);
    expect(world.attr(file).ino).toBe(file.ino);
    expect(world.read(file)).toBe('abc');
    expect(errnoOfResult(world.fs.link(file, world.fs.root, name('link')))).toBe('EXDEV');
    expect(errnoOfResult(world.fs.rename(file.parent!, file.name, world.fs.root, name('x'), 0))).toBe('EXDEV');
    expect(errnoOfResult(world.fs.rmdir(world.fs.root, name('small')))).toBe('EBUSY');
  });

  // Root may open everything: shown as skipped there.
  test.skipIf(isRoot)('a file that we may not open is EACCES, one that we may only write can be written', () => {
    const world = bootDir({ anchor });
    world.put('none', 'abc');
    world.put('write', 'abc');
    chmodSync(world.out('none'), 0);
    chmodSync(world.out('write'), 0o200);
    expect(errnoOfResult(world.fs.open(world.walk('none'), O_RDONLY))).toBe('EACCES');
    expect(world.write(world.walk('write'), 0, 'xyz')).toBe(3);
    expect(() => world.read(world.walk('write'))).toThrow('EACCES');
  });

  for (const descriptorLimit of [3, 1000]) {
    test(`whatever others do, with ${descriptorLimit} descriptors, we stay inside and sane: SEED=${SEED}`, () => {
      const world = bootDir({ anchor, descriptorLimit, frames: 64 });
      const secret = mkdtempSync(join(tmpdir(), 'virtiofs-secret-'));
      onTestFinished(() => rmSync(secret, { recursive: true, force: true }));
      for (const file of NAMES) writeFileSync(join(secret, file), 'secret');
      const prng = new Prng(SEED);
      const known = new Set<DirInode>([world.fs.root]);
      for (let step = 0; step < 4000; step++) {
        if (prng.chance(0.4)) interfere(world, secret, prng);
        else act(world, known, prng);
        if (step % 100 === 0) world.fs.checkInvariants();
      }
      expect(readdirSync(secret)).toEqual(NAMES);
      for (const file of NAMES) expect(readFileSync(join(secret, file), 'latin1')).toBe('secret');
      for (const path of world.hasNative ? ['.', ...NAMES] : []) expect(xattrsOf(join(secret, path))).toBe(0);
      for (const inode of known) if (inode !== world.fs.root) world.fs.forget(inode);
      expect(world.fs.inodeCount).toBe(1);
    });
  }
});

/** Mounts 128 KiB of memory at `small`; skips the test where that is not allowed. */
function mountSmall(context: TestContext, world: DirWorld): string {
  const small = world.out('small');
  mkdirSync(small);
  const canMount = isRoot && process.platform === 'linux' && existsSync('/proc/mounts');
  const done = canMount && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', small]).status === 0;
  context.skip(!done, 'this test needs the right to mount');
  // Teardown runs last to first: the file system is destroyed before its mount goes.
  onTestFinished(() => {
    world.fs.destroy();
    spawnSync('umount', [small]);
  });
  return small;
}

function xattrsOf(path: string): number | undefined {
  return findNative(silentLog)?.listxattr(path, Buffer.alloc(1000));
}

/** Somebody else: anything, anywhere in the tree. */
function interfere(world: DirWorld, secret: string, prng: Prng): void {
  const path = world.out(randomPath(prng));
  const other = world.out(randomPath(prng));
  // Nor must this somebody follow links to the secret.
  if (!isInside(path) || !isInside(other)) return;
  const deeds = [
    () => writeFileSync(path, 'x'.repeat(prng.below(10_000)), { flag: 'wx' }),
    () => mkdirSync(path),
    () => symlinkSync(join(secret, prng.pick(NAMES)), path),
    () => symlinkSync(secret, path),
    () => renameSync(path, other),
    () => {
      // The attack: what was looked up as a directory is a way out when it is used.
      renameSync(path, other);
      symlinkSync(secret, path);
    },
    () => linkSync(path, other),
    () => rmSync(path, { recursive: true }),
    () => lstatSync(path).isFile() && truncateSync(path, prng.below(10_000)),
  ];
  try {
    prng.pick(deeds)();
  } catch {
    // Most deeds are impossible most of the time.
  }
}

/** Tells whether all directories of the path are there and are no links. */
function isInside(path: string): boolean {
  for (let at = join(path, '..'); at.includes('virtiofs-dir-'); at = join(at, '..')) {
    if (!existsSync(at) || lstatSync(at).isSymbolicLink()) return false;
  }
  return true;
}

function randomPath(prng: Prng): string {
  return Array.from({ length: 1 + prng.below(3) }, () => prng.pick(NAMES)).join('/');
}

/** One of our operations on inodes that we know: any errno will do, an exception will not. */
function act(world: DirWorld, known: Set<DirInode>, prng: Prng): void {
  const inode = prng.pick([...known]);
  const directory = prng.pick([...known].filter((each) => each.type === S_IFDIR));
  const [one, two] = [name(prng.pick(NAMES)), name(prng.pick(NAMES))];
  const learn = (result: DirInode | number) => {
    if (typeof result === 'object') known.add(result);
  };
  const acts = [
    () => learn(world.fs.lookup(directory, one)),
    () => learn(world.fs.lookup(directory, two)),
    () => learn(world.fs.mknod(directory, one, S_IFREG | 0o644, 0, world.caller)),
    () => learn(world.fs.mkdir(directory, one, 0o755, world.caller)),
    () => learn(world.fs.symlink(directory, one, two, world.caller)),
    () => world.fs.unlink(directory, one),
    () => world.fs.rmdir(directory, one),
    () => world.fs.rename(directory, one, prng.pick([...known].filter((each) => each.type === S_IFDIR)), two, 0),
    () => world.fs.link(inode, directory, one),
    () => world.setattr(inode, { valid: FATTR_FLAGS.FATTR_MODE | FATTR_FLAGS.FATTR_MTIME, mode: 0o700, mtime: 1 }),
    () => useFile(world, inode, prng),
    () => useFile(world, inode, prng),
    () => forget(world, known, inode),
  ];
  const withNative = [
    ...acts,
    () => world.fs.rename(directory, one, inode.type === S_IFDIR ? inode : directory, two, RENAME_EXCHANGE),
    () => world.fs.rename(directory, one, inode.type === S_IFDIR ? inode : directory, two, RENAME_NOREPLACE),
    () => learn(world.fs.mknod(directory, one, S_IFIFO | 0o644, 0, world.caller)),
    () => learn(world.fs.tmpfile?.(directory, S_IFREG | 0o644, world.caller) ?? 0),
    () => world.fs.setxattr?.(inode, name('user.a'), Uint8Array.of(1), 0, world.caller),
    () => inode.type === S_IFREG && world.fs.fallocate(inode, 0, 0, prng.below(10_000) + 1, world.caller),
    () => world.fs.seek(inode, 0, SEEK_HOLE),
  ];
  prng.pick(world.hasNative ? withNative : acts)();
}

function useFile(world: DirWorld, inode: DirInode, prng: Prng): void {
  if (inode.type !== S_IFREG || world.fs.open(inode, O_RDWR) !== 0) return;
  world.write(inode, prng.below(10_000), 'y'.repeat(prng.below(500)));
  world.fs.read(inode, prng.below(10_000), 5000, world.segments(5000, 4096));
  if (prng.chance(0.2)) world.setattr(inode, { valid: FATTR_FLAGS.FATTR_SIZE, size: prng.below(10_000) });
  world.fs.release(inode, O_RDWR);
}

function forget(world: DirWorld, known: Set<DirInode>, inode: DirInode): void {
  if (inode === world.fs.root) return;
  known.delete(inode);
  world.fs.forget(inode);
}
