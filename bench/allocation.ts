/**
 * Who should allocate the mapping? The question of linux-fsdevel, March 2020: the client names a window offset
 * (SETUPMAPPING), or the server answers with one (MAP) and must ask for ranges back when it runs out. Both, and the
 * combination, on the same accesses in the same run; the client's own allocation is the reference.
 */
import type { Allocation, ReclaimMode } from '../src/guest/options.ts';
import { createHost, type Host } from '../src/worker/host.ts';
import { type GuestSetup, type Pattern, RANGE, type Run, type RunResult } from './allocation-work.ts';
import { quantile, type Row } from './harness.ts';
import { type Asked, startWorker } from './workers.ts';

const WORKING_SET = 32;
const GUESTS = 3;
const ACCESSES = 2000;
const ROUNDS = 4;
const SMALL = 16 * 1024;
const PATTERNS: readonly Pattern[] = ['sequential', 'random', 'zipf', 'files', 'pinned'];
const WINDOWS: readonly (readonly [label: string, ranges: number])[] = [
  ['2×', WORKING_SET * 2],
  ['1×', WORKING_SET],
  ['½', WORKING_SET / 2],
  ['⅛', WORKING_SET / 8],
];

interface Contender {
  readonly name: string;
  readonly allocation: Allocation;
  readonly reclaim: ReclaimMode;
  /** See the host's option. */
  readonly recallBelow: number;
}

const REFERENCE: Contender = { name: 'client', allocation: 'client', reclaim: 'inline', recallBelow: 0 };
const CONTENDERS: readonly Contender[] = [
  REFERENCE,
  { name: 'client, background reclaim', allocation: 'client', reclaim: 'background', recallBelow: 0 },
  { name: 'server, a fifth kept free', allocation: 'server', reclaim: 'inline', recallBelow: 0.2 },
  { name: 'server, recalls when out', allocation: 'server', reclaim: 'inline', recallBelow: 0 },
  { name: 'combined', allocation: 'combined', reclaim: 'inline', recallBelow: 0 },
];

type Guest = Asked<Run | 'end', RunResult>;

export async function allocation(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [label, ranges] of WINDOWS) {
    const hosts: Host[] = [];
    const guests = new Map<Contender, Guest[]>();
    try {
      for (const contender of CONTENDERS) guests.set(contender, await start(hosts, contender, ranges));
      for (const pattern of PATTERNS) {
        for (const count of [1, GUESTS]) rows.push(...(await compare(pattern, label, count, guests)));
      }
    } finally {
      for (const guest of [...guests.values()].flat()) await guest.end();
      for (const host of hosts) await host.stop();
    }
  }
  return rows;
}

/** One workload by everybody in turns; `count` guests at once. */
async function compare(pattern: Pattern, window: string, count: number, guests: ReadonlyMap<Contender, Guest[]>) {
  const results = new Map<Contender, RunResult[]>(CONTENDERS.map((contender) => [contender, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const contender of round % 2 === 0 ? CONTENDERS : CONTENDERS.toReversed()) {
      const used = (guests.get(contender) ?? []).slice(0, count);
      const all = await Promise.all(
        used.map((guest, i) => guest.ask({ pattern, accesses: ACCESSES, seed: round * GUESTS + i + 1 })),
      );
      if (round > 0) results.get(contender)?.push(mean(all));
    }
  }
  const theirs = results.get(REFERENCE) ?? [];
  const label = `${pattern}, window ${window} of the set, ${count === 1 ? '1 guest' : `${count} guests`}`;
  return CONTENDERS.filter((contender) => contender !== REFERENCE).map((contender) =>
    rowOf(`${label}: ${contender.name}`, results.get(contender) ?? [], theirs),
  );
}

function rowOf(label: string, ours: readonly RunResult[], theirs: readonly RunResult[]): Row {
  const ratios = ours.map((result, i) => (theirs[i] as RunResult).nsPerAccess / result.nsPerAccess);
  return {
    bench: 'allocation',
    case: label,
    unit: 'ns/op',
    ours: median(ours, 'nsPerAccess'),
    reference: 'client, inline reclaim',
    theirs: median(theirs, 'nsPerAccess'),
    ratio: quantile(ratios, 0.5),
    better: 'higher',
    goal: null,
    spread: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    details: { ours: details(ours), theirs: details(theirs) },
  };
}

function details(results: readonly RunResult[]): Record<string, number> {
  const keys = ['p99Ns', 'requests', 'stalls', 'recalled', 'givenBack', 'refused', 'withoutRange'] as const;
  return Object.fromEntries(keys.map((key) => [key, median(results, key)]));
}

function median(results: readonly RunResult[], key: keyof RunResult): number {
  return quantile(
    results.map((result) => result[key]),
    0.5,
  );
}

function mean(results: readonly RunResult[]): RunResult {
  const keys = Object.keys(results[0] as RunResult) as (keyof RunResult)[];
  const sum = (key: keyof RunResult) => results.reduce((total, result) => total + result[key], 0) / results.length;
  return Object.fromEntries(keys.map((key) => [key, sum(key)])) as unknown as RunResult;
}

/** A host of its own for each contender: the files are shared by its guests, the windows are not. */
async function start(
  hosts: Host[],
  { allocation: by, reclaim, recallBelow }: Contender,
  ranges: number,
): Promise<Guest[]> {
  const host = await createHost({
    fs: 'memory',
    cacheSize: (WORKING_SET + 8) * RANGE,
    windowSize: ranges * RANGE,
    guests: GUESTS,
    dataSize: 128 * 1024,
    recallBelow,
  });
  hosts.push(host);
  const guests: Guest[] = [];
  for (let i = 0; i < GUESTS; i++) {
    const setup: GuestSetup = {
      attachment: host.attach(),
      allocation: by,
      reclaim,
      workingSet: WORKING_SET,
      windowRanges: ranges,
      creates: i === 0 ? { large: WORKING_SET * RANGE, small: SMALL } : undefined,
    };
    guests.push(await startWorker('bench-allocation', setup));
  }
  return guests;
}
