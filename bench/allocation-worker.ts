/** One guest of the allocation benchmark, in a worker of its own: the same accesses, whoever chooses the ranges. */
import { parentPort, workerData } from 'node:worker_threads';
import { Prng } from '../src/base/prng.ts';
import type { GuestStats } from '../src/guest/counters.ts';
import type { Guest } from '../src/guest/guest.ts';
import type { MappedView } from '../src/guest/mapped-view.ts';
import type { File } from '../src/guest/open-file.ts';
import { mount } from '../src/worker/mount.ts';
import { BLOCK, type GuestSetup, type Pattern, RANGE, type Run, type RunResult } from './allocation-work.ts';

const setup = workerData as GuestSetup;
const guest = mount(setup.attachment, { allocation: setup.allocation, reclaim: setup.reclaim, dax: 'always' });
const buffer = new Uint8Array(BLOCK);

if (setup.creates !== undefined) {
  const block = new Uint8Array(1 << 20).map((_, i) => i * 31);
  const large = guest.open('/large', 'w');
  for (let size = 0; size < setup.creates.large; size += block.length) large.writeAll(block);
  large.close();
  for (let i = 0; i < setup.workingSet; i++) guest.writeFile(`/small${i}`, block.subarray(0, setup.creates.small));
}

/** A place to read: which file, and where in it. */
type Access = (i: number) => readonly [file: File, pos: number];

function run({ pattern, accesses, seed }: Run): RunResult {
  const random = new Prng(seed);
  const files = pattern === 'files' ? openSmall(guest) : [guest.open('/large')];
  const views = pattern === 'pinned' ? pin(files[0] as File, random) : [];
  const access = accessOf(pattern, files, random);
  for (let i = 0; i < accesses >> 2; i++) read(access, i);
  const before = guest.stats;
  const times = new Float64Array(accesses);
  const start = process.hrtime.bigint();
  let last = performance.now();
  for (let i = 0; i < accesses; i++) {
    read(access, i);
    const now = performance.now();
    times[i] = now - last;
    last = now;
  }
  const ns = Number(process.hrtime.bigint() - start);
  const after = guest.stats;
  for (const view of views) view.release();
  for (const file of files) file.close();
  guest.dropCaches();
  times.sort();
  const p99Ns = 1e6 * (times[Math.floor(accesses * 0.99)] as number);
  return { nsPerAccess: ns / accesses, p99Ns, ...costs(before, after, accesses) };
}

function read(access: Access, i: number): void {
  const [file, pos] = access(i);
  file.read(buffer, 0, BLOCK, pos);
}

function costs(before: GuestStats, after: GuestStats, accesses: number) {
  return {
    requests: (after.requestCount - before.requestCount) / accesses,
    stalls: (after.mappings.stalls - before.mappings.stalls) / accesses,
    recalled: after.allocation.recalled - before.allocation.recalled,
    givenBack: after.allocation.givenBack - before.allocation.givenBack,
    refused: after.allocation.pinned - before.allocation.pinned,
    withoutRange: (after.bytes.readFuse - before.bytes.readFuse) / BLOCK,
  };
}

function accessOf(pattern: Pattern, files: readonly File[], random: Prng): Access {
  const size = setup.workingSet * RANGE;
  const blocks = size / BLOCK;
  const large = files[0] as File;
  // In order, but in steps: the interesting part is the change of range, not the 511 accesses between.
  if (pattern === 'sequential') return (i) => [large, (i * 16 * BLOCK) % size];
  if (pattern === 'files') return () => [files[random.below(files.length)] as File, 0];
  if (pattern === 'zipf') {
    const pick = zipf(setup.workingSet, random);
    return () => [large, pick() * RANGE + random.below(RANGE / BLOCK) * BLOCK];
  }
  return () => [large, random.below(blocks) * BLOCK];
}

/** Rank r with probability ~ 1 / r; ranks are spread over the file. */
function zipf(count: number, random: Prng): () => number {
  const sums: number[] = [];
  for (let rank = 1; rank <= count; rank++) sums.push((sums.at(-1) ?? 0) + 1 / rank);
  const places = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [places[i], places[j]] = [places[j] as number, places[i] as number];
  }
  const total = sums.at(-1) as number;
  return () => {
    const at = (random.u32() / 2 ** 32) * total;
    return places[sums.findIndex((sum) => sum > at)] as number;
  };
}

function openSmall(from: Guest): File[] {
  return Array.from({ length: setup.workingSet }, (_, i) => from.open(`/small${i}`));
}

/** Pins a quarter of the window by views, which the host cannot see. */
function pin(file: File, random: Prng): MappedView[] {
  const mapping = file.mmap({ length: setup.workingSet * RANGE });
  const count = Math.max(1, setup.windowRanges >> 2);
  const chosen = new Set<number>();
  while (chosen.size < Math.min(count, setup.workingSet)) chosen.add(random.below(setup.workingSet));
  return [...chosen].map((chunk) => mapping.view(chunk * RANGE, BLOCK));
}

parentPort?.on('message', (order: Run | 'end') => {
  if (order === 'end') {
    guest.unmount();
    parentPort?.close();
    return;
  }
  parentPort?.postMessage(run(order));
});
parentPort?.postMessage('ready');
