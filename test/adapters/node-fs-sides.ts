/** Two sides that make the same calls: the running Node on a directory, and a guest on one of the same name. */
import * as nodeModule from 'node:fs';
import { tmpdir } from 'node:os';
import { nodeFs } from '../../src/node-fs.ts';
import { boot } from '../guest/world.ts';
import { type Form, Generator, type Slot, type Step } from './node-fs-generate.ts';

type Call = (...args: unknown[]) => unknown;
type AnyFs = Record<string, Call> & { promises: Record<string, Call> };

const DAY_MS = 86_400_000;
/** Where the world's own clock starts. */
const GUEST_NOW = 1_700_000_000_000;

export interface Side {
  readonly fs: AnyFs;
  readonly fds: number[];
}

/** Both sides empty, with one root path. Remove the root of the real one afterwards. */
function twoSides() {
  const place = nodeModule.existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const top = nodeModule.mkdtempSync(`${place}/node-fs-`);
  // One level down: links that lead up do not leave it.
  const root = `${top}/root`;
  nodeModule.mkdirSync(root, 0o700);
  const world = boot();
  world.guest.mkdir(root, { recursive: true });
  world.guest.chmod(root, 0o700);
  const ours = nodeFs(world.guest, { process: world.guest.spawn({ umask: process.umask() }) });
  const real: Side = { fs: nodeModule as unknown as AnyFs, fds: [] };
  const guest: Side = { fs: ours as unknown as AnyFs, fds: [] };
  const remove = (): void => {
    for (const fd of real.fds) nodeModule.closeSync(fd);
    nodeModule.rmSync(top, { recursive: true, force: true });
  };
  return { root, real, guest, world, remove };
}

/** Makes one call and returns what came of it as plain data. */
async function make(side: Side, step: Step, form: Form, root: string): Promise<unknown> {
  const args = step.args.map((arg) => argument(side, arg, root));
  const outcome = await settled(() => run(side.fs, step.name, args, form));
  if (step.name === 'open' && typeof outcome.value === 'number') {
    side.fds.push(outcome.value);
    return 'a descriptor';
  }
  if (typeof outcome.value === 'object' && outcome.value !== null && 'readableWebStream' in outcome.value) {
    await (outcome.value as nodeModule.promises.FileHandle).close();
    return 'a handle';
  }
  if (step.name === 'close') side.fds.splice(side.fds.indexOf(args[0] as number) >>> 0, 1);
  if (outcome.error !== undefined) return errorOf(outcome.error);
  return plain(step.name.startsWith('read') ? [outcome.value, args[1]] : outcome.value);
}

function run(fs: AnyFs, name: string, args: unknown[], form: Form): unknown {
  if (form === 'sync') return fs[`${name}Sync`]?.(...args);
  if (form === 'promise') return fs.promises[name]?.(...args);
  return new Promise((done, fail) => {
    fs[name]?.(...args, (error: unknown, value: unknown) => {
      if (name === 'exists') done(error);
      else if (error) fail(error);
      else done(value);
    });
  });
}

async function settled(call: () => unknown): Promise<{ value?: unknown; error?: unknown }> {
  try {
    return { value: await call() };
  } catch (error) {
    return { error };
  }
}

function argument(side: Side, arg: unknown, root: string): unknown {
  if (typeof arg === 'string') return arg.replace(/^@/, root);
  if (Array.isArray(arg)) return arg.map((part) => argument(side, part, root));
  if (typeof arg !== 'object' || arg === null) return arg;
  if ('slot' in arg) return side.fds[(arg as Slot).slot] ?? 99_999;
  if ('room' in arg) return Buffer.alloc((arg as { room: number }).room, 'abcdefghij');
  return arg instanceof Uint8Array ? Uint8Array.from(arg) : arg;
}

export function errorOf(error: unknown): unknown {
  const { name, message, code, errno, syscall, path, dest, info } = error as Record<string, unknown>;
  return { name, message, code, errno, syscall, path, dest, info };
}

