/** Entry point of a shared mount's reader: takes requests from the kernel and puts them before the host. */
import { workerData } from 'node:worker_threads';
import { SharedDoorbell } from '../../base/doorbell.ts';
import { EAGAIN, EINTR, ENOENT, EPERM } from '../../wire/errno.ts';
import { DescriptorDevice } from './device.ts';
import { BOX_GONE, BOX_OFFERED, BOX_OPEN, Mailbox } from './mailbox.ts';
import type { MailboxWorkerData } from './shared-mount.ts';

const { buffer, at, bellAt } = workerData as MailboxWorkerData;
const box = new Mailbox(buffer, at);
const bell = new SharedDoorbell(buffer, bellAt);
const slots = Array.from({ length: box.slots }, (_, slot) => box.requestBytes(slot));
const nap = new Int32Array(new SharedArrayBuffer(4));

run(new DescriptorDevice(box.options().fd));
// Whichever of the two it was: one of them works.
box.enter(BOX_OFFERED, BOX_GONE);
box.enter(BOX_OPEN, BOX_GONE);
bell.ring();

function run(device: DescriptorDevice): void {
  let isMounted = false;
  for (;;) {
    const slot = box.waitForSlot();
    if (slot < 0) return;
    const size = device.read(slots[slot] as Uint8Array);
    if (size >= 0) {
      isMounted = true;
      if (box.put(slot, size)) bell.ring();
    } else if (size === -EPERM && !isMounted && !box.isAbandoned) {
      // ORDER: nobody notifies this word: it is a sleep of one millisecond.
      Atomics.wait(nap, 0, 0, 1);
    } else if (size !== -EINTR && size !== -EAGAIN && size !== -ENOENT) return;
  }
}
