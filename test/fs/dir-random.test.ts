/** A few thousand random operations, on a served directory and with node:fs on a second one: same errors, same tree. */
import {
  type BigIntStats,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { DirInode } from '../../src/fs/dir/inode.ts';
import { findNative } from '../../src/fs/dir/native.ts';
import { silentLog } from '../../src/host/log.ts';
import { ENOENT, ENOTDIR, errnoName } from '../../src/wire/errno.ts';
import { FATTR_FLAGS } from '../../src/wire/flags.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFIFO,
  S_IFREG,
} from '../../src/wire/mode.ts';
import { ANCHORS, bootDir, type DirWorld, name } from '../fakes/dir-world.ts';

const STEPS = 4000;
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const NAMES = ['a', 'b', 'c', 'd'];

describe.each(ANCHORS)('a directory anchored by %s', (anchor) => {
  for (const descriptorLimit of [4, 1000]) {
    test(`${STEPS} random operations with ${descriptorLimit} descriptors are those of node:fs: SEED=${SEED}`, () => {
      const world = bootDir({ anchor, descriptorLimit, frames: 64 });
      const model = mkdtempSync(join(dirname(world.dir), 'virtiofs-model-'));
      onTestFinished(() => rmSync(model, { recursive: true, force: true }));
      const run = new Run(world, model, new Prng(SEED));
      for (let step = 0; step < STEPS; step++) run.step(step);
      expect(treeOf(world.dir)).toEqual(treeOf(model));
    });
  }
});

class Run {
  readonly #world: DirWorld;
  readonly #model: string;
  readonly #prng: Prng;

  constructor(world: DirWorld, model: string, prng: Prng) {
    this.#world = world;
    this.#model = model;
    this.#prng = prng;
  }

