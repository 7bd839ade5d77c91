/**
 * The main job: four guests read a real directory through a DAX window that is far smaller than the data, and every sum
 * is compared with one made directly with node:fs; then four guests change one tree at once, and what they leave is
 * compared with what must come out.
 */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { GuestStats } from '../../guest/counters.ts';
import { createHost, type Host } from '../../worker/host.ts';
import type { HostReport } from '../../worker/host-core.ts';
import { mount } from '../../worker/mount.ts';
import type { ReadJob } from './messages.ts';
import { Progress } from './progress.ts';
import { runGuests } from './run-guests.ts';
import { compareSums, directSums } from './sums.ts';
import { checkTree, prepare } from './workload.ts';

const MIB = 1 << 20;
const GUESTS = 4;
const STEPS = 300;
const ROUNDS = 3;
const WINDOW_SIZE = 16 * MIB;

export interface DemoOptions {
  /** The directory to serve; undefined = the project's node_modules. */
  readonly dir: string | undefined;
  /** Whether the checked reading goes through the window. */
  readonly dax: boolean;
  readonly progress: boolean;
}

export interface ReadReport {
  readonly directory: string;
  readonly guests: number;
  readonly windowBytes: number;
  readonly files: number;
  readonly bytes: number;
  readonly mismatches: number;
  readonly wrong: readonly string[];
  readonly requests: Readonly<Record<string, number>>;
  readonly mappings: { readonly setUp: number; readonly upgraded: number; readonly removed: number };
  readonly pageFaults: number;
  readonly bytesCopiedPerByteRead: number;
  readonly mbPerSecond: { readonly dax: number; readonly noDax: number };
  readonly host: HostReport | undefined;
}

export interface WriteReport {
  readonly guests: number;
  readonly created: number;
  readonly renamed: number;
  readonly deleted: number;
  readonly mismatches: number;
  readonly wrong: readonly string[];
  readonly requests: Readonly<Record<string, number>>;
  readonly mappings: { readonly setUp: number; readonly upgraded: number; readonly removed: number };
  readonly pageFaults: number;
  readonly seconds: number;
  readonly host: HostReport | undefined;
}

export interface DemoReport {
  readonly read: ReadReport;
  readonly write: WriteReport;
}

/** A wrong option: the command line prints the message and exits with 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  const directory = options.dir ?? defaultDirectory();
  checkDirectory(directory);
  const progress = new Progress(options.progress);
  const read = await readPhase(directory, options.dax, progress);
  const write = await writePhase(progress);
  progress.clear();
  return { read, write };
}

async function readPhase(directory: string, dax: boolean, progress: Progress): Promise<ReadReport> {
  const host = await createHost({
    fs: { type: 'dir', path: directory, readOnly: true },
    guests: GUESTS,
    windowSize: WINDOW_SIZE,
    cacheSize: 512 * MIB,
  });
  const checked = await readAll(host, dax, true, (done) => progress.show(`read and summed ${done} files`));
  const direct = await directSums(directory, (done) => progress.show(`compared with ${done} sums by node:fs`));
  const results = checked.results.map((message) => message.result);
  const wrong = compareSums(
    direct,
    results.flatMap((result) => result.sums),
  );
  for (const { found } of results)
    if (found !== direct.size) wrong.push(`a guest listed ${found} of ${direct.size} files`);
  const bytes = sum(results, (result) => result.bytes);
  const stats = results.map((result) => result.stats);
  const speed = await measure(host, bytes, progress);
  const report = await host.stop();
  return {
    directory,
    guests: GUESTS,
    windowBytes: WINDOW_SIZE,
    files: sum(results, (result) => result.files),
    bytes,
    mismatches: wrong.length,
    wrong,
    requests: sumRequests(stats),
    mappings: sumMappings(stats),
    pageFaults: sum(stats, (each) => each.faults),
    bytesCopiedPerByteRead: bytes === 0 ? 0 : sum(stats, copied) / bytes,
    mbPerSecond: speed,
    host: report,
  };
}

/** Bytes moved to bring file data from the host's page cache to the program's buffer: READ copies at both ends. */
function copied(stats: GuestStats): number {
  return stats.bytes.readDax + 2 * stats.bytes.readFuse;
}

async function readAll(host: Host, dax: boolean, sums: boolean, onProgress: (done: number) => void) {
  const job: ReadJob = { type: 'read', dax, sums, next: new SharedArrayBuffer(4) };
  return runGuests(host, GUESTS, job, onProgress);
}

/** Reads everything with DAX and without, in turns, page cache warm; the medians of the rates. */
async function measure(host: Host, bytes: number, progress: Progress): Promise<{ dax: number; noDax: number }> {
  const rates = { dax: [] as number[], noDax: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ['dax', 'noDax'] as const) {
      const label = `round ${round + 1} of ${ROUNDS} ${way === 'dax' ? 'with' : 'without'} DAX`;
      const run = await readAll(host, way === 'dax', false, (done) => progress.show(`${label}: ${done} files`));
      rates[way].push(bytes / 1e6 / (run.ms / 1000));
    }
  }
  return { dax: median(rates.dax), noDax: median(rates.noDax) };
}

async function writePhase(progress: Progress): Promise<WriteReport> {
  const host = await createHost({ fs: 'memory', guests: GUESTS + 1, windowSize: WINDOW_SIZE, cacheSize: 64 * MIB });
  const first = mount(host.attach());
  prepare(first);
  first.unmount();
  const run = await runGuests(host, GUESTS, { type: 'write', steps: STEPS }, (done) => {
    progress.show(`changed one tree from ${GUESTS} guests: ${done} of ${GUESTS * STEPS} steps`);
  });
  const outcomes = run.results.map((message) => message.result);
  const stats = run.results.map((message) => message.stats);
  const checker = mount(host.attach());
  const wrong = checkTree(checker, GUESTS, STEPS, outcomes);
  checker.unmount();
  const report = await host.stop();
  return {
    guests: GUESTS,
    created: sum(outcomes, (outcome) => outcome.created),
    renamed: sum(outcomes, (outcome) => outcome.renamed),
    deleted: sum(outcomes, (outcome) => outcome.deleted),
    mismatches: wrong.length,
    wrong,
    requests: sumRequests(stats),
    mappings: sumMappings(stats),
    pageFaults: sum(stats, (each) => each.faults),
    seconds: run.ms / 1000,
    host: report,
  };
}

/** The node_modules that this package was installed with: some thousands of files that everybody has. */
function defaultDirectory(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const candidate = join(at, 'node_modules');
    if (existsSync(candidate)) return candidate;
    if (dirname(at) === at) throw new UsageError('no node_modules found: name a directory with --dir PATH');
  }
}

function checkDirectory(directory: string): void {
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) throw new UsageError(`--dir ${directory}: no such directory`);
  if (!stat.isDirectory()) throw new UsageError(`--dir ${directory}: not a directory`);
}

function sumRequests(stats: readonly GuestStats[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const { requests } of stats) {
    for (const [name, count] of Object.entries(requests)) total[name] = (total[name] ?? 0) + count;
  }
  return Object.fromEntries(Object.entries(total).sort((a, b) => b[1] - a[1]));
}

function sumMappings(stats: readonly GuestStats[]): { setUp: number; upgraded: number; removed: number } {
  return {
    setUp: sum(stats, (each) => each.mappings.setUp),
    upgraded: sum(stats, (each) => each.mappings.upgraded),
    removed: sum(stats, (each) => each.mappings.removed),
  };
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}
