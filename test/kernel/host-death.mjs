// A process with a host that is mounted, which then loses its host. Arguments: HOW dist/ SPEC MOUNTPOINT.
// It has a file of its own mount open all the time. Says what it found, one line each.
import * as fs from 'node:fs';
import { Worker } from 'node:worker_threads';

const [how, dist, spec, mountPoint] = process.argv.slice(2);
const { createHost } = await import(`${dist}index.js`);
let worker;
const host = await createHost({
  fs: spec,
  log: () => {},
  worker: () => {
    worker = new Worker(new URL(`${dist}host-worker.js`));
    return worker;
  },
});
const mount = await host.mountKernel(mountPoint, 'allow_other,attr_timeout=0,entry_timeout=0');
const file = `${mountPoint}/file`;
fs.writeFileSync(file, 'content');
fs.truncateSync(file, 2 ** 32);
const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_DIRECT);
fs.writeSync(fd, 'direct');
console.log('up');
if (how === 'wait') setInterval(() => {}, 1000);
else {
  await new Promise((resolve) => process.stdin.once('data', resolve));
  process.stdin.destroy();
  // The thread is gone at once; this one hears of it when it is back in its event loop.
  void worker.terminate();
  if (how === 'busy') console.log(`own ${readUntilFailure()}`);
  await mount.ended;
  console.log('ended');
  if (how === 'exit') process.exit(0);
}

function readUntilFailure() {
  const bytes = Buffer.alloc(4096);
  for (;;) {
    try {
      fs.readSync(fd, bytes, 0, bytes.length, 0);
    } catch (error) {
      return error.code;
    }
  }
}
