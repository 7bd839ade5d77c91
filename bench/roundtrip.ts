/** One uncached GETATTR at depth 1, against a bare Atomics ping-pong between two threads. */
import { Worker } from 'node:worker_threads';
import { createHost } from '../src/worker/host.ts';
import { mount } from '../src/worker/mount.ts';
import { measure, nsPerOp, type Row } from './harness.ts';

const COUNT = 5000;

export async function roundtrip(): Promise<Row[]> {
  const host = await createHost({ fs: 'memory', cacheSize: 16 << 20, guests: 2, attrTimeoutMs: 0, entryTimeoutMs: 0 });
  const guest = mount(host.attach(), { spins: 100_000 });
  const words = new SharedArrayBuffer(256);
  const pingPong = new Int32Array(words);
  guest.writeFile('/file', 'x');
  using file = guest.open('/file');
  const run = async (ours: boolean) => {
    if (ours) return nsPerOp(COUNT, () => void file.stat());
    // Only while it is measured: on two cores a third spinning thread would slow the others down.
    const worker = new Worker(new URL('./bench-echo.js', import.meta.url), { workerData: words });
    pingPong.fill(0);
    let turn = 0;
    const ping = () => {
      turn++;
      // ORDER: publishes the turn; the echo worker spins on it.
      Atomics.store(pingPong, 0, turn);
      while (Atomics.load(pingPong, 16) !== turn);
    };
    for (let i = 0; i < 1000; i++) ping();
    const ns = nsPerOp(COUNT * 4, ping);
    // ORDER: ends the worker.
    Atomics.store(pingPong, 0, -1);
    await worker.terminate();
    return ns;
  };
  try {
    const times = { ours: [] as number[], theirs: [] as number[] };
    for (let round = 0; round < 12; round++) {
      times.ours.push(await run(true));
      times.theirs.push(await run(false));
    }
    let round = 0;
    const row = measure({
      bench: 'roundtrip',
      case: 'uncached GETATTR, depth 1, both awake',
      reference: 'Atomics ping-pong',
      goal: 1 / 6,
      rounds: times.ours.length - 1,
      // Measured above, because starting a thread is asynchronous; here only put into pairs.
      ours: () => times.ours[round >> 1] as number,
      theirs: () => times.theirs[round++ >> 1] as number,
    });
    return [row];
  } finally {
    guest.unmount();
    await host.stop();
  }
}
