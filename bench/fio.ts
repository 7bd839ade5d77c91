/**
 * The 24 workloads of the virtio-fs DAX cover letter of March 2020: 4 KiB blocks, in order or at random, read or
 * written, by psync, mmap and libaio (depth 16), by one job or four. cache=none is the reference; DAX, auto and always
 * are ours. Jobs are guests of their own; so are CPUs of ours two, where theirs were 64.
 *
 * A guest of 2020 slept while it waited, and an exit to the hypervisor stood on each end. Ours may spin: then a request
 * costs a microsecond, and DAX has less to win. So each workload is measured twice: `asleep` as then, `awake` as we do.
 */
import { createHost, type Host } from '../src/worker/host.ts';
import type { CacheMode } from '../src/worker/host-options.ts';
import { PUBLISHED } from './fio-published.ts';
import type { JobSetup, Workload } from './fio-worker.ts';
import { quantile, type Row } from './harness.ts';
import { type Asked, startWorker } from './workers.ts';

const MIB = 1 << 20;
const FILE_SIZE = 16 * MIB;
const JOBS = 4;
const ROUNDS = 3;
const DURATION_MS = 120;
const AWAKE_SPINS = 2000;
/** The best of the published ratios, for synchronous reads and writes. */
const GOALS: Readonly<Record<string, number>> = { 'read-psync': 18, 'write-psync': 15 };

type Config = 'none' | 'none+dax' | 'auto' | 'always';
const CONFIGS: readonly Config[] = ['none', 'none+dax', 'auto', 'always'];
const WAITS = ['asleep', 'awake'] as const;
type Wait = (typeof WAITS)[number];

type Job = Asked<Workload | 'end', number>;

export async function fio(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const wait of WAITS) {
    const hosts: Host[] = [];
    const jobs = new Map<Config, Job[]>();
    try {
      for (const config of CONFIGS) jobs.set(config, await startJobs(hosts, config, wait));
      for (const name of Object.keys(PUBLISHED)) rows.push(...(await measureWorkload(name, wait, jobs)));
    } finally {
      for (const job of [...jobs.values()].flat()) await job.end();
      for (const host of hosts) await host.stop();
    }
  }
  return rows;
}

/** One workload with every configuration in turns. */
async function measureWorkload(name: string, wait: Wait, jobs: ReadonlyMap<Config, Job[]>): Promise<Row[]> {
  const rates = new Map<Config, number[]>(CONFIGS.map((config) => [config, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const config of round % 2 === 0 ? CONFIGS : CONFIGS.toReversed()) {
      const rate = await runOnce(name, round, jobs.get(config) ?? []);
      if (round > 0) rates.get(config)?.push(rate);
    }
  }
  // Without a window or a cache there is no shared mapping: what auto reaches is the reference then.
  const reference: Config = (rates.get('none')?.[0] ?? 0) > 0 ? 'none' : 'auto';
  return CONFIGS.filter((config) => config !== reference && config !== 'none').map((config) =>
    rowOf(name, wait, config, rates.get(config) ?? [], reference, rates.get(reference) ?? []),
  );
}

async function runOnce(name: string, seed: number, all: readonly Job[]): Promise<number> {
  const [pattern = '', engine = ''] = name.split('-');
  const workload: Workload = {
    engine: engine as Workload['engine'],
    isRandom: pattern.startsWith('rand'),
    isWrite: pattern.endsWith('write'),
    durationMs: DURATION_MS,
    seed,
  };
  const used = name.endsWith('-multi') ? all : all.slice(0, 1);
  const rates = await Promise.all(used.map((job, i) => job.ask({ ...workload, seed: seed * JOBS + i + 1 })));
  return rates.reduce((sum, rate) => sum + rate, 0);
}

function rowOf(name: string, wait: Wait, config: Config, ours: number[], reference: Config, theirs: number[]): Row {
  const [none, dax] = PUBLISHED[name] ?? [0, 0];
  const ratios = ours.map((rate, i) => rate / (theirs[i] as number));
  const goal = config === 'none+dax' && wait === 'asleep' ? (GOALS[name.replace(/^(seq|rand)/, '')] ?? null) : null;
  return {
    bench: 'fio',
    case: `${name}, ${config}, ${wait}`,
    unit: 'ns/op',
    ours: 1e9 / quantile(ours, 0.5),
    reference: `cache=${reference}`,
    theirs: 1e9 / quantile(theirs, 0.5),
    ratio: quantile(ratios, 0.5),
    better: 'higher',
    goal,
    spread: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    ...(config === 'none+dax' && none > 0 ? { published: dax / none } : {}),
  };
}

/** A host for one cache mode, with a file and a guest for each job. `none` and `none+dax` differ in their guests. */
async function startJobs(hosts: Host[], config: Config, wait: Wait): Promise<Job[]> {
  const isDax = config === 'none+dax';
  const cache = (isDax ? 'none' : config) as CacheMode;
  const host = await createHost({
    fs: 'memory',
    cache,
    cacheSize: (JOBS + 1) * FILE_SIZE,
    windowSize: 2 * FILE_SIZE,
    guests: JOBS,
    dataSize: 256 * 1024,
  });
  hosts.push(host);
  const hasPages = cache !== 'none';
  const jobs: Job[] = [];
  for (let i = 0; i < JOBS; i++) {
    const setup: JobSetup = {
      attachment: host.attach(),
      options: { dax: isDax ? 'always' : 'never', pageCacheSize: hasPages ? FILE_SIZE + MIB : 0 },
      spins: wait === 'awake' ? AWAKE_SPINS : 0,
      file: `/job${i}`,
      fileSize: FILE_SIZE,
      usesQueue: !isDax,
    };
    jobs.push(await startWorker('bench-fio', setup));
  }
  return jobs;
}
