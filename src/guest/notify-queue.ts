/**
 * The guest's end of the notification queue: all its buffers lie ready for the host, always.
 *
 * ORDER: a buffer is given back *before* anybody acts on the message that was in it. So a host that sees no buffer
 * given back knows that its last message is still to be acted on, and need not say again what that one covers.
 * SPEC: virtio 1.3, 5.11.6.4.
 */
import type { Doorbell } from '../base/doorbell.ts';
import { SegmentList } from '../virtio/chain.ts';
import type { DriverQueue } from '../virtio/driver.ts';
import type { GuestMemory } from '../virtio/memory.ts';
import type { NotifySource } from './notifications.ts';

export interface NotifyQueueOptions {
  readonly queue: DriverQueue;
  readonly memory: GuestMemory;
  /** Where the buffers are: one per entry of the queue, each of `bufferSize` bytes. */
  readonly at: number;
  readonly bufferSize: number;
  readonly kick: Doorbell;
  /** Rung by the host, or on its behalf, after anything by which it may be gone. */
  readonly bell: Doorbell;
  readonly isGone: () => boolean;
}

export class NotifyQueue implements NotifySource {
  readonly message: DataView;
  readonly #options: NotifyQueueOptions;
  readonly #queue: DriverQueue;
  readonly #bytes: Uint8Array;
  readonly #bell: Doorbell;
  /** The count of the bell before the host was last seen to be there. */
  #rung: number;
  readonly #none = new SegmentList();
  readonly #buffer = new SegmentList();

  /** Makes all buffers available. The host has been asked for nothing yet, so there is nothing it could tell. */
  constructor(options: NotifyQueueOptions) {
    this.#options = options;
    this.#queue = options.queue;
    this.#bell = options.bell;
    this.#rung = options.bell.seen() - 1;
    this.#bytes = new Uint8Array(options.bufferSize);
    this.message = new DataView(this.#bytes.buffer);
    options.queue.disableInterrupts();
    for (let i = 0; i < options.queue.size; i++) this.#add(i);
    this.#publish();
  }

  /** Asked before anything cached is believed: two loads, as a rule. */
  get isQuiet(): boolean {
    if (this.#queue.hasUsed) return false;
    const rung = this.#bell.seen();
    if (rung === this.#rung) return true;
    this.#rung = rung;
    return !this.#options.isGone();
  }

  get isOver(): boolean {
    return this.#queue.broken !== undefined || this.#options.isGone();
  }

  take(): number {
    const token = this.#queue.takeUsed();
    if (token < 0) return -1;
    const size = this.#queue.usedLength;
    const { memory, at, bufferSize } = this.#options;
    memory.read(at + token * bufferSize, this.#bytes, 0, size);
    this.#add(token);
    this.#publish();
    return size;
  }

  #add(token: number): void {
    const { at, bufferSize } = this.#options;
    this.#buffer.clear();
    this.#buffer.push(at + token * bufferSize, bufferSize);
    this.#queue.add(this.#none, this.#buffer, token);
  }

  /** A host that waits for buffers may ask to be told of them; ours never does. */
  #publish(): void {
    if (this.#queue.publish()) this.#options.kick.ring();
  }
}
