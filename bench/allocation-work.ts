/** What the allocation benchmark tells its guests, and what they answer. */
import type { Allocation, ReclaimMode } from '../src/guest/options.ts';
import type { Attachment } from '../src/worker/host.ts';

export const RANGE = 2 << 20;
export const BLOCK = 4096;

export type Pattern = 'sequential' | 'random' | 'zipf' | 'files' | 'pinned';

export interface GuestSetup {
  readonly attachment: Attachment;
  readonly allocation: Allocation;
  readonly reclaim: ReclaimMode;
  /** Ranges that the accesses touch, and ranges of the window. */
  readonly workingSet: number;
  readonly windowRanges: number;
  /** Whether this guest makes the files, before anybody else looks: bytes of the large one, of each small one. */
  readonly creates: { readonly large: number; readonly small: number } | undefined;
}

export interface Run {
  readonly pattern: Pattern;
  readonly accesses: number;
  readonly seed: number;
}

export interface RunResult {
  readonly nsPerAccess: number;
  readonly p99Ns: number;
  /** Per access. */
  readonly requests: number;
  readonly stalls: number;
  /** In all. */
  readonly recalled: number;
  readonly givenBack: number;
  readonly refused: number;
  /** Accesses that no range could be had for. */
  readonly withoutRange: number;
}
