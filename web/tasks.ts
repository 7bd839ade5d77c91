/** What the page's guests do, as plain functions over a mounted guest: the same in workers and in one thread. */
import {
  COUNTERS,
  COUNTERS_SIZE,
  checkTree,
  prepare,
  readThrough,
  type WriteOutcome,
  writeShare,
} from '../src/cli/demo/workload.ts';
import type { Guest, GuestStats } from '../src/index.ts';

export const GUESTS = 4;
/** Steps of each guest's write phase. */
export const STEPS = 200;
/** Files of the read phase: small ones, and a last one that spans several 2 MiB ranges. */
const DATA_FILES = 24;
/** Rounds of one timed reading. */
const ROUNDS = 3;
const LARGE_SIZE = 5 * 1024 * 1024 + 123;
const BUFFER_SIZE = 128 * 1024;
const DISTURB_STEPS = 1_000_000;
const PROGRESS_EVERY = 10;

export type Task =
  | { readonly type: 'prepare' }
  | { readonly type: 'write' }
  | { readonly type: 'check'; readonly outcomes: readonly WriteOutcome[] }
  | { readonly type: 'verify' }
  | { readonly type: 'time' };

export interface TaskResults {
  readonly prepare: { readonly bytes: number };
  readonly write: { readonly outcome: WriteOutcome; readonly ms: number; readonly stats: GuestStats };
  readonly check: { readonly wrong: readonly string[]; readonly files: number; readonly counter: number };
  readonly verify: {
    readonly files: number;
    readonly bytes: number;
    readonly wrong: readonly string[];
    readonly stats: GuestStats;
  };
  /** Times on the clock that all threads share. */
  readonly time: { readonly bytes: number; readonly startMs: number; readonly endMs: number };
}

export type Progress = (done: number, total: number) => void;

type Bodies = {
  readonly [T in keyof TaskResults]: (
    guest: Guest,
    self: number,
    task: Extract<Task, { type: T }>,
    progress: Progress,
  ) => TaskResults[T];
};

const BODIES: Bodies = {
  prepare: (guest, _self, _task, progress) => {
    prepare(guest);
    guest.mkdir('/casualty');
    return { bytes: writeData(guest, progress) };
  },
  write: (guest, self, _task, progress) => write(guest, self, progress),
  check: (guest, _self, task) => check(guest, task.outcomes),
  verify: (guest, self, _task, progress) => verify(guest, self, progress),
  time: (guest, self, _task, progress) => time(guest, self, progress),
};

/** Runs one task of guest `self` to its end. */
export function runTask<T extends keyof TaskResults>(
  guest: Guest,
  self: number,
  task: Extract<Task, { type: T }>,
  progress: Progress,
): TaskResults[T] {
  const body: Bodies[T] = BODIES[task.type as T];
  return body(guest, self, task, progress);
}

function write(guest: Guest, self: number, progress: Progress): TaskResults['write'] {
  const start = performance.now();
  // Looked at first, so that the counters are mapped read-only and the first count upgrades the mapping.
  guest.readFile(COUNTERS);
  const outcome = writeShare(guest, self, STEPS, (done) => {
    if (done % PROGRESS_EVERY === 0) progress(done, STEPS);
  });
  const ms = performance.now() - start;
  guest.dropCaches();
  return { outcome, ms, stats: guest.stats };
}

function check(guest: Guest, outcomes: readonly WriteOutcome[]): TaskResults['check'] {
  const wrong = checkTree(guest, GUESTS, STEPS, outcomes);
  let files = 0;
  for (const outcome of outcomes) files += outcome.created - outcome.deleted;
  using counters = guest.open(COUNTERS);
  using mapping = counters.mmap();
  return { wrong, files, counter: mapping.loadU32(0) };
}

function verify(guest: Guest, self: number, progress: Progress): TaskResults['verify'] {
  const buffer = new Uint8Array(BUFFER_SIZE);
  const wrong: string[] = [];
  let bytes = 0;
  for (let i = 0; i < DATA_FILES; i++) {
    const index = startAt(self, i);
    const expected = dataOf(index);
    let at = 0;
    let same = true;
    bytes += readThrough(guest, dataPath(index), buffer, (piece) => {
      same &&= isPiece(expected, at, piece);
      at += piece.length;
    });
    if (at !== expected.length) wrong.push(`${dataPath(index)}: ${at} bytes instead of ${expected.length}`);
    else if (!same) wrong.push(`${dataPath(index)}: guest ${self} read other bytes than were written`);
    progress(i + 1, DATA_FILES);
  }
  // So that the report shows the removal of what is mapped to the end.
  guest.dropCaches();
  return { files: DATA_FILES, bytes, wrong, stats: guest.stats };
}

function time(guest: Guest, self: number, progress: Progress): TaskResults['time'] {
  const buffer = new Uint8Array(BUFFER_SIZE);
  const now = () => performance.timeOrigin + performance.now();
  const startMs = now();
  let bytes = 0;
  for (let i = 0; i < ROUNDS * DATA_FILES; i++) {
    bytes += readThrough(guest, dataPath(startAt(self, i)), buffer, () => {});
    if (i % DATA_FILES === 0) progress(i, ROUNDS * DATA_FILES);
  }
  return { bytes, startMs, endMs: now() };
}

/**
 * What the guest that will be terminated does, until then: the same kinds of calls as the others, and it holds a file
 * open, counts in a mapped page, and shows another in place. Yields after every step.
 */
export function* disturb(guest: Guest): Generator<number> {
  using file = guest.open(COUNTERS, 'r+');
  using mapping = file.mmap({ length: COUNTERS_SIZE, writable: true });
  using view = mapping.view(COUNTERS_SIZE - 4096, 4096);
  for (let step = 1; step <= DISTURB_STEPS; step++) {
    const path = `/casualty/${step % 20}`;
    guest.writeFile(`${path}.tmp`, `step ${step}\n`);
    guest.appendFile(`${path}.tmp`, 'and more\n');
    guest.rename(`${path}.tmp`, path);
    if (step % 3 === 0) guest.unlink(path);
    // The last word of the page before the last: nobody else counts there.
    mapping.add32(COUNTERS_SIZE - 4100, 1);
    for (const run of view.runs) run.fill(step & 0xff);
    yield step;
  }
}

/** One guest writes all files of the read phase. Returns their bytes. */
function writeData(guest: Guest, progress: Progress): number {
  guest.mkdir('/data');
  let bytes = 0;
  for (let index = 0; index < DATA_FILES; index++) {
    const data = dataOf(index);
    guest.writeFile(dataPath(index), data);
    bytes += data.length;
    progress(index + 1, DATA_FILES);
  }
  return bytes;
}

/** Each guest starts at another file, so that they do not go in step. */
function startAt(self: number, i: number): number {
  return (i + Math.floor((self * DATA_FILES) / GUESTS)) % DATA_FILES;
}

function dataPath(index: number): string {
  return `/data/${index}`;
}

/** The bytes of a data file: a xorshift sequence seeded with its index; sizes are odd on purpose. */
function dataOf(index: number): Uint8Array<ArrayBuffer> {
  const size = index === DATA_FILES - 1 ? LARGE_SIZE : (1 + (index % 4)) * 200_000 + index * 1001;
  const words = new Uint32Array(Math.ceil(size / 4));
  let x = index + 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return new Uint8Array(words.buffer, 0, size);
}

function isPiece(whole: Uint8Array, at: number, piece: Uint8Array): boolean {
  for (let i = 0; i < piece.length; i++) if (whole[at + i] !== piece[i]) return false;
  return true;
}
