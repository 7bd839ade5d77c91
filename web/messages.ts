/** What the page and its workers say to each other. */
import type { Attachment } from '../src/index.ts';
import type { RunReport } from './report.ts';
import type { Phase } from './script.ts';
import type { Task } from './tasks.ts';

/** From the page to a guest's worker; each is answered with `done` or `failed`. */
export type ToGuest =
  /** Hold this Web Lock until the worker ends. */
  | { readonly type: 'hold'; readonly lock: string }
  | { readonly type: 'mount'; readonly attachment: Attachment; readonly dax: boolean }
  | { readonly type: 'task'; readonly self: number; readonly task: Task }
  | { readonly type: 'disturb' }
  | { readonly type: 'unmount' };

export type FromGuest =
  | { readonly type: 'progress'; readonly done: number; readonly total: number }
  | { readonly type: 'done'; readonly value: unknown }
  | { readonly type: 'failed'; readonly message: string };

/** From the worker that runs host and guests in its one thread. */
export type FromInline =
  | { readonly type: 'phase'; readonly phase: Phase }
  | { readonly type: 'progress'; readonly self: number; readonly done: number; readonly total: number }
  | { readonly type: 'report'; readonly report: RunReport }
  | { readonly type: 'failed'; readonly message: string };
