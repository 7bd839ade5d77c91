/** Guests that believe their caches for ever do random things to one tree: after each, all must see all of it. */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { Guest } from '../../src/guest/guest.ts';
import type { File } from '../../src/guest/open-file.ts';
import { createInline, type InlineHost } from '../../src/worker/inline.ts';
import { expectListed, expectRead, expectSeen, type Node, type RenameMode, resize, store, Tree } from './coherence.ts';
import { codeOf } from './world.ts';

const STEPS = 300;
const [O_WRONLY, O_CREAT, O_TRUNC, O_APPEND, O_NOFOLLOW] = [1, 0o100, 0o1000, 0o2000, 0o400000];
const DIRECTORIES = ['', '/d', '/e', '/d/d', '/e/d'];
const PATHS = DIRECTORIES.flatMap((path) => ['a', 'b', 'd', 'e'].map((name) => `${path}/${name}`));

interface Player {
  readonly guest: Guest;
  readonly name: string;
  readonly files: { readonly file: File; readonly node: Node; readonly isAppend: boolean }[];
}

interface World {
  readonly rng: Prng;
  readonly host: InlineHost;
  readonly tree: Tree;
  readonly players: readonly Player[];
}

type Action = (world: World, player: Player, path: string) => void;

/** What a guest says must be what the model says. */
function agree(player: Player, what: string, isDone: boolean, run: () => unknown): void {
  const code = codeOf(run);
  expect(code === 'OK', `${player.name}: ${what}: ${code}`).toBe(isDone);
}

const ACTIONS: readonly Action[] = [
  ({ tree }, p, path) => agree(p, `mkdir ${path}`, tree.make(path, 'directory', 0o755), () => p.guest.mkdir(path)),
  ({ tree, rng }, p, path) => {
    const target = `nowhere${rng.below(1000)}`;
    agree(p, `symlink ${path}`, tree.make(path, 'symlink', 0o777, target), () => p.guest.symlink(target, path));
  },
  ({ tree }, p, path) => agree(p, `unlink ${path}`, tree.remove(path, false), () => p.guest.unlink(path)),
  ({ tree }, p, path) => agree(p, `rmdir ${path}`, tree.remove(path, true), () => p.guest.rmdir(path)),
  ({ tree, rng }, p, path) => {
    const newPath = rng.pick(PATHS);
    agree(p, `link ${path} ${newPath}`, tree.link(path, newPath), () => p.guest.link(path, newPath));
  },
  rename,
  rename,
  write,
  write,
  write,
  ({ tree, rng }, p, path) => {
    const size = rng.below(9000);
    agree(p, `truncate ${path} ${size}`, tree.truncate(path, size), () => p.guest.truncate(path, size));
  },
  ({ tree, rng }, p, path) => {
    const mode = 0o400 + rng.below(0o400);
    agree(p, `chmod ${path}`, tree.chmod(path, mode), () => p.guest.chmod(path, mode));
  },
  open,
  writeOpen,
  writeOpen,
  (_, p) => p.files.pop()?.file.close(),
  ({ rng }, p) => rng.chance(0.2) && p.guest.dropCaches(),
];

function rename({ tree, rng }: World, p: Player, path: string): void {
  const newPath = rng.pick(PATHS);
  const mode = rng.pick<RenameMode>(['plain', 'plain', 'noReplace', 'exchange']);
  const options = { noReplace: mode === 'noReplace', exchange: mode === 'exchange' };
  const isDone = tree.rename(path, newPath, mode);
  agree(p, `rename ${path} ${newPath} ${mode}`, isDone, () => p.guest.rename(path, newPath, options));
}

