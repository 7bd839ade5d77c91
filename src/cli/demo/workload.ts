/**
 * What the demo's guests do, as plain functions over a mounted guest: the same code runs in Node's workers, in a
 * browser's, and in one thread.
 */
import type { Guest } from '../../guest/guest.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Directories that all guests work in at once. */
const DIRECTORIES = ['/alpha', '/beta', '/gamma', '/delta'];
/** One record per guest and step, appended by all of them to one file. */
const LOG = '/log';
/** Renamed onto by everybody all the time. */
const CURRENT = '/current';
/** A page of counters, updated through mappings by everybody. */
export const COUNTERS = '/counters';
export const COUNTERS_SIZE = 64 * 1024;
const RECORD_SIZE = 32;

/** Makes what the guests need before they start. One guest does it. */
export function prepare(guest: Guest): void {
  for (const directory of DIRECTORIES) guest.mkdir(directory);
  guest.mkdir('/locks');
  guest.writeFile(LOG, '');
  using counters = guest.open(COUNTERS, 'w+');
  counters.truncate(COUNTERS_SIZE);
}

/** What one guest has to show for itself. */
export interface WriteOutcome {
  readonly created: number;
  readonly renamed: number;
  readonly deleted: number;
  /** Exclusive creations this guest won; exactly one guest wins each. */
  readonly locksWon: number;
}

/**
 * One guest's share of the write phase: creates, appends, renames and deletes files in the same directories as the
 * others, races for exclusive creation, and counts in shared pages.
 */
export function writeShare(guest: Guest, self: number, steps: number, onStep: (done: number) => void): WriteOutcome {
  const outcome = { created: 0, renamed: 0, deleted: 0, locksWon: 0 };
  using counters = guest.open(COUNTERS, 'r+');
  using log = guest.open(LOG, 'a');
  using shared = counters.mmap({ length: COUNTERS_SIZE, writable: true });
  for (let step = 0; step < steps; step++) {
    const temporary = `${directoryOf(self, step)}/${self}-${step}.tmp`;
    guest.writeFile(temporary, firstHalf(self, step));
    guest.appendFile(temporary, secondHalf(self, step));
    outcome.created++;
    guest.rename(temporary, finalName(self, step));
    outcome.renamed++;
    if (isDeleted(step)) {
      guest.unlink(finalName(self, step));
      outcome.deleted++;
    }
    log.writeAll(record(self, step));
    replaceCurrent(guest, self, step);
    if (winsLock(guest, step)) outcome.locksWon++;
    shared.add32(0, 1);
    shared.add32(4 * ((step % 1000) + 1), self + 1);
    onStep(step + 1);
  }
  return outcome;
}

/** Writes a file aside and renames it over the one that everybody replaces. */
function replaceCurrent(guest: Guest, self: number, step: number): void {
  const aside = `/current.${self}`;
  guest.writeFile(aside, record(self, step));
  guest.rename(aside, CURRENT);
}

function winsLock(guest: Guest, step: number): boolean {
  try {
    guest.open(`/locks/${step}`, 'wx').close();
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false;
    throw error;
  }
}

/** Checks the final tree through a guest that took no part. Returns one line per thing that is wrong. */
export function checkTree(guest: Guest, guests: number, steps: number, outcomes: readonly WriteOutcome[]): string[] {
  return [
    ...checkFiles(guest, guests, steps),
    ...checkLog(guest, guests, steps),
    ...checkCurrent(guest, guests, steps),
    ...checkCounters(guest, guests, steps),
    ...checkLocks(guest, steps, outcomes),
  ];
}

function checkFiles(guest: Guest, guests: number, steps: number): string[] {
  const wrong: string[] = [];
  const expected = new Map<string, string>();
  for (let self = 0; self < guests; self++) {
    for (let step = 0; step < steps; step++) {
      if (!isDeleted(step)) expected.set(finalName(self, step), firstHalf(self, step) + secondHalf(self, step));
    }
  }
  for (const directory of DIRECTORIES) {
    for (const name of guest.readdir(directory)) {
      const path = `${directory}/${name}`;
      const content = expected.get(path);
      if (content === undefined) wrong.push(`${path} should not be there`);
      else if (guest.readFile(path, 'utf8') !== content) wrong.push(`${path} has the wrong content`);
      expected.delete(path);
    }
  }
  for (const path of expected.keys()) wrong.push(`${path} is missing`);
  return wrong;
}

