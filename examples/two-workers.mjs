// Two workers share a tree: what one writes, the other reads, and a lock keeps them apart.
import { once } from 'node:events';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { createHost, mount } from 'virtiofs';

async function main() {
  const host = await createHost({ fs: 'memory:64MiB' });
  const guest = mount(host.attach());
  guest.writeFile('/count', '0');
  const names = ['anna', 'ben'];
  const workers = names.map(
    (name) => new Worker(new URL(import.meta.url), { workerData: { name, attachment: host.attach() } }),
  );
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  console.log(`count: ${guest.readFile('/count', 'utf8')}`);
  console.log(`files: ${guest.readdir('/').sort().join(' ')}`);
  guest.unmount();
  await host.stop();
}

function work({ name, attachment }) {
  const guest = mount(attachment);
  guest.writeFile(`/${name}.txt`, `${name} was here\n`);
  for (let round = 0; round < 100; round++) {
    const file = guest.open('/count', 'r+');
    file.lock({ type: 'exclusive', wait: true });
    const count = Number(new TextDecoder().decode(file.readAll()));
    file.write(new TextEncoder().encode(String(count + 1)), 0, undefined, 0);
    file.close(); // lets the lock go
  }
  guest.unmount();
}

if (isMainThread) await main();
else work(workerData);