/** A value without what may differ: numbers of inodes and devices, sizes of directories, the time of day. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { isBuffer: Buffer.isBuffer(value), hex: Buffer.from(value).toString('hex') };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  if ('isFIFO' in value && 'parentPath' in value) {
    const entry = value as nodeModule.Dirent;
    return { name: entry.name, parentPath: entry.parentPath, keys: Object.keys(entry).join(), type: typeOf(entry) };
  }
  if ('isFIFO' in value) return plainStats(value as nodeModule.Stats);
  return value;
}

function plainStats(stats: nodeModule.Stats): unknown {
  const { mode, nlink, uid, gid, size, mtimeMs, mtime } = stats;
  const isRecent = [Date.now(), GUEST_NOW].some((now) => Math.abs(Number(mtimeMs) - now) < DAY_MS);
  return {
    keys: Object.keys(stats).join(),
    ...{ mode, nlink, uid, gid, type: typeOf(stats) },
    size: stats.isDirectory() ? 'any' : size,
    mtime: isRecent ? 'now' : [mtimeMs, mtime],
  };
}

function typeOf(entry: nodeModule.Dirent | nodeModule.Stats): string {
  const names = ['isFile', 'isDirectory', 'isSymbolicLink', 'isFIFO', 'isSocket', 'isBlockDevice'] as const;
  return names.filter((name) => entry[name]()).join();
}

/** Everything in the tree: stats and bytes, by path. */
function treeOf(fs: AnyFs, root: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  const visit = (path: string): void => {
    const stats = fs['lstatSync']?.(path) as nodeModule.Stats;
    const bytes = stats.isFile() ? fs['readFileSync']?.(path, 'hex') : undefined;
    const target = stats.isSymbolicLink() ? fs['readlinkSync']?.(path) : undefined;
    found[path] = [plain(stats), bytes, target];
    if (stats.isDirectory()) for (const name of (fs['readdirSync']?.(path) ?? []) as string[]) visit(`${path}/${name}`);
  };
  visit(root);
  return found;
}

/** Runs `count` random calls on both sides; returns the first difference, with all that led to it. */
export async function compare(
  seed: number,
  count: number,
  form: Form,
): Promise<{ calls: number; difference?: unknown }> {
  const { root, real, guest, world, remove } = twoSides();
  const generator = new Generator(seed);
  const done: string[] = [];
  let calls = 0;
  try {
    for (let i = 0; i < count; i++) {
      const step = generator.step();
      const isThere = form !== 'promise' || (step.name in real.fs.promises && !usesSlot(step));
      const chosen = isThere ? form : 'sync';
      done.push(`${chosen} ${step.name}(${JSON.stringify(step.args)})`);
      calls++;
      if (isDestructive(step, root)) continue;
      const expected = await make(real, step, chosen, root);
      const got = await make(guest, step, chosen, root);
      if (!isEqual(got, expected) && !isBugOfNode(step, form) && !isRace(step, form, got, expected)) {
        return { calls, difference: { replay: `seed ${seed} step ${i} ${form}`, step: done, got, expected } };
      }
    }
    const [got, expected] = [treeOf(guest.fs, root), treeOf(real.fs, root)];
    if (!isEqual(got, expected)) return { calls, difference: { replay: `seed ${seed} tree`, done, got, expected } };
    world.check();
    return { calls };
  } finally {
    remove();
    world.unmountAll();
  }
}

/** Node 20's readFile forgets errors of descriptors, when it is given a callback. */
function isBugOfNode(step: Step, form: Form): boolean {
  return step.name === 'readFile' && form === 'callback' && usesSlot(step);
}

/** When copying fails, as for a directory or a clone, libuv removes the target. We leave what was there. */
function isDestructive({ name, args }: Step, root: string): boolean {
  const [src, dest] = args.map((arg) => String(arg).replace(/^@/, root));
  if (name !== 'copyFile' || src === undefined || dest === undefined) return false;
  return (args[2] === 4 || nodeModule.existsSync(`${src}/.`)) && nodeModule.existsSync(dest);
}

/** Node's asynchronous cp looks at both paths at once: which error comes first is chance. */
function isRace(step: Step, form: Form, ...both: unknown[]): boolean {
  const isError = (value: unknown) => (value as { syscall?: unknown } | undefined)?.syscall === 'lstat';
  return step.name === 'cp' && form !== 'sync' && both.every(isError);
}

function usesSlot(step: Step): boolean {
  return step.args.some((arg) => typeof arg === 'object' && arg !== null && 'slot' in arg);
}

function isEqual(a: unknown, b: unknown): boolean {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? `${part}n` : part === undefined ? '∅' : part));
  return text(a) === text(b);
}
