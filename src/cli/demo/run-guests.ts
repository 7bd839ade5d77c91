/** Starts guest workers on a host, gives them a job, and collects what they report. */
import { Worker } from 'node:worker_threads';
import type { Host } from '../../worker/host.ts';
import type { GuestMessage, GuestTask, ReadJob, WriteJob } from './messages.ts';

export interface Run<T> {
  readonly results: readonly T[];
  /** From the start signal to the last report. */
  readonly ms: number;
}

/** Runs `count` guests to their end. Rejects when one fails. */
export async function runGuests<T extends 'read' | 'write'>(
  host: Host,
  count: number,
  job: Extract<ReadJob | WriteJob, { type: T }>,
  onProgress: (done: number) => void,
): Promise<Run<Extract<GuestMessage, { type: T }>>> {
  const done = new Array<number>(count).fill(0);
  const guests = Array.from({ length: count }, (_, self) => startGuest(host, self, job));
  try {
    if (job.type === 'read') await Promise.all(guests.map((guest) => guest.ready));
    const start = performance.now();
    for (const [self, guest] of guests.entries()) {
      guest.onProgress = (files) => {
        done[self] = files;
        onProgress(done.reduce((sum, each) => sum + each, 0));
      };
      if (job.type === 'read') guest.worker.postMessage('go');
    }
    const results = (await Promise.all(guests.map((guest) => guest.result))) as Extract<GuestMessage, { type: T }>[];
    const ms = performance.now() - start;
    await Promise.all(guests.map((guest) => guest.ended));
    return { results, ms };
  } finally {
    for (const guest of guests) void guest.worker.terminate();
  }
}

interface RunningGuest {
  readonly worker: Worker;
  readonly ready: Promise<void>;
  readonly result: Promise<GuestMessage>;
  readonly ended: Promise<void>;
  onProgress: (done: number) => void;
}

function startGuest(host: Host, self: number, job: ReadJob | WriteJob): RunningGuest {
  const attachment = host.attach();
  const task: GuestTask = { attachment, self, job };
  const worker = new Worker(new URL('./demo-guest.js', import.meta.url), { workerData: task });
  let ready = () => {};
  let resolve: (message: GuestMessage) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const guest: RunningGuest = {
    worker,
    ready: new Promise((done) => {
      ready = done;
    }),
    result: new Promise((done, fail) => {
      resolve = done;
      reject = fail;
    }),
    ended: new Promise((done) => {
      worker.once('exit', () => {
        host.detach(attachment);
        done();
      });
    }),
    onProgress: () => {},
  };
  worker.on('message', (message: GuestMessage) => {
    if (message.type === 'ready') ready();
    else if (message.type === 'progress') guest.onProgress(message.done);
    else if (message.type === 'error') reject(new Error(`guest ${self}: ${message.text}`));
    else resolve(message);
    if (message.type === 'error') ready();
  });
  worker.once('error', reject);
  worker.once('exit', () => reject(new Error(`guest ${self} ended without a report`)));
  return guest;
}
