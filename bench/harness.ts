/**
 * How everything here is measured: ours and the reference in turns in the same run, many rounds, the median of the
 * rounds' ratios with its spread. Ratios travel from machine to machine; times do not.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';

export interface Row {
  readonly bench: string;
  readonly case: string;
  readonly unit: string;
  readonly ours: number;
  readonly reference: string;
  readonly theirs: number;
  /** Higher is better for us: theirs / ours for times, ours / theirs for rates. */
  readonly ratio: number;
  readonly better: 'higher';
  /** What the ratio should reach; null where there is no goal. */
  readonly goal: number | null;
  /** The first and third quartile of the rounds' ratios. */
  readonly spread: readonly [number, number];
  /** The same ratio as somebody else published it, on a machine of theirs. */
  readonly published?: number;
  /** What else was counted or timed, on both sides. */
  readonly details?: {
    readonly ours: Readonly<Record<string, number>>;
    readonly theirs: Readonly<Record<string, number>>;
  };
}

export interface Measurement {
  readonly bench: string;
  readonly case: string;
  readonly reference: string;
  readonly goal: number | null;
  readonly rounds: number;
  /** Runs one round and returns nanoseconds per operation. */
  readonly ours: () => number;
  readonly theirs: () => number;
}

/** Measures nanoseconds per operation, in turns; the first round warms up and does not count. */
export function measure(measurement: Measurement): Row {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round <= measurement.rounds; round++) {
    // Who goes first changes from round to round, so that neither always finds the caches warm.
    const first = round % 2 === 0 ? measurement.ours() : measurement.theirs();
    const second = round % 2 === 0 ? measurement.theirs() : measurement.ours();
    if (round === 0) continue;
    ours.push(round % 2 === 0 ? first : second);
    theirs.push(round % 2 === 0 ? second : first);
  }
  const ratios = ours.map((each, i) => (theirs[i] as number) / each);
  return {
    bench: measurement.bench,
    case: measurement.case,
    unit: 'ns/op',
    ours: quantile(ours, 0.5),
    reference: measurement.reference,
    theirs: quantile(theirs, 0.5),
    ratio: quantile(ratios, 0.5),
    better: 'higher',
    goal: measurement.goal,
    spread: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
  };
}

/** Times `count` calls of `operation`, which gets the number of the call. */
export function nsPerOp(count: number, operation: (i: number) => void): number {
  const start = process.hrtime.bigint();
  for (let i = 0; i < count; i++) operation(i);
  return Number(process.hrtime.bigint() - start) / count;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

export interface Report {
  readonly machine: {
    readonly cores: number;
    readonly cpu: string;
    readonly node: string;
    readonly platform: string;
    /** Load average over one minute, before and after. */
    readonly load: readonly [number, number];
  };
  readonly rows: readonly Row[];
}

export function makeReport(rows: readonly Row[], loadBefore: number): Report {
  const machine = {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    load: [loadBefore, loadavg()[0] ?? 0] as const,
  };
  return { machine, rows };
}

export function formatRows(rows: readonly Row[]): string {
  const lines = [['bench', 'case', 'ours ns', 'reference', 'theirs ns', 'ratio', 'spread', 'goal', 'published']];
  for (const row of rows) {
    const spread = `${row.spread[0].toFixed(2)}–${row.spread[1].toFixed(2)}`;
    const goal = row.goal === null ? '' : `≥ ${row.goal.toFixed(2)} ${row.ratio >= row.goal ? 'met' : 'MISSED'}`;
    const times = [row.ours.toFixed(0), row.reference, row.theirs.toFixed(0), row.ratio.toFixed(2)];
    lines.push([row.bench, row.case, ...times, spread, goal, row.published?.toFixed(1) ?? '']);
  }
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length))) ?? [];
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