  step(step: number): void {
    const path = this.#path();
    const other = this.#path();
    const [what, act, mirror] = this.#prng.pick(this.#world.hasNative ? WITH_NATIVE : OPERATIONS);
    const random = this.#prng.u32();
    const got = this.#act(() => act(this.#world, path, other, random));
    const wanted = expected(() => mirror(this.#model, path, other, random));
    expect(got, `step ${step}: ${what} ${path} ${other} ${random}`).toBe(wanted);
    if (step % 16 === 0) this.#forgetSome();
    if (step % 100 === 0) this.#world.fs.checkInvariants();
  }

  #act(act: () => number | string): string {
    const result = act();
    if (typeof result === 'string') return result;
    return result < 0 ? errnoName(-result) : errnoName(result);
  }

  #path(): string {
    const depth = 1 + this.#prng.below(3);
    return Array.from({ length: depth }, () => this.#prng.pick(NAMES)).join('/');
  }

  /** A client's cache: some inodes are forgotten now and then, as the server would have it once per inode. */
  #forgetSome(): void {
    const inode = resolve(this.#world, this.#path());
    if (typeof inode !== 'number' && inode !== this.#world.fs.root) this.#world.fs.forget(inode);
  }
}

type Act = (world: DirWorld, path: string, other: string, random: number) => number | string;
type Mirror = (model: string, path: string, other: string, random: number) => unknown;

const OPERATIONS: readonly (readonly [string, Act, Mirror])[] = [
  [
    'create',
    (world, path) => inParent(world, path, (p, n) => world.fs.mknod(p, name(n), S_IFREG | 0o640, 0, world.caller)),
    (model, path) => closeSync(openSync(inModel(model, path), 'wx', 0o640)),
  ],
  [
    'mkdir',
    (world, path) => inParent(world, path, (p, n) => world.fs.mkdir(p, name(n), 0o750, world.caller)),
    (model, path) => void mkdirSync(inModel(model, path), 0o750),
  ],
  [
    'symlink',
    (world, path, other) => inParent(world, path, (p, n) => world.fs.symlink(p, name(n), name(other), world.caller)),
    (model, path, other) => symlinkSync(other, inModel(model, path)),
  ],
  [
    'unlink',
    (world, path) => inParent(world, path, (p, n) => world.fs.unlink(p, name(n))),
    (model, path) => unlinkSync(inModel(model, path)),
  ],
  [
    'rmdir',
    (world, path) => inParent(world, path, (p, n) => world.fs.rmdir(p, name(n))),
    (model, path) => rmdirSync(inModel(model, path)),
  ],
  [
    'rename',
    (world, path, other) =>
      inParent(world, path, (p, n) => inParent(world, other, (q, m) => world.fs.rename(p, name(n), q, name(m), 0))),
    (model, path, other) => renameSync(inModel(model, path), inModel(model, other)),
  ],
  [
    'link',
    (world, path, other) =>
      withInode(world, path, (inode) => inParent(world, other, (q, m) => world.fs.link(inode, q, name(m)))),
    (model, path, other) => {
      lstatSync(inModel(model, path));
      linkSync(inModel(model, path), inModel(model, other));
    },
  ],
  [
    'write',
    (world, path, _other, random) =>
      withFile(world, path, (inode) =>
        Math.min(0, world.write(inode, random % 20_000, String(random).repeat(random % 900))),
      ),
    (model, path, _other, random) =>
      withModelFile(model, path, (fd) => void writeSync(fd, String(random).repeat(random % 900), random % 20_000)),
  ],
  [
    'store',
    (world, path, _other, random) =>
      withFile(world, path, (inode) => {
        const { size } = world.attr(inode);
        if (size >= 4) world.store(inode, storePos(size, random), 'DAX!');
        return 0;
      }),
    (model, path, _other, random) =>
      withModelFile(model, path, (fd) => {
        const { size } = lstatSync(join(model, path));
        if (size >= 4) writeSync(fd, 'DAX!', storePos(size, random));
      }),
  ],
  [
    'truncate',
    (world, path, _other, random) =>
      withFile(world, path, (inode) => world.setattr(inode, { valid: FATTR_FLAGS.FATTR_SIZE, size: random % 30_000 })),
    (model, path, _other, random) => withModelFile(model, path, (fd) => ftruncateSync(fd, random % 30_000)),
  ],
  [
    'read',
    (world, path) => withFile(world, path, (inode) => world.read(inode)),
    (model, path) => withModelFile(model, path, () => readFileSync(join(model, path), 'latin1')),
  ],
  [
    'stat',
    (world, path) =>
      withInode(world, path, (inode) => {
        const { mode, nlink, size } = world.attr(inode);
        return `${mode} ${nlink} ${inode.type === S_IFDIR ? 0 : size}`;
      }),
    (model, path) => {
      const { mode, nlink, size } = lstatSync(inModel(model, path));
      return `${mode} ${nlink} ${(mode & 0o170000) === S_IFDIR ? 0 : size}`;
    },
  ],
  [
    'list',
    (world, path) => withInode(world, path, (inode) => (inode.type === S_IFDIR ? world.names(inode).join() : ENOTDIR)),
    (model, path) => {
      if (!lstatSync(inModel(model, path)).isDirectory()) return 'ENOTDIR';
      return readdirSync(join(model, path)).sort().join();
    },
  ],
];

/** The other side makes the same calls on the model, where nothing of ours is in between. */
const native = findNative(silentLog);
const PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

const WITH_NATIVE: typeof OPERATIONS = [
  ...OPERATIONS,
  ...[RENAME_NOREPLACE, RENAME_EXCHANGE].map((flags): (typeof OPERATIONS)[number] => [
    `rename with ${flags}`,
    (world, path, other) =>
      inParent(world, path, (p, n) => inParent(world, other, (q, m) => world.fs.rename(p, name(n), q, name(m), flags))),
    (model, path, other) => must(native?.rename(inModel(model, path), inModel(model, other), flags)),
  ]),
  [
    'mkfifo',
    (world, path) => inParent(world, path, (p, n) => world.fs.mknod(p, name(n), S_IFIFO | 0o604, 0, world.caller)),
    (model, path) => must(native?.mknod(inModel(model, path), S_IFIFO | 0o604, 0)),
  ],
  [
    'punch',
    (world, path, _other, random) =>
      withFile(world, path, (inode) =>
        world.fs.fallocate(inode, PUNCH, random % 20_000, 1 + (random % 9000), world.caller),
      ),
    (model, path, _other, random) =>
      withModelFile(model, path, (fd) => must(native?.fallocate(fd, PUNCH, random % 20_000, 1 + (random % 9000)))),
  ],
  [
    'allocate',
    (world, path, _other, random) =>
      withFile(world, path, (inode) =>
        world.fs.fallocate(inode, 0, random % 20_000, 1 + (random % 9000), world.caller),
      ),
    (model, path, _other, random) =>
      withModelFile(model, path, (fd) => must(native?.fallocate(fd, 0, random % 20_000, 1 + (random % 9000)))),
  ],
];

/** As node:fs fails. */
function must(errno: number | undefined): void {
  if (errno !== 0) throw Object.assign(new Error(), { code: errnoName(errno ?? 0) });
}

function storePos(size: number, random: number): number {
  const pos = random % (size - 3);
  // One store stays in one page, as a guest's does.
  return pos % 4096 > 4092 ? pos - 4 : pos;
}

/** Walks as a client does: components that are links are not followed. */
function resolve(world: DirWorld, path: string): DirInode | number {
  let at: DirInode = world.fs.root;
  for (const part of path.split('/')) {
    if (at.type !== S_IFDIR) return ENOTDIR;
    const next = world.fs.lookup(at, name(part));
    if (typeof next === 'number') return next;
    at = next;
  }
  return at;
}

function withInode(world: DirWorld, path: string, act: (inode: DirInode) => number | string): number | string {
  const inode = resolve(world, path);
  return typeof inode === 'number' ? inode : act(inode);
}

function withFile(world: DirWorld, path: string, act: (inode: DirInode) => number | string): number | string {
  return withInode(world, path, (inode) => {
    if (inode.type !== S_IFREG) return ENOENT;
    const opened = world.fs.open(inode, 2);
    if (opened !== 0) return opened;
    const result = act(inode);
    world.fs.release(inode, 2);
    return result;
  });
}

function inParent(
  world: DirWorld,
  path: string,
  act: (parent: DirInode, name: string) => DirInode | number | string,
): number | string {
  const at = path.lastIndexOf('/');
  const parent = at < 0 ? world.fs.root : resolve(world, path.slice(0, at));
  if (typeof parent === 'number') return parent;
  if (parent.type !== S_IFDIR) return ENOTDIR;
  const result = act(parent, path.slice(at + 1));
  return typeof result === 'object' ? 0 : result;
}

/** The path in the model; throws what a client that follows no links finds on the way. */
function inModel(model: string, path: string): string {
  let at = model;
  for (const part of path.split('/').slice(0, -1)) {
    at = join(at, part);
    if (!lstatSync(at).isDirectory()) throw Object.assign(new Error(at), { code: 'ENOTDIR' });
  }
  return join(model, path);
}

function withModelFile(model: string, path: string, act: (fd: number) => unknown): unknown {
  if (!lstatSync(inModel(model, path)).isFile()) throw Object.assign(new Error(path), { code: 'ENOENT' });
  const fd = openSync(join(model, path), 'r+');
  try {
    return act(fd);
  } finally {
    closeSync(fd);
  }
}

function expected(mirror: () => unknown): string {
  try {
    const result = mirror();
    return typeof result === 'string' ? result : 'OK';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** Every path with its type, mode, links and content. */
function treeOf(dir: string, at = ''): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const entry of readdirSync(join(dir, at)).sort()) {
    const path = join(at, entry);
    const stats = lstatSync(join(dir, path), { bigint: true });
    tree[path] = `${stats.mode.toString(8)} ${stats.nlink} ${contentOf(join(dir, path), stats)}`;
    if (stats.isDirectory()) Object.assign(tree, treeOf(dir, path));
  }
  return tree;
}

function contentOf(path: string, stats: BigIntStats): string {
  if (stats.isSymbolicLink()) return readlinkSync(path);
  return stats.isFile() ? readFileSync(path, 'latin1') : '';
}
