/** One job of the fio table, in a worker of its own: mounts, opens its file, runs what it is told. */
import { parentPort, workerData } from 'node:worker_threads';
import { SystemClock } from '../src/base/clock.ts';
import { Prng } from '../src/base/prng.ts';
import { instantiate } from '../src/dax/instantiate.ts';
import type { Mapping } from '../src/guest/mapping.ts';
import type { File } from '../src/guest/open-file.ts';
import { connect } from '../src/worker/connect.ts';
import type { Attachment } from '../src/worker/host.ts';
import { type MountOptions, mountConnection } from '../src/worker/mount.ts';
import { type AsyncFile, AsyncQueue } from './fio-queue.ts';

export const BLOCK = 4096;
export const DEPTH = 16;

export interface JobSetup {
  readonly attachment: Attachment;
  readonly options: Omit<MountOptions, 'clock'>;
  /** Looks at the ring before sleeping. */
  readonly spins: number;
  readonly file: string;
  readonly fileSize: number;
  /** libaio: requests at a depth. Without, the engine goes through the window, which has no depth. */
  readonly usesQueue: boolean;
}

export interface Workload {
  readonly engine: 'psync' | 'mmap' | 'libaio';
  readonly isRandom: boolean;
  readonly isWrite: boolean;
  readonly durationMs: number;
  readonly seed: number;
}

/** Blocks per second; 0 = this cannot be done so. */
export type JobResult = number;

const setup = workerData as JobSetup;
const { attachment, fileSize } = setup;
const clock = new SystemClock();
const connection = connect({
  buffer: attachment.memory.buffer,
  wasm: instantiate(attachment.module, attachment.memory),
  map: attachment.map,
  slot: attachment.slot,
  generation: attachment.generation,
  clock,
  spins: setup.spins,
  notifications: true,
});
const guest = mountConnection(connection, { ...setup.options, clock });
const file = createFile();
const queue = setup.usesQueue ? new AsyncQueue(connection, attachment, DEPTH, BLOCK) : undefined;
const buffer = new Uint8Array(BLOCK).fill(7);

function run(workload: Workload): JobResult {
  const next = positions(workload);
  if (workload.engine === 'mmap') return runMapped(workload, next);
  if (workload.engine === 'libaio' && queue !== undefined) return runQueue(queue, workload, next);
  return timed(workload, () => {
    const pos = next();
    if (workload.isWrite) file.write(buffer, 0, BLOCK, pos);
    else file.read(buffer, 0, BLOCK, pos);
    return 1;
  });
}

/** SPEC: without a window and without a page cache a shared mapping is ENODEV, as it was in the published table. */
function runMapped(workload: Workload, next: () => number): JobResult {
  const mapping = map(file, workload.isWrite);
  if (mapping === undefined) return 0;
  const rate = timed(
    workload,
    () => {
      if (workload.isWrite) mapping.write(next(), buffer);
      else mapping.read(next(), buffer);
      return 1;
    },
    () => workload.isWrite && mapping.sync(),
  );
  mapping.unmap();
  return rate;
}

function map(target: File, writable: boolean): Mapping | undefined {
  try {
    return target.mmap({ writable });
  } catch (error) {
    if ((error as { code?: string }).code === 'ENODEV') return undefined;
    throw error;
  }
}

function runQueue(at: AsyncQueue, workload: Workload, next: () => number): JobResult {
  const { mount } = guest;
  mount.session.drain();
  const [open] = mount.openFiles;
  if (open === undefined) throw new Error('the file is open');
  const raw: AsyncFile = { nodeid: open.inode.nodeid, fh: open.fh, flags: open.flags };
  return timed(
    workload,
    () => at.run(raw, workload.isWrite, next),
    () => at.drain(),
  );
}

function createFile(): File {
  const created = guest.open(setup.file, 'w+');
  const block = new Uint8Array(1 << 20).map((_, i) => i * 31);
  for (let size = 0; size < fileSize; size += block.length) created.writeAll(block);
  created.sync();
  return created;
}

/** Runs steps until the time is over; the clock is looked at every few. `finish` belongs to the time. */
function timed(workload: Workload, step: () => number, finish: () => unknown = () => {}): JobResult {
  const start = performance.now();
  let done = 0;
  while (performance.now() - start < workload.durationMs) for (let i = 0; i < 32; i++) done += step();
  finish();
  return (done * 1000) / (performance.now() - start);
}

function positions({ isRandom, seed }: Workload): () => number {
  const blocks = fileSize / BLOCK;
  const random = new Prng(seed);
  let at = 0;
  return isRandom ? () => random.below(blocks) * BLOCK : () => (at++ % blocks) * BLOCK;
}

parentPort?.on('message', (workload: Workload | 'end') => {
  if (workload === 'end') {
    guest.unmount();
    parentPort?.close();
    return;
  }
  parentPort?.postMessage(run(workload));
});
parentPort?.postMessage('ready');
