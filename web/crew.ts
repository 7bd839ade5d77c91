/** Those who do the page's work: a host and its guests, in workers or in one thread. */
import type { HostReport } from '../src/index.ts';
import type { Task, TaskResults } from './tasks.ts';

export type GuestProgress = (self: number, done: number, total: number) => void;

export interface Crew {
  readonly mode: 'workers' | 'inline';
  /** Bytes of each guest's window. */
  readonly windowBytes: number;
  /** All guests mount, with a window or without. */
  mount(dax: boolean): Promise<void>;
  /** The task on the first guest. */
  runOne<T extends keyof TaskResults>(task: TaskOf<T>, progress: GuestProgress): Promise<TaskResults[T]>;
  /** The task on all guests at once. */
  runAll<T extends keyof TaskResults>(task: TaskOf<T>, progress: GuestProgress): Promise<TaskResults[T][]>;
  unmount(): Promise<void>;
  /** Starts one more guest, to be terminated; only workers can be. Resolves when it is in the middle of its work. */
  startCasualty?(): Promise<Casualty>;
  /** Ends everything, also after a failure. */
  stop(): Promise<HostReport | undefined>;
}

export type TaskOf<T extends keyof TaskResults> = Extract<Task, { type: T }>;

export interface Casualty {
  /** How far it came. */
  readonly steps: number;
  /** Terminates its worker; resolves when the browser has ended it and the host has its slot back. */
  terminate(): Promise<void>;
}

export const CREW_OPTIONS = { fs: 'memory', cacheSize: 96 << 20, windowSize: 8 << 20 } as const;