function write({ tree, rng }: World, p: Player, path: string): void {
  const data = randomBytes(rng);
  const pos = rng.pick<number | 'end' | 'truncate'>([rng.below(9000), 'end', 'truncate']);
  const flags = O_WRONLY | O_CREAT | O_NOFOLLOW | (pos === 'end' ? O_APPEND : pos === 'truncate' ? O_TRUNC : 0);
  agree(p, `write ${path} ${pos}+${data.length}`, tree.write(path, data, pos), () => {
    using file = p.guest.open(path, flags, 0o644);
    file.write(data, 0, data.length, typeof pos === 'number' ? pos : null);
  });
}

function open({ tree, rng }: World, p: Player, path: string): void {
  const node = tree.find(path);
  const isAppend = rng.chance(0.3);
  if (node?.type !== 'file' || p.files.length > 3) return;
  p.files.push({ file: p.guest.open(path, 2 | (isAppend ? O_APPEND : 0)), node, isAppend });
}

function writeOpen({ rng }: World, p: Player): void {
  if (p.files.length === 0) return;
  const { file, node, isAppend } = rng.pick(p.files);
  if (rng.chance(0.3)) {
    const size = rng.below(9000);
    file.truncate(size);
    resize(node, size);
    return;
  }
  const data = randomBytes(rng);
  // Some inside the file: those go through the window.
  const pos = isAppend ? node.data.length : rng.below(rng.chance(0.5) ? 1 + node.data.length : 9000);
  expect(file.write(data, 0, data.length, pos), p.name).toBe(data.length);
  store(node, pos, data);
}

function randomBytes(rng: Prng): Uint8Array {
  const data = new Uint8Array(1 + rng.below(rng.chance(0.3) ? 5000 : 100));
  for (let i = 0; i < data.length; i++) data[i] = rng.u32();
  return data;
}

/** Some look at everything, some at a part, some at nothing: then much stays unheard for long. */
function look({ rng, tree, players }: World, step: number): void {
  for (const { guest, files, name } of players) {
    const who = `step ${step}, ${name}`;
    const share = rng.pick([0, 0, 0.1, 1]);
    // The open files first: nothing else has asked for their size yet.
    for (const { file, node } of files) {
      if (rng.chance(share)) expectRead(file, node, rng.below(5000), 1 + rng.below(5000), who);
    }
    for (const path of PATHS) if (rng.chance(share)) expectSeen(guest, tree, path, who);
    for (const path of DIRECTORIES) if (rng.chance(share / 4)) expectListed(guest, tree, path || '/', who);
  }
}

async function run(seed: number, notifications: (index: number) => boolean = () => true): Promise<void> {
  const rng = new Prng(seed);
  const forever = Number.POSITIVE_INFINITY;
  using host = await createInline({
    ...{ attrTimeoutMs: forever, entryTimeoutMs: forever, negativeTimeoutMs: forever },
    cacheSize: 32 << 20,
    guests: 4,
    queueSize: rng.pick([4, 8, 16, 128]),
    windowSize: rng.pick([0, 4 << 20, 4 << 20, 4 << 20]),
  });
  const count = 3 + rng.below(2);
  const players = Array.from({ length: count }, (_, i): Player => {
    return { guest: host.mount({ notifications: notifications(i) }), name: `guest ${i}`, files: [] };
  });
  const world: World = { rng, host, tree: new Tree(), players };
  for (let step = 0; step < STEPS; step++) {
    rng.pick(ACTIONS)(world, rng.pick(players), rng.pick(PATHS));
    if (rng.chance(0.5)) look(world, step);
    if (step % 25 !== 0) continue;
    host.core.server.checkInvariants();
    for (const { guest } of players) guest.mount.checkInvariants();
  }
  for (const { guest } of players) guest.unmount();
  expect(host.stop().inodes).toBe(1);
}

const base = Number(process.env['SEED'] ?? 1);

test.each([0, 1, 2, 3, 4, 5, 6, 7].map((i) => base + i))('seed %i (replay with SEED=…)', async (seed) => {
  await run(seed);
});

test('one guest that is not told sees something else', async () => {
  await expect(run(base, (index) => index !== 1)).rejects.toThrow(/guest 1/);
});
