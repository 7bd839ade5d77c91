/**
 * READ and WRITE requests at a depth, as fio's libaio does: the guest API has one call at a time, so this drives the
 * request queue itself. Nothing else may use the guest while requests are on their way.
 */
import { CPU_BELL } from '../assembly/layout.ts';
import { SharedDoorbell } from '../src/base/doorbell.ts';
import { SegmentList } from '../src/virtio/chain.ts';
import type { DriverQueue } from '../src/virtio/driver.ts';
import { InHeader, OutHeader, ReadIn, WriteIn } from '../src/wire/fuse.ts';
import { type Fh, IN_HEADER_SIZE, type NodeId, OUT_HEADER_SIZE } from '../src/wire/ids.ts';
import { OPS } from '../src/wire/ops.ts';
import { sizeOf } from '../src/wire/struct.ts';
import type { Connection } from '../src/worker/connect.ts';
import type { Attachment } from '../src/worker/host.ts';

const REPLY_AT = 128;
const DATA_AT = 256;
const WRITE_OUT = 8;

export interface AsyncFile {
  readonly nodeid: NodeId;
  readonly fh: Fh;
  readonly flags: number;
}

export class AsyncQueue {
  readonly #connection: Connection;
  readonly #queue: DriverQueue;
  readonly #bell: SharedDoorbell;
  readonly #view: DataView;
  readonly #blockSize: number;
  readonly #free: number[] = [];
  readonly #readable = new SegmentList();
  readonly #writable = new SegmentList();

  /** The buffers are the channel's own: `depth` × (256 + blockSize) bytes of it. */
  constructor(connection: Connection, attachment: Attachment, depth: number, blockSize: number) {
    const { driver, channel } = connection;
    const slot = attachment.map.slots[attachment.slot];
    if (slot === undefined || depth * (DATA_AT + blockSize) > channel.dataSize) throw new RangeError('no room');
    this.#connection = connection;
    this.#queue = driver.queues[driver.firstRequestQueue] as DriverQueue;
    this.#bell = new SharedDoorbell(attachment.memory.buffer, slot.cpuAt + CPU_BELL);
    this.#view = channel.view;
    this.#blockSize = blockSize;
    for (let token = 0; token < depth; token++) this.#free.push(token);
  }

  /** Submits what there is room for: `next` gives positions. Returns how many requests were completed. */
  run(file: AsyncFile, isWrite: boolean, next: () => number): number {
    while (this.#free.length > 0) this.#submit(file, isWrite, next());
    this.#publish();
    return this.#complete();
  }

  /** Waits for everything that is on its way. */
  drain(): void {
    while (this.#queue.inFlight > 0) this.#complete();
  }

  #submit(file: AsyncFile, isWrite: boolean, pos: number): void {
    const token = this.#free.pop() as number;
    const at = this.#connection.channel.data + token * (DATA_AT + this.#blockSize);
    const fields = isWrite ? WriteIn : ReadIn;
    const size = IN_HEADER_SIZE + sizeOf(fields);
    this.#connection.channel.bytes.fill(0, at, at + size);
    InHeader.len.set(this.#view, at, size + (isWrite ? this.#blockSize : 0));
    InHeader.opcode.set(this.#view, at, (isWrite ? OPS.WRITE : OPS.READ).code);
    InHeader.unique.setWords(this.#view, at, token + 1, 1);
    InHeader.nodeid.set(this.#view, at, file.nodeid);
    fields.fh.set(this.#view, at + IN_HEADER_SIZE, file.fh);
    fields.offset.set(this.#view, at + IN_HEADER_SIZE, pos);
    fields.size.set(this.#view, at + IN_HEADER_SIZE, this.#blockSize);
    fields.flags.set(this.#view, at + IN_HEADER_SIZE, file.flags);
    this.#readable.clear();
    this.#readable.push(at, size);
    this.#writable.clear();
    this.#writable.push(at + REPLY_AT, OUT_HEADER_SIZE + (isWrite ? WRITE_OUT : 0));
    (isWrite ? this.#readable : this.#writable).push(at + DATA_AT, this.#blockSize);
    if (!this.#queue.add(this.#readable, this.#writable, token)) throw new Error('the ring is smaller than the depth');
  }

  #publish(): void {
    if (this.#queue.publish()) this.#connection.driver.kick.ring();
  }

  /** Takes what is done; sleeps if that is nothing. */
  #complete(): number {
    let count = this.#take();
    while (count === 0) {
      const seen = this.#bell.seen();
      if (!this.#queue.enableInterrupts()) this.#bell.wait(seen, 1000);
      this.#queue.disableInterrupts();
      count = this.#take();
    }
    return count;
  }

  #take(): number {
    let count = 0;
    for (let token = this.#queue.takeUsed(); token >= 0; token = this.#queue.takeUsed()) {
      const at = this.#connection.channel.data + token * (DATA_AT + this.#blockSize) + REPLY_AT;
      const error = OutHeader.error.get(this.#view, at);
      if (error !== 0) throw new Error(`a request at depth failed with errno ${-error}`);
      this.#free.push(token);
      count++;
    }
    return count;
  }
}
