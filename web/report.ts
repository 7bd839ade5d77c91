/** What a run of the page has to show, as JSON: named as in the report of `virtiofs demo --json`. */
import type { GuestStats, HostReport } from '../src/index.ts';

export interface RunReport {
  readonly mode: 'workers' | 'inline';
  readonly guests: readonly GuestReport[];
  readonly write: WriteReport;
  readonly read: ReadReport;
  /** The guest that was terminated in the middle, if that was asked for. */
  readonly terminated: TerminatedReport | undefined;
  readonly seconds: number;
  readonly host: HostReport | undefined;
}

/** Everything the page puts on `window.virtiofsResult`. */
export interface PageResult extends RunReport {
  readonly crossOriginIsolated: boolean;
  /** Why there is no shared memory. */
  readonly isolationError: string | undefined;
}

export interface GuestReport {
  readonly created: number;
  readonly renamed: number;
  readonly deleted: number;
  readonly locksWon: number;
  readonly files: number;
  readonly bytes: number;
  readonly mappingsSetUp: number;
}

export interface PhaseReport {
  readonly mismatches: number;
  readonly wrong: readonly string[];
  readonly requests: Readonly<Record<string, number>>;
  readonly mappings: {
    readonly setUp: number;
    readonly upgraded: number;
    /** Replaced by a mapping of another file, because the window was full. */
    readonly reclaimed: number;
    readonly removed: number;
  };
  readonly pageFaults: number;
}

export interface WriteReport extends PhaseReport {
  readonly created: number;
  readonly renamed: number;
  readonly deleted: number;
  /** Files of the final tree. */
  readonly files: number;
  /** The word that all guests counted in through their mappings. */
  readonly counter: { readonly expected: number; readonly actual: number };
  readonly seconds: number;
}

export interface ReadReport {
  readonly windowBytes: number;
  readonly dataBytes: number;
  readonly mismatches: number;
  readonly dax: ReadPass;
  readonly noDax: ReadPass;
  /** All guests together, medians of several turns. */
  readonly mbPerSecond: { readonly dax: number; readonly noDax: number };
}

export interface ReadPass extends PhaseReport {
  readonly files: number;
  readonly bytes: number;
  readonly bytesCopiedPerByteRead: number;
}

export interface TerminatedReport {
  /** How far it came. */
  readonly steps: number;
  /** Steps that all the others together had done when it had ended. */
  readonly othersAt: number;
  readonly othersTotal: number;
}

/** What all phases report in the same way. */
export function phaseReport(wrong: readonly string[], stats: readonly GuestStats[]): PhaseReport {
  return {
    mismatches: wrong.length,
    wrong,
    requests: sumRequests(stats),
    mappings: {
      setUp: sum(stats, (each) => each.mappings.setUp),
      upgraded: sum(stats, (each) => each.mappings.upgraded),
      reclaimed: sum(stats, (each) => each.mappings.reclaimed),
      removed: sum(stats, (each) => each.mappings.removed),
    },
    pageFaults: sum(stats, (each) => each.faults),
  };
}

/** Bytes moved from the host's pages to the program's buffer: once through the window, twice by READ. */
export function bytesCopied(stats: readonly GuestStats[]): number {
  return sum(stats, ({ bytes }) => bytes.readDax + 2 * bytes.readFuse);
}

export function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

function sumRequests(stats: readonly GuestStats[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const { requests } of stats) {
    for (const [name, count] of Object.entries(requests)) total[name] = (total[name] ?? 0) + count;
  }
  return Object.fromEntries(Object.entries(total).sort((a, b) => b[1] - a[1]));
}