/** Appends of all guests: every record once, whole, and each guest's in order. */
function checkLog(guest: Guest, guests: number, steps: number): string[] {
  const text = guest.readFile(LOG, 'utf8');
  const next = new Array<number>(guests).fill(0);
  for (let at = 0; at < text.length; at += RECORD_SIZE) {
    const match = /^(\d+):(\d+)\s*\n$/.exec(text.slice(at, at + RECORD_SIZE));
    if (match === null) return [`${LOG}: a torn record at ${at}`];
    const self = Number(match[1]);
    if (Number(match[2]) !== next[self])
      return [`${LOG}: record ${match[2]} of guest ${self} instead of ${next[self]}`];
    next[self] = (next[self] ?? 0) + 1;
  }
  return next.flatMap((count, self) =>
    count === steps ? [] : [`${LOG}: ${count} of ${steps} records of guest ${self}`],
  );
}

function checkCurrent(guest: Guest, guests: number, steps: number): string[] {
  const text = guest.readFile(CURRENT, 'utf8');
  for (let self = 0; self < guests; self++) if (text === decoder.decode(record(self, steps - 1))) return [];
  return [`${CURRENT}: not the last record of any guest`];
}

function checkCounters(guest: Guest, guests: number, steps: number): string[] {
  const wrong: string[] = [];
  const perStep = (guests * (guests + 1)) / 2;
  const bytes = guest.readFile(COUNTERS);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length !== COUNTERS_SIZE) return [`${COUNTERS}: ${bytes.length} bytes instead of ${COUNTERS_SIZE}`];
  const total = view.getUint32(0, true);
  if (total !== guests * steps) wrong.push(`${COUNTERS}: counted ${total} steps instead of ${guests * steps}`);
  for (let slot = 0; slot < 1000; slot++) {
    const rounds = Math.floor(steps / 1000) + (slot < steps % 1000 ? 1 : 0);
    const got = view.getUint32(4 * (slot + 1), true);
    if (got !== perStep * rounds) wrong.push(`${COUNTERS}: slot ${slot} is ${got} instead of ${perStep * rounds}`);
  }
  return wrong;
}

function checkLocks(guest: Guest, steps: number, outcomes: readonly WriteOutcome[]): string[] {
  const won = outcomes.reduce((sum, outcome) => sum + outcome.locksWon, 0);
  const wrong = won === steps ? [] : [`/locks: won ${won} times instead of ${steps}`];
  if (guest.readdir('/locks').length !== steps) wrong.push(`/locks: not ${steps} files`);
  return wrong;
}

function directoryOf(self: number, step: number): string {
  return DIRECTORIES[(self + step) % DIRECTORIES.length] as string;
}

function finalName(self: number, step: number): string {
  return `${directoryOf(self, step + 1)}/${self}-${step}`;
}

function isDeleted(step: number): boolean {
  return step % 3 === 2;
}

function firstHalf(self: number, step: number): string {
  return `guest ${self} wrote step ${step}\n`.repeat((step % 40) + 1);
}

function secondHalf(self: number, step: number): string {
  return `and appended this (${self}, ${step})\n`.repeat((step % 7) + 1);
}

function record(self: number, step: number): Uint8Array {
  return encoder.encode(`${`${self}:${step}`.padEnd(RECORD_SIZE - 1)}\n`);
}

/** A file found by `walk`. */
export interface Found {
  readonly path: string;
  readonly type: 'file' | 'link';
}

/** Lists all regular files and symbolic links below `path`, sorted by path. */
export function walk(guest: Guest, path: string): Found[] {
  const found: Found[] = [];
  const directories = [path];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    const prefix = directory === '/' ? '' : directory;
    for (const entry of guest.readdir(directory, { withTypes: true })) {
      const child = `${prefix}/${entry.name}`;
      if (entry.isDirectory()) directories.push(child);
      else if (entry.isFile()) found.push({ path: child, type: 'file' });
      else if (entry.isSymbolicLink()) found.push({ path: child, type: 'link' });
    }
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** Reads a whole file in pieces of the buffer's size. Returns how many bytes there were. */
export function readThrough(guest: Guest, path: string, buffer: Uint8Array, sink: (piece: Uint8Array) => void): number {
  using file = guest.open(path);
  let total = 0;
  for (;;) {
    const n = file.read(buffer);
    if (n === 0) return total;
    sink(n === buffer.length ? buffer : buffer.subarray(0, n));
    total += n;
  }
}
