/** Random sequences of node:fs calls: the same seed gives the same calls, as data, so that two sides can make them. */
import { Prng } from '../../src/base/prng.ts';

export type Form = 'sync' | 'callback' | 'promise';

/** A call; `{ fd: n }` among the arguments stands for the n-th descriptor that is open on a side. */
export interface Step {
  readonly name: string;
  readonly args: readonly unknown[];
}

export interface Slot {
  readonly slot: number;
}

const NAMES = [
  'a',
  'b',
  'c',
  'd',
  'é',
  'a/b',
  'a/c',
  'b/a',
  'a/b/c',
  'c/d',
  'a/../b',
  './c',
  'd/',
  'a//b',
  'link',
  'a/link',
];
const FLAGS = ['r', 'r+', 'w', 'w+', 'wx', 'a', 'a+', 'ax', 'rs+', 'zz', 0, 66, 65536, undefined];
const MODES = [0o644, 0o600, 0o755, 0o400, '700', 0o4755, undefined];
const TIMES = [0, 1, 1.5, 1234567890.123456, '17', new Date(5_000_123), -3.5 * 0 + 2 ** 31];
const ENCODINGS = [undefined, null, 'utf8', 'latin1', 'hex', 'base64', 'ucs2', { encoding: 'base64url' }];

export class Generator {
  readonly #random: Prng;

  constructor(seed: number) {
    this.#random = new Prng(seed);
  }

  step(): Step {
    const [name, make] = this.#pick(STEPS);
    return { name, args: make(this) };
  }

  pick<T>(list: readonly T[]): T {
    return this.#pick(list);
  }

  path(): string {
    return `@/${this.#pick(NAMES)}`;
  }

  number(limit: number): number {
    return this.#random.below(limit);
  }

  slot(): Slot {
    return { slot: this.number(4) };
  }

  data(): string | Uint8Array {
    const size = this.#pick([0, 1, 5, 100, 5000]);
    return this.number(2) === 0 ? 'xyzé'.repeat(size).slice(0, size) : new Uint8Array(size).fill(this.number(256));
  }

  position(): unknown {
    return this.#pick([undefined, null, 0, 3, 4096, -1]);
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)] as T;
  }
}

type Make = (g: Generator) => readonly unknown[];
const onePath: Make = (g) => [g.path()];
const twoPaths: Make = (g) => [g.path(), g.path()];
const times = (g: Generator): unknown[] => [g.pick(TIMES), g.pick(TIMES)];
const recursive = (g: Generator): unknown => g.pick([undefined, { recursive: true }, { recursive: false }]);

/** Names without "Sync"; the more often one stands here, the more often it is called. */
const STEPS: readonly (readonly [string, Make])[] = [
  ['access', (g) => [g.path(), g.pick([undefined, 0, 4, 7, 9, 'x'])]],
  ['appendFile', (g) => [g.path(), g.data()]],
  ['chmod', (g) => [g.path(), g.pick(MODES)]],
  ['chown', (g) => [g.path(), g.pick([0, 1000, -1]), g.pick([0, 50, -1])]],
  ['close', (g) => [g.slot()]],
  ['close', (g) => [g.slot()]],
  ['copyFile', (g) => [g.path(), g.path(), g.pick([undefined, 0, 1, 4, 8])]],
  ['cp', (g) => [g.path(), g.path(), g.pick([undefined, { recursive: true }, CP_SAFE, CP_LINKS])]],
  ['exists', onePath],
  ['fchmod', (g) => [g.slot(), g.pick(MODES)]],
  ['fchown', (g) => [g.slot(), g.pick([0, 7]), g.pick([0, 8])]],
  ['fdatasync', (g) => [g.slot()]],
  ['fstat', (g) => [g.slot(), g.pick([undefined, { bigint: true }])]],
  ['fsync', (g) => [g.slot()]],
  ['ftruncate', (g) => [g.slot(), g.pick([undefined, 0, 3, 5000, -4, 1.5])]],
  ['futimes', (g) => [g.slot(), ...times(g)]],
  ['lchown', (g) => [g.path(), 5, 6]],
  ['link', twoPaths],
  ['lstat', (g) => [g.path(), g.pick([undefined, { bigint: true }, { throwIfNoEntry: false }])]],
  ['lutimes', (g) => [g.path(), ...times(g)]],
  ['mkdir', (g) => [g.path(), recursive(g)]],
  ['mkdir', (g) => [g.path(), g.pick([0o755, '700', { recursive: true, mode: 0o711 }, { recursive: 5 }])]],
  ['mkdir', onePath],
  ['open', (g) => [g.path(), g.pick(FLAGS), g.pick(MODES)]],
  ['open', (g) => [g.path(), g.pick(['r+', 'w+', 'a+'])]],
  ['open', (g) => [g.path(), g.pick(['r+', 'w+', 'a+'])]],
  ['read', (g) => [g.slot(), { room: 10 }, g.pick([0, 2, 20]), g.pick([8, 3, 0]), g.position()]],
  ['readFile', (g) => [g.path(), g.pick(ENCODINGS)]],
  ['readFile', (g) => [g.slot(), g.pick(ENCODINGS)]],
  ['readdir', (g) => [g.path(), g.pick([undefined, 'hex', { withFileTypes: true }, { recursive: true }])]],
  ['readdir', (g) => ['@', g.pick([undefined, { withFileTypes: true, recursive: true }])]],
  ['readlink', (g) => [g.path(), g.pick([undefined, 'buffer', 'hex'])]],
  ['readv', (g) => [g.slot(), [{ room: 3 }, { room: 4 }], g.position()]],
  ['realpath', onePath],
  ['rename', twoPaths],
  ['rename', twoPaths],
  ['rm', (g) => [g.path(), g.pick([undefined, { recursive: true }, { force: true }, RM_ALL, { maxRetries: -1 }])]],
  ['rmdir', onePath],
  ['stat', (g) => [g.path(), g.pick([undefined, { bigint: true }, { throwIfNoEntry: false }])]],
  [
    'symlink',
    (g) => [g.pick(['b', '../c', 'missing', 'link', '.', '@/a']), g.path(), g.pick([undefined, 'file', 'zz'])],
  ],
  ['symlink', (g) => [g.pick(['a', 'b', '../a']), g.pick(['@/link', '@/a/link'])]],
  ['truncate', (g) => [g.path(), g.pick([undefined, 0, 4, 6000])]],
  ['unlink', onePath],
  ['unlink', onePath],
  ['utimes', (g) => [g.path(), ...times(g)]],
  ['write', (g) => [g.slot(), { room: 10 }, g.pick([0, 3, undefined, 12]), g.pick([4, undefined]), g.position()]],
  ['write', (g) => [g.slot(), 'texté', g.position(), g.pick([undefined, 'utf8', 'latin1', 'hex'])]],
  ['writeFile', (g) => [g.path(), g.data(), g.pick([undefined, 'latin1', { flag: 'a' }, { mode: 0o600, flag: 'wx' }])]],
  ['writeFile', (g) => [g.path(), g.data()]],
  ['writeFile', (g) => [g.slot(), g.data(), g.pick([undefined, { flush: true }])]],
  ['writev', (g) => [g.slot(), [{ room: 3 }, { room: 4 }], g.position()]],
];

const CP_SAFE = { recursive: true, force: false, errorOnExist: true };
const CP_LINKS = { recursive: true, verbatimSymlinks: true, preserveTimestamps: true };
const RM_ALL = { recursive: true, force: true };
