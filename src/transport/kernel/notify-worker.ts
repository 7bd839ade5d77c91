/**
 * Entry point of a shared mount's notifier: writes to the kernel what the host has to tell. A write may block until a
 * request of somebody else was answered: that is why it is not the host that writes.
 */
import { workerData } from 'node:worker_threads';
import { SharedDoorbell } from '../../base/doorbell.ts';
import { OutHeader } from '../../wire/fuse.ts';
import { DescriptorDevice } from './device.ts';
import { BOX_CLOSED, BOX_FREE, Mailbox } from './mailbox.ts';
import type { MailboxWorkerData } from './shared-mount.ts';

const { buffer, at, bellAt } = workerData as MailboxWorkerData;
const box = new Mailbox(buffer, at);
const host = new SharedDoorbell(buffer, bellAt);
const device = new DescriptorDevice(box.options().fd);

for (;;) {
  const seen = box.notifyBell.seen();
  const { state } = box;
  if (state === BOX_CLOSED || state === BOX_FREE) break;
  if (!writeAll()) box.notifyBell.wait(seen);
}

function writeAll(): boolean {
  let count = 0;
  for (let message = box.nextNotify(); message !== undefined; message = box.nextNotify()) {
    const size = OutHeader.len.get(new DataView(message.buffer, message.byteOffset, message.length), 0);
    // Whatever the kernel says, it has nothing stale now: ENOENT, ENOTDIR: it never cached it. ENODEV: it has gone.
    device.write(message, size);
    box.notified();
    count++;
  }
  if (count > 0) host.ring();
  return count > 0;
}
