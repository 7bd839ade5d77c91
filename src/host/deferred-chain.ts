/** A request chain whose answer comes later: kept out of its queue's way until then. */
import { type Chain, writeSegments } from '../virtio/chain.ts';
import type { DeviceQueue } from '../virtio/device.ts';
import type { GuestMemory } from '../virtio/memory.ts';
import type { VirtioDevice } from '../virtio/negotiate.ts';
import type { Errno } from '../wire/errno.ts';
import { InHeader, OutHeader } from '../wire/fuse.ts';
import { OUT_HEADER_SIZE } from '../wire/ids.ts';
import type { Call, Deferred } from './call.ts';

export class DeferredChain implements Deferred {
  readonly #device: VirtioDevice;
  readonly #memory: GuestMemory;
  readonly #queue: DeviceQueue;
  readonly #chain: Chain;
  readonly #reply = new Uint8Array(OUT_HEADER_SIZE);

  /** Takes over the chain; the call's header is read at once. */
  constructor(device: VirtioDevice, memory: GuestMemory, queue: DeviceQueue, chain: Chain, call: Call) {
    this.#device = device;
    this.#memory = memory;
    this.#queue = queue;
    this.#chain = chain;
    const view = new DataView(this.#reply.buffer);
    const { unique } = InHeader;
    OutHeader.len.set(view, 0, OUT_HEADER_SIZE);
    OutHeader.unique.setWords(view, 0, unique.low(call.request, 0), unique.high(call.request, 0));
  }

  complete(errno: Errno): void {
    // After a reset the memory may be something else.
    if (this.#queue.broken !== undefined) return;
    OutHeader.error.set(new DataView(this.#reply.buffer), 0, -errno);
    writeSegments(this.#memory, this.#chain.writable, 0, this.#reply, 0, OUT_HEADER_SIZE);
    this.#queue.put(this.#chain.head, OUT_HEADER_SIZE);
    if (this.#queue.publish()) this.#device.interrupt.ring();
  }
}
