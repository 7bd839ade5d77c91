/** The other end of the bare ping-pong: one word there, one word back, spinning. */
import { workerData } from 'node:worker_threads';

const words = new Int32Array(workerData as SharedArrayBuffer);
for (let last = 0; ; ) {
  let next = Atomics.load(words, 0);
  while (next === last) next = Atomics.load(words, 0);
  if (next < 0) break;
  last = next;
  // ORDER: the answer; the other end spins on this word.
  Atomics.store(words, 16, next);
}
