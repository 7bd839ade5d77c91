/** Two guests do random things to one tree; a byte-exact model says what they must see. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { Guest } from '../../src/guest/guest.ts';
import type { MountOptions } from '../../src/guest/options.ts';
import { boot, codeOf } from './world.ts';

const STEPS = 600;
const MAX_SIZE = 7 * 1024 * 1024;
const NAMES = ['/a', '/b', '/d/c', '/d/e', '/f'];

class Model {
  readonly files = new Map<string, Uint8Array>();

  write(name: string, pos: number, data: Uint8Array): void {
    const old = this.files.get(name) ?? new Uint8Array(0);
    const size = Math.max(old.length, pos + data.length);
    const next = size === old.length ? old : new Uint8Array(size);
    if (next !== old) next.set(old);
    next.set(data, pos);
    this.files.set(name, next);
  }

  truncate(name: string, size: number): void {
    const old = this.files.get(name) as Uint8Array;
    const next = new Uint8Array(size);
    next.set(old.subarray(0, size));
    this.files.set(name, next);
  }
}

function run(seed: number, ranges: number, mount: Partial<MountOptions>): void {
  const rng = new Prng(seed);
  const timeouts = { attrTimeoutMs: 0, entryTimeoutMs: 0, negativeTimeoutMs: 0 };
  const session = { ...timeouts, extensions: true, writebackCache: true };
  const world = boot({ ranges, guests: 2, frames: 12_000, session, mount: { ...mount, maxInodes: 16 } });
  const model = new Model();
  world.guest.mkdir('/d');
  for (let i = 0; i < STEPS; i++) {
    step(rng, rng.pick(world.mounted).guest, model);
    if (i % 20 === 0) world.check();
  }
  for (const { guest } of world.mounted) {
    for (const name of NAMES) compare(guest, model, name);
  }
  world.check();
  world.unmountAll();
  for (const { session: closed } of world.mounted) expect(closed.maps?.free).toBe(closed.maps?.total);
}

interface Step {
  readonly rng: Prng;
  readonly guest: Guest;
  readonly model: Model;
  readonly name: string;
  readonly content: Uint8Array | undefined;
  readonly pos: number;
  readonly data: Uint8Array;
}

const ACTIONS: readonly ((s: Step) => void)[] = [
  (s) => writeAt(s.guest, s.model, s.name, s.pos, s.data),
  (s) => writeAt(s.guest, s.model, s.name, s.pos, s.data),
  (s) => append(s),
  (s) => writeInside(s),
  (s) => truncate(s.guest, s.model, s.name, s.pos),
  (s) => rename(s.guest, s.model, s.name, s.rng.pick(NAMES)),
  (s) => unlink(s),
  (s) => compareAt(s.guest, s.model, s.name, s.rng.below(MAX_SIZE), 5000),
  (s) => compareAt(s.guest, s.model, s.name, s.rng.below(MAX_SIZE), 5000),
  (s) => mapped(s.rng, s.guest, s.model, s.name, s.data),
  (s) => (s.rng.chance(0.3) ? s.guest.dropCaches() : compareNames(s.guest, s.model)),
];

function step(rng: Prng, guest: Guest, model: Model): void {
  const name = rng.pick(NAMES);
  const data = randomBytes(rng, 1 + rng.below(rng.chance(0.1) ? 300_000 : 3000));
  const content = model.files.get(name);
  rng.pick(ACTIONS)({ rng, guest, model, name, content, pos: rng.below(MAX_SIZE), data });
}

function append({ guest, model, name, content, data }: Step): void {
  guest.appendFile(name, data);
  model.write(name, content?.length ?? 0, data);
}

function writeInside({ rng, guest, model, name, content, data }: Step): void {
  if (content === undefined || content.length === 0) return;
  writeAt(guest, model, name, rng.below(content.length), data.subarray(0, 100));
}

function unlink({ guest, model, name, content }: Step): void {
  expect(codeOf(() => guest.unlink(name))).toBe(content === undefined ? 'ENOENT' : 'OK');
  model.files.delete(name);
}

function writeAt(guest: Guest, model: Model, name: string, pos: number, data: Uint8Array): void {
  const file = guest.open(name, 0o102);
  expect(file.write(data, 0, data.length, pos)).toBe(data.length);
  file.close();
  model.write(name, pos, data);
}

function truncate(guest: Guest, model: Model, name: string, size: number): void {
  const isThere = model.files.has(name);
  expect(codeOf(() => guest.truncate(name, size))).toBe(isThere ? 'OK' : 'ENOENT');
  if (isThere) model.truncate(name, size);
}

function expectMissing(guest: Guest, name: string): void {
  expect(codeOf(() => guest.open(name))).toBe('ENOENT');
}

function rename(guest: Guest, model: Model, from: string, to: string): void {
  const content = model.files.get(from);
  expect(codeOf(() => guest.rename(from, to))).toBe(content === undefined ? 'ENOENT' : 'OK');
  if (content === undefined || from === to) return;
  model.files.delete(from);
  model.files.set(to, content);
}

function mayMap({ mount }: Guest): boolean {
  return mount.dax !== undefined || mount.pages !== undefined;
}

function mapped(rng: Prng, guest: Guest, model: Model, name: string, data: Uint8Array): void {
  const content = model.files.get(name);
  if (!mayMap(guest) || content === undefined || content.length === 0) return;
  const file = guest.open(name, 'r+');
  const mapping = file.mmap({ writable: true });
  file.close();
  const at = rng.below(content.length);
  const piece = data.subarray(0, Math.min(data.length, content.length - at));
  mapping.write(at, piece);
  model.write(name, at, piece);
  const back = new Uint8Array(Math.min(9000, content.length - at));
  mapping.read(at, back);
  expect(Buffer.compare(back, content.subarray(at, at + back.length))).toBe(0);
  mapping.unmap();
}

function compareAt(guest: Guest, model: Model, name: string, pos: number, size: number): void {
  const content = model.files.get(name);
  if (content === undefined) {
    expectMissing(guest, name);
    return;
  }
  const file = guest.open(name);
  const buffer = new Uint8Array(size);
  const n = file.read(buffer, 0, size, pos);
  file.close();
  expect(Buffer.compare(buffer.subarray(0, n), content.subarray(pos, pos + size))).toBe(0);
}

function compare(guest: Guest, model: Model, name: string): void {
  const content = model.files.get(name);
  if (content === undefined) {
    expectMissing(guest, name);
    return;
  }
  expect(guest.stat(name).size).toBe(content.length);
  expect(Buffer.compare(guest.readFile(name), content)).toBe(0);
}

function compareNames(guest: Guest, model: Model): void {
  const names = ['/', '/d'].flatMap((dir) => guest.readdir(dir).map((n) => `${dir === '/' ? '' : dir}/${n}`));
  expect(names.filter((n) => n !== '/d').sort()).toEqual([...model.files.keys()].sort());
}

function randomBytes(rng: Prng, size: number): Uint8Array {
  const data = new Uint8Array(size);
  for (let i = 0; i < size; i++) data[i] = rng.u32();
  return data;
}

const base = Number(process.env['SEED'] ?? 1);

test.each([0, 1, 2, 3, 4, 5].map((i) => base + i))('seed %i (replay with SEED=…)', (seed) => {
  run(seed, seed % 4, {});
});

const KINDS: readonly Partial<MountOptions>[] = [
  { allocation: 'server' },
  { allocation: 'combined' },
  { reclaim: 'background' },
];

describe.each(KINDS)('with %o', (mount) => {
  test.each([0, 1, 2].map((i) => base + i))('seed %i (replay with SEED=…)', (seed) => {
    run(seed, 1 + (seed % 4), mount);
  });
});

const PAGE_CACHE = 100 * 4096;

test.each([
  [base, false],
  [base + 1, true],
  [base + 2, true],
])('seed %i with a small page cache, writes gathered: %s', (seed, writeback) => {
  run(seed, 0, { pageCacheSize: PAGE_CACHE, writeback });
});
