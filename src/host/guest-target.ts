/**
 * A guest that is told what others change, through the notification queue of its device.
 *
 * A message lies in the guest's queue before whoever made the change gets its answer, and a guest looks at its queue
 * before it believes a cache. So nobody waits for an acknowledgement, and nobody is woken.
 *
 * A guest *gives a buffer back before it acts* on the message that came in it. So while the count of buffers it made
 * available stands still, it has not acted on any message sent since, and what such a message covers need not be said
 * again: what the guest believes now falls with that message, and what it asks for after it, it hears from us as it is.
 * The last buffer always says "everything" (INC_EPOCH), which covers all that finds no buffer.
 *
 * INVARIANT: when no buffer is available and one ever was, an "everything" is on its way and was not acted on.
 * SPEC: virtio 1.3, 5.11.6.4: the driver keeps the notification queue filled; buffers are device-writable, and have at
 * least notify_buf_size bytes.
 */
import type { ByteString } from '../base/bytes.ts';
import type { Doorbell } from '../base/doorbell.ts';
import { Chain, writeSegments } from '../virtio/chain.ts';
import type { DeviceQueue } from '../virtio/device.ts';
import type { GuestMemory } from '../virtio/memory.ts';
import type { NodeId } from '../wire/ids.ts';
import type { NotifyTarget } from './notify.ts';
import { NotifyMessage } from './notify-message.ts';
import type { Session } from './session.ts';

/** Bytes that each buffer in a notification queue must have: more than the longest message. */
export const NOTIFY_BUF_SIZE = 512;

export interface GuestTargetOptions {
  readonly session: Session;
  readonly queue: DeviceQueue;
  readonly memory: GuestMemory;
  readonly interrupt: Doorbell;
  /** The driver broke the rules of this queue. */
  readonly breakDevice: (reason: string) => void;
}

/** How much of an inode the messages cover that the guest has not acted on. */
type Covered = 'attributes' | 'some bytes' | 'all bytes';

export class GuestTarget implements NotifyTarget {
  readonly session: Session;
  /** Messages sent. */
  sent = 0;
  readonly #options: GuestTargetOptions;
  readonly #message = new NotifyMessage();
  readonly #chain = new Chain();
  /** What the messages say that were sent since the guest last gave a buffer back. */
  readonly #inodes = new Map<NodeId, Covered>();
  readonly #names = new Set<string>();
  #isEverything = false;
  #availIndex = 0;

  constructor(options: GuestTargetOptions) {
    this.#options = options;
    this.session = options.session;
  }

  tellInode(nodeid: NodeId, pos: number, size: number): void {
    if (!this.#isNeeded()) return;
    const covered = this.#inodes.get(nodeid);
    if (covered === 'all bytes' || (covered !== undefined && pos < 0)) return;
    // Who writes piece by piece fills no queue: after the first piece the whole file is doubtful.
    const isAll = covered === 'some bytes' || (pos === 0 && size === 0);
    this.#message.inode(nodeid, isAll ? 0 : pos, isAll ? 0 : size);
    this.#inodes.set(nodeid, isAll ? 'all bytes' : pos < 0 ? 'attributes' : 'some bytes');
    this.#send();
  }

  tellEntry(parent: NodeId, name: ByteString): void {
    if (!this.#isNeeded() || this.#names.has(`${parent}/${name}`)) return;
    this.#message.entry(parent, name);
    this.#names.add(`${parent}/${name}`);
    this.#send();
  }

  tellDelete(parent: NodeId, child: NodeId, name: ByteString): void {
    const key = `${parent}/${name}/${child}`;
    if (!this.#isNeeded() || this.#names.has(key)) return;
    this.#message.removal(parent, child, name);
    // A name that is deleted is no name that means something else, too.
    this.#names.add(key).add(`${parent}/${name}`);
    this.#send();
  }

  /** Looks at the ring; false if "everything" was said and not acted on. */
  #isNeeded(): boolean {
    const { queue } = this.#options;
    queue.available();
    if (queue.availIndex !== this.#availIndex) {
      this.#availIndex = queue.availIndex;
      this.#inodes.clear();
      this.#names.clear();
      this.#isEverything = false;
    }
    return !this.#isEverything;
  }

  #send(): void {
    const { queue, memory, interrupt, breakDevice } = this.#options;
    const { readable, writable, head } = this.#next();
    if (head < 0) return;
    if (readable.size > 0 || writable.size < NOTIFY_BUF_SIZE) {
      breakDevice(`a notification buffer has ${readable.size} bytes to read, ${writable.size} to write`);
      return;
    }
    const { bytes, size } = this.#message;
    writeSegments(memory, writable, 0, bytes, 0, size);
    queue.put(head, size);
    this.sent++;
    // ORDER: the message is visible before the answer to whoever made the change: that is put after we return.
    if (queue.publish()) interrupt.ring();
  }

  /** Takes a buffer; into the last one goes "everything". A head of −1: there is none. */
  #next(): Chain {
    const { queue } = this.#options;
    const chain = this.#chain;
    if (queue.available() === 1) {
      this.#isEverything = true;
      this.#message.everything();
    }
    if (!queue.take(chain)) chain.head = -1;
    return chain;
  }
}
