// Three workers map one file: stores of each are loads of the others, at once and without a message.
import { once } from 'node:events';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { createHost, mount } from 'virtiofs';

const ROUNDS = 10_000;

async function main() {
  const host = await createHost();
  const guest = mount(host.attach());
  guest.writeFile('/shared', new Uint8Array(4096));
  const workers = [1, 2, 3].map(
    (number) => new Worker(new URL(import.meta.url), { workerData: { number, attachment: host.attach() } }),
  );
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  const mapping = guest.open('/shared').mmap();
  const own = [1, 2, 3].map((number) => mapping.loadU32(number * 64));
  console.log(`together: ${mapping.loadU32(0)}, each: ${own.join(' ')}`);
  guest.unmount();
  await host.stop();
}

function work({ number, attachment }) {
  const guest = mount(attachment);
  const mapping = guest.open('/shared', 'r+').mmap({ writable: true });
  for (let round = 0; round < ROUNDS; round++) {
    mapping.add32(0, 1); // atomic across all guests
    mapping.storeU32(number * 64, round + 1);
  }
  guest.unmount();
}

if (isMainThread) await main();
else work(workerData);
