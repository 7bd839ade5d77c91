/** What the demo's main thread and its guest workers say to each other. */
import type { GuestStats } from '../../guest/counters.ts';
import type { Attachment } from '../../worker/host.ts';
import type { WriteOutcome } from './workload.ts';

export interface GuestTask {
  readonly attachment: Attachment;
  readonly self: number;
  readonly job: ReadJob | WriteJob;
}

/** Read the files of the tree that nobody else has taken: the next index is a shared counter. */
export interface ReadJob {
  readonly type: 'read';
  readonly dax: boolean;
  /** One shared word: the index of the next file nobody has taken. */
  readonly next: SharedArrayBuffer;
  /** Whether to make SHA-256 sums; without, only the reading is timed. */
  readonly sums: boolean;
}

export interface WriteJob {
  readonly type: 'write';
  readonly steps: number;
}

export interface Sum {
  readonly path: string;
  /** SHA-256 in hex, or the target of a symbolic link. */
  readonly sum: string;
}

export type GuestMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'progress'; readonly done: number }
  | { readonly type: 'read'; readonly result: ReadResult }
  | { readonly type: 'write'; readonly result: WriteOutcome; readonly stats: GuestStats }
  | { readonly type: 'error'; readonly text: string };

export interface ReadResult {
  /** Files in the tree, as this guest's walk found them. */
  readonly found: number;
  /** Files and links this guest read, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  readonly sums: readonly Sum[];
  readonly stats: GuestStats;
}
