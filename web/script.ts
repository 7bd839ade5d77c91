/** The run, step by step, whoever does the work. */
import type { Casualty, Crew, GuestProgress } from './crew.ts';
import { bytesCopied, phaseReport, type ReadPass, type RunReport, sum, type TerminatedReport } from './report.ts';
import { GUESTS, STEPS, type TaskResults } from './tasks.ts';

export type Phase = 'start' | 'prepare' | 'write' | 'check' | 'dax' | 'noDax' | 'speed' | 'done';

export interface Watch {
  enter(phase: Phase): void;
  progress: GuestProgress;
}

/** How often each way of reading is timed. */
const TURNS = 3;

export interface ScriptOptions {
  /** Whether one more guest is terminated in the middle of the write phase. */
  readonly casualty: boolean;
}

/** Runs all phases; the crew is stopped in any case. */
export async function runScript(crew: Crew, options: ScriptOptions, watch: Watch): Promise<RunReport> {
  const start = performance.now();
  const progress: GuestProgress = (self, done, total) => watch.progress(self, done, total);
  try {
    watch.enter('prepare');
    await crew.mount(true);
    const { bytes: dataBytes } = await crew.runOne({ type: 'prepare' }, progress);
    watch.enter('write');
    const { written, terminated } = await writePhase(crew, options, progress);
    await crew.unmount();
    watch.enter('check');
    await crew.mount(true);
    const outcomes = written.map((each) => each.outcome);
    const checked = await crew.runOne({ type: 'check', outcomes }, progress);
    await crew.unmount();
    const dax = await readPhase(crew, true, watch);
    const noDax = await readPhase(crew, false, watch);
    const speed = await speedPhase(crew, watch);
    const host = await crew.stop();
    watch.enter('done');
    return {
      mode: crew.mode,
      guests: written.map(({ outcome, stats }, self) => ({
        ...outcome,
        files: dax.verified[self]?.files ?? 0,
        bytes: dax.verified[self]?.bytes ?? 0,
        mappingsSetUp: stats.mappings.setUp + (dax.verified[self]?.stats.mappings.setUp ?? 0),
      })),
      write: writeReport(written, checked),
      read: {
        windowBytes: crew.windowBytes,
        dataBytes,
        mismatches: dax.pass.mismatches + noDax.pass.mismatches,
        dax: dax.pass,
        noDax: noDax.pass,
        mbPerSecond: speed,
      },
      terminated,
      seconds: (performance.now() - start) / 1000,
      host,
    };
  } catch (error) {
    await crew.stop();
    throw error;
  }
}

interface WritePhase {
  readonly written: readonly TaskResults['write'][];
  readonly terminated: TerminatedReport | undefined;
}

async function writePhase(crew: Crew, options: ScriptOptions, progress: GuestProgress): Promise<WritePhase> {
  const casualty: Casualty | undefined = options.casualty ? await crew.startCasualty?.() : undefined;
  const done = new Array<number>(GUESTS).fill(0);
  const othersTotal = GUESTS * STEPS;
  let ending: Promise<void> | undefined;
  let terminated: TerminatedReport | undefined;
  const written = await crew.runAll({ type: 'write' }, (self, steps, total) => {
    progress(self, steps, total);
    done[self] = steps;
    if (casualty === undefined || ending !== undefined || sum(done, (each) => each) < othersTotal / 4) return;
    ending = casualty.terminate().then(() => {
      terminated = { steps: casualty.steps, othersAt: sum(done, (each) => each), othersTotal };
    });
  });
  await ending;
  return { written, terminated };
}

function writeReport(written: readonly TaskResults['write'][], checked: TaskResults['check']): RunReport['write'] {
  const outcomes = written.map((each) => each.outcome);
  const stats = written.map((each) => each.stats);
  return {
    ...phaseReport(checked.wrong, stats),
    created: sum(outcomes, (each) => each.created),
    renamed: sum(outcomes, (each) => each.renamed),
    deleted: sum(outcomes, (each) => each.deleted),
    files: checked.files,
    counter: { expected: GUESTS * STEPS, actual: checked.counter },
    seconds: Math.max(...written.map((each) => each.ms)) / 1000,
  };
}

interface ReadPhase {
  readonly pass: ReadPass;
  readonly verified: readonly TaskResults['verify'][];
}

async function readPhase(crew: Crew, dax: boolean, watch: Watch): Promise<ReadPhase> {
  watch.enter(dax ? 'dax' : 'noDax');
  const progress: GuestProgress = (self, done, total) => watch.progress(self, done, total);
  await crew.mount(dax);
  const verified = await crew.runAll({ type: 'verify' }, progress);
  await crew.unmount();
  const stats = verified.map((each) => each.stats);
  const wrong = verified.flatMap((each) => each.wrong);
  const bytes = sum(verified, (each) => each.bytes);
  const pass: ReadPass = {
    ...phaseReport(wrong, stats),
    files: sum(verified, (each) => each.files),
    bytes,
    bytesCopiedPerByteRead: bytesCopied(stats) / bytes,
  };
  return { pass, verified };
}

/** Reads everything with DAX and without, in turns; the medians of the rates. */
async function speedPhase(crew: Crew, watch: Watch): Promise<{ dax: number; noDax: number }> {
  watch.enter('speed');
  const progress: GuestProgress = (self, done, total) => watch.progress(self, done, total);
  const rates = { dax: [] as number[], noDax: [] as number[] };
  for (let turn = 0; turn < TURNS; turn++) {
    for (const way of ['dax', 'noDax'] as const) {
      await crew.mount(way === 'dax');
      const timed = await crew.runAll({ type: 'time' }, progress);
      await crew.unmount();
      const ms = Math.max(...timed.map((each) => each.endMs)) - Math.min(...timed.map((each) => each.startMs));
      rates[way].push(sum(timed, (each) => each.bytes) / 1000 / Math.max(ms, 0.001));
    }
  }
  return { dax: median(rates.dax), noDax: median(rates.noDax) };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}
