// Serves own-file-system.mjs to a guest, and to the kernel (root): node serve-own-file-system.mjs [MOUNTPOINT]
import { spawn } from 'node:child_process';
import { openSync, read, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { createHost, mount } from 'virtiofs';
import { answer } from './own-file-system.mjs';

function serveSocket(socket, rest = Buffer.alloc(0)) {
  socket.once('data', (data) => {
    let all = Buffer.concat([rest, data]);
    for (; all.length >= 4 && all.length >= all.readUInt32LE(0); all = all.subarray(all.readUInt32LE(0)))
      answer(all.subarray(0, all.readUInt32LE(0)), (reply) => socket.write(reply));
    serveSocket(socket, all);
  });
}
function serveKernel(device, mountPoint, options = 'fd=3,rootmode=40000,user_id=0,group_id=0,ro') {
  spawn('mount', ['-i', '-t', 'fuse', '-o', options, 'own', mountPoint], { stdio: [0, 1, 2, device] });
  readKernel(device, Buffer.alloc(1 << 18));
}
function readKernel(device, buffer) {
  read(device, buffer, 0, buffer.length, null, (error, size) => {
    if (error?.code === 'ENODEV') return; // unmounted
    if (!error) answer(buffer.subarray(0, size), (reply) => writeSync(device, reply));
    setTimeout(readKernel, error ? 10 : 0, device, buffer); // EPERM: not mounted yet
  });
}
function guest(tree) {
  for (const name of tree.readdir('/')) console.log(`guest: ${name}: ${tree.readFile(`/${name}`, 'utf8').trim()}`);
  tree.unmount();
}
async function main(path = `/tmp/own-${process.pid}.sock`, mountPoint = process.argv[2]) {
  const server = createServer((socket) => serveSocket(socket)).listen(path);
  const host = await createHost({ fs: `fuse:${path}` });
  const worker = new Worker(new URL(import.meta.url), { workerData: host.attach() });
  worker.once('exit', () => host.stop().then(() => server.close()));
  if (mountPoint !== undefined) serveKernel(openSync('/dev/fuse', 'r+'), mountPoint);
}
isMainThread ? await main() : guest(mount(workerData));
