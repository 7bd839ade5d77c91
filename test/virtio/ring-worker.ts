/** Worker of workers.test.ts: one end of two queues in shared memory, as driver or as device. */
import { parentPort, workerData } from 'node:worker_threads';
import { SharedDoorbell } from '../../src/base/doorbell.ts';
import { Chain, SegmentList } from '../../src/virtio/chain.ts';
import { DeviceQueue } from '../../src/virtio/device.ts';
import { DriverQueue } from '../../src/virtio/driver.ts';
import { LocalMemory } from '../../src/virtio/memory.ts';
import { DATA_AT, INTERRUPT_AT, KICK_AT, type RingWork, ringOf, SLOT_SIZE, STARTED_AT } from './ring-work.ts';

const { buffer, role, features, size, queues: queueCount, requests, spins } = workerData as RingWork;
const memory = new LocalMemory(buffer);
const kick = new SharedDoorbell(buffer, KICK_AT);
const interrupt = new SharedDoorbell(buffer, INTERRUPT_AT);
const started = new SharedDoorbell(buffer, STARTED_AT);
let sleeps = 0;

if (role === 'driver') parentPort?.postMessage({ role, faults: drive(), sleeps });
else parentPort?.postMessage({ role, faults: serve(), sleeps });

function drive(): string[] {
  const faults: string[] = [];
  const ends = Array.from({ length: queueCount }, (_, index) => ({
    index,
    queue: new DriverQueue(memory, ringOf(index, size), features),
    added: 0,
    done: 0,
  }));
  started.ring();
  const readable = new SegmentList();
  const writable = new SegmentList();
  let left = queueCount * requests;
  let idle = 0;
  while (left > 0 && faults.length === 0) {
    const seen = interrupt.seen();
    let isBusy = false;
    for (const end of ends) {
      end.queue.disableInterrupts();
      for (let token = end.queue.takeUsed(); token >= 0; token = end.queue.takeUsed()) {
        const at = DATA_AT + (end.index * 64 + (token % 64)) * SLOT_SIZE;
        if (token !== end.done) faults.push(`queue ${end.index}: ${token} came back instead of ${end.done}`);
        if (end.queue.usedLength !== 8 || memory.getU32(at + 16) !== token + 1) faults.push(`wrong reply to ${token}`);
        end.done++;
        left--;
        isBusy = true;
      }
      while (end.added < requests) {
        const at = DATA_AT + (end.index * 64 + (end.added % 64)) * SLOT_SIZE;
        readable.clear();
        writable.clear();
        readable.push(at, 8);
        writable.push(at + 16, 8);
        if (!end.queue.add(readable, writable, end.added)) break;
        memory.setU32(at, end.added++);
        isBusy = true;
      }
      if (end.queue.publish()) kick.ring();
      if (end.queue.broken !== undefined) faults.push(end.queue.broken);
    }
    idle = isBusy ? 0 : idle + 1;
    if (idle <= spins) continue;
    let mayWait = left > 0;
    for (const end of ends) if (end.queue.enableInterrupts()) mayWait = false;
    if (mayWait) waitFor(interrupt, seen, faults);
    idle = 0;
  }
  return faults;
}

function serve(): string[] {
  const faults: string[] = [];
  while (started.seen() === 0) started.wait(0);
  const ends = Array.from({ length: queueCount }, (_, index) => ({
    queue: new DeviceQueue(memory, ringOf(index, size), features),
    served: 0,
  }));
  const chain = new Chain();
  let left = queueCount * requests;
  let idle = 0;
  while (left > 0 && faults.length === 0) {
    const seen = kick.seen();
    let isBusy = false;
    for (const end of ends) {
      end.queue.disableKicks();
      while (end.queue.take(chain)) {
        const sequence = memory.getU32(chain.readable.at(0));
        if (sequence !== end.served++) faults.push(`request ${sequence} came instead of ${end.served - 1}`);
        memory.setU32(chain.writable.at(0), sequence + 1);
        end.queue.put(chain.head, 8);
        left--;
        isBusy = true;
      }
      if (end.queue.publish()) interrupt.ring();
      if (end.queue.broken !== undefined) faults.push(end.queue.broken);
    }
    idle = isBusy ? 0 : idle + 1;
    if (idle <= spins) continue;
    let mayWait = left > 0;
    for (const end of ends) if (end.queue.enableKicks()) mayWait = false;
    if (mayWait) waitFor(kick, seen, faults);
    idle = 0;
  }
  return faults;
}

function waitFor(bell: SharedDoorbell, seen: number, faults: string[]): void {
  sleeps++;
  const startMs = performance.now();
  bell.wait(seen, 10_000);
  if (performance.now() - startMs > 9_000) faults.push('a wake-up was lost');
}
