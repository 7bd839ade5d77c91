/** What a program with a pointer into the shared memory gets, and what a window smaller than the work costs. */
import { assert } from '../src/base/assert.ts';
import type { Guest } from '../src/guest/guest.ts';
import { createHost, type Host } from '../src/worker/host.ts';
import { mount } from '../src/worker/mount.ts';
import { measure, nsPerOp, type Row } from './harness.ts';

const MIB = 1 << 20;
const WINDOW = 16 * MIB;
const STEP = 128 * 1024;
const ROUNDS = 15;

export async function mapped(): Promise<Row[]> {
  const hosts = [await start(WINDOW), await start(4 * WINDOW)];
  const guests = hosts.map((host) => mount(host.attach()));
  try {
    for (const guest of guests) writeFile(guest, '/large', 4 * WINDOW);
    const [small, wide] = guests as [Guest, Guest];
    writeFile(small, '/fits', WINDOW / 2);
    return [pointer(small), window(small, wide)];
  } finally {
    for (const guest of guests) guest.unmount();
    for (const host of hosts) await host.stop();
  }
}

function start(windowSize: number): Promise<Host> {
  return createHost({ fs: 'memory', cacheSize: 128 * MIB, windowSize, guests: 1 });
}

/** Sums all words of a mapped file, through the runs of a view. */
function pointer(guest: Guest): Row {
  using file = guest.open('/fits');
  using mapping = file.mmap();
  using view = mapping.view(0, mapping.length);
  const runs = view.runs.map((run) => new Uint32Array(run.buffer, run.byteOffset, run.length >> 2));
  const plain = new Uint32Array(new SharedArrayBuffer(mapping.length)).fill(7);
  // Kept and looked at, so that nobody optimises the loops away.
  let sum = 0;
  const row = measure({
    bench: 'mapped',
    case: `words of 8 MiB through a view (${runs.length} runs)`,
    reference: 'the same of plain shared memory',
    goal: 0.7,
    rounds: ROUNDS,
    ours: () =>
      nsPerOp(1, () => {
        for (const run of runs) sum += sumOf(run);
      }),
    theirs: () =>
      nsPerOp(1, () => {
        sum += sumOf(plain);
      }),
  });
  assert(Number.isInteger(sum), 'words are integers');
  return row;
}

function sumOf(words: Uint32Array): number {
  let sum = 0;
  for (let i = 0; i < words.length; i++) sum = (sum + (words[i] as number)) | 0;
  return sum;
}

/** Reads a file of four windows in order, against the same file through a window that holds it. */
function window(small: Guest, wide: Guest): Row {
  using ours = small.open('/large');
  using theirs = wide.open('/large');
  const buffer = new Uint8Array(STEP);
  const read = (file: typeof ours) => () =>
    nsPerOp((4 * WINDOW) / STEP, (i) => void file.read(buffer, 0, STEP, i * STEP));
  return measure({
    bench: 'mapped',
    case: 'sequential 128 KiB, a working set of 4 windows',
    reference: 'a window that holds it',
    goal: 0.7,
    rounds: ROUNDS,
    ours: read(ours),
    theirs: read(theirs),
  });
}

function writeFile(guest: Guest, path: string, size: number): void {
  using file = guest.open(path, 'w');
  const block = new Uint8Array(MIB).map((_, i) => i * 31);
  for (let done = 0; done < size; done += MIB) file.writeAll(block);
}
