/** The run, step by step, whoever does the work. */
import type { Casualty, Crew, GuestProgress } from './crew.ts';
import { bytesCopied, phaseReport, type ReadPass, type RunReport, sum, type TerminatedReport } from './report.ts';
import { GUESTS, STEPS, type TaskResults } from './tasks.ts';

export type Phase = 'start' | 'prepare' | 'write' | 'check' | 'dax' | 'noDax' | 'done';

export interface Watch {
  enter(phase: Phase): void;
  progress: GuestProgress;
}

export interface ScriptOptions {
  /** Whether one more guest is terminated in the middle of the write phase. */
  readonly casualty: boolean;
}

/** Runs all phases; the crew is stopped in any case. */
export async function runScript(crew: Crew, options: ScriptOptions, watch: Watch): Promise<RunReport> {
  const start = performance.now();
  try {
    watch.enter('prepare');
    await crew.mount(true);
    const { bytes: dataBytes } = await crew.runOne({ type: 'prepare' }, watch.progress);
    watch.enter('write');
    const { written, terminated } = await writePhase(crew, options, watch.progress);
    await crew.unmount();
    watch.enter('check');
    await crew.mount(true);
    const outcomes = written.map((each) => each.outcome);
    const checked = await crew.runOne({ type: 'check', outcomes }, watch.progress);
    await crew.unmount();
    const dax = await readPhase(crew, true, watch);
    const noDax = await readPhase(crew, false, watch);
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
    const othersAt = sum(done, (each) => each);
    if (casualty === undefined || ending !== undefined || othersAt < othersTotal / 4) return;
    terminated = { steps: casualty.steps, othersAt, othersTotal };
    ending = casualty.terminate();
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
  await crew.mount(dax);
  const verified = await crew.runAll({ type: 'verify' }, watch.progress);
  const timed = await crew.runAll({ type: 'time' }, watch.progress);
  await crew.unmount();
  const stats = verified.map((each) => each.stats);
  const bytes = sum(verified, (each) => each.bytes);
  const ms = Math.max(...timed.map((each) => each.endMs)) - Math.min(...timed.map((each) => each.startMs));
  const pass: ReadPass = {
    ...phaseReport(
      verified.flatMap((each) => each.wrong),
      stats,
    ),
    files: sum(verified, (each) => each.files),
    bytes,
    bytesCopiedPerByteRead: bytesCopied(stats) / bytes,
    mbPerSecond: sum(timed, (each) => each.bytes) / 1000 / Math.max(ms, 0.001),
  };
  return { pass, verified };
}
