/** A guest of the demo: mounts, does its job, reports, ends. */
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import type { Guest } from '../../guest/guest.ts';
import { mount } from '../../worker/mount.ts';
import type { GuestMessage, GuestTask, ReadJob, ReadResult, Sum } from './messages.ts';
import { type Found, readThrough, walk, writeShare } from './workload.ts';

const BUFFER_SIZE = 128 * 1024;
const PROGRESS_EVERY = 100;

const task = workerData as GuestTask;
const say = (message: GuestMessage): void => parentPort?.postMessage(message);

try {
  const { job } = task;
  const guest = mount(task.attachment, job.type === 'read' ? { dax: job.dax ? 'always' : 'never' } : {});
  if (job.type === 'read') {
    const found = walk(guest, '/');
    // All guests start reading together, so that the walk does not count.
    say({ type: 'ready' });
    parentPort?.once('message', () => {
      report(() => say({ type: 'read', result: readShare(guest, job, found) }));
      guest.unmount();
      parentPort?.close();
    });
  } else {
    const result = writeShare(guest, task.self, job.steps, progress);
    say({ type: 'write', result, stats: guest.stats });
    guest.unmount();
  }
} catch (error) {
  complain(error);
}

function readShare(guest: Guest, job: ReadJob, found: readonly Found[]): ReadResult {
  const next = new Int32Array(job.next);
  const buffer = new Uint8Array(BUFFER_SIZE);
  const sums: Sum[] = [];
  let files = 0;
  let bytes = 0;
  // ORDER: taking a number is all that is shared; nothing is published by it.
  for (let i = Atomics.add(next, 0, 1); i < found.length; i = Atomics.add(next, 0, 1)) {
    const { path, type } = found[i] as Found;
    files++;
    if (type === 'link') {
      if (job.sums) sums.push({ path, sum: guest.readlink(path) });
    } else if (job.sums) {
      const hash = createHash('sha256');
      bytes += readThrough(guest, path, buffer, (piece) => void hash.update(piece));
      sums.push({ path, sum: hash.digest('hex') });
    } else bytes += readThrough(guest, path, buffer, () => {});
    progress(files);
  }
  return { found: found.length, files, bytes, sums, stats: guest.stats };
}

function progress(done: number): void {
  if (done % PROGRESS_EVERY === 0) say({ type: 'progress', done });
}

function report(body: () => void): void {
  try {
    body();
  } catch (error) {
    complain(error);
  }
}

function complain(error: unknown): void {
  say({ type: 'error', text: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
