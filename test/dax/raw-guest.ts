/** A guest that speaks FUSE by hand: every byte of its chains is the test's, and so is what comes back. */
import { CPU_DEAD, CPU_STATE, PMD_SIZE } from '../../assembly/layout.ts';
import type { DaxWindow } from '../../src/dax/window.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { InHeader, InitIn, OutHeader, RemovemappingIn, SetupmappingIn } from '../../src/wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../src/wire/ids.ts';
import { OPS, type OpName } from '../../src/wire/ops.ts';
import { encode } from '../../src/wire/struct.ts';
import type { Connection } from '../../src/worker/connect.ts';
import type { InlineHost } from '../../src/worker/inline.ts';
import { bytes } from '../host/client.ts';

export const UNIT = 2 << 20;
/** FUSE_INIT_EXT, FUSE_MAP_ALIGNMENT, FUSE_MAX_PAGES, FUSE_BIG_WRITES. */
const FLAGS = (1 << 30) | (1 << 26) | (1 << 22) | (1 << 5);

export interface Answer {
  /** What the used ring says was written. */
  readonly used: number;
  /** Of the reply's header; 0 if there is none. */
  readonly len: number;
  readonly errno: number;
  readonly body: DataView;
}

export class RawGuest {
  readonly host: InlineHost;
  readonly window: DaxWindow;
  readonly #connection: Connection;
  readonly #slot: number;

  constructor(host: InlineHost) {
    this.host = host;
    this.#slot = host.core.slots.findIndex((slot) => slot.state === 0);
    // As Linux, which does not negotiate the notification queue.
    this.#connection = host.connect(false);
    this.window = this.#connection.window as DaxWindow;
  }

  get firstRequestQueue(): number {
    return this.#connection.driver.firstRequestQueue;
  }

  /** Puts a chain into a request queue and takes it back. `room` 0: nothing writable, as FORGET. */
  send(name: OpName, nodeid: number, args: Uint8Array = new Uint8Array(0), room = 4096): Answer {
    const { channel, driver } = this.#connection;
    const at = channel.data;
    const replyAt = at + 32768;
    const header = { len: IN_HEADER_SIZE + args.length, opcode: OPS[name].code, unique: 7n, nodeid };
    encode(InHeader, channel.view, at, header);
    channel.bytes.set(args, at + IN_HEADER_SIZE);
    channel.bytes.fill(0, replyAt, replyAt + 4096);
    const readable = new SegmentList();
    const writable = new SegmentList();
    readable.push(at, header.len);
    if (room > 0) writable.push(replyAt, room);
    const queue = driver.queues[driver.firstRequestQueue];
    if (queue?.add(readable, writable, 7) !== true) throw new Error('the queue is full');
    queue.publish();
    while (this.host.step());
    if (queue.takeUsed() !== 7) throw new Error('the chain did not come back');
    const body = new DataView(channel.view.buffer.slice(replyAt + OUT_HEADER_SIZE, replyAt + 4096));
    const len = OutHeader.len.get(channel.view, replyAt);
    return { used: queue.usedLength, len, errno: Math.abs(OutHeader.error.get(channel.view, replyAt)), body };
  }

  init(): Answer {
    return this.send('INIT', 0, bytes(InitIn, { major: 7, minor: 45, flags: FLAGS, flags2: 2 }));
  }

  lookup(name: string): number {
    return Number(this.send('LOOKUP', 1, new TextEncoder().encode(`${name}\0`)).body.getBigUint64(0, true));
  }

  /** As Linux: fh all ones, 2 MiB. */
  setup(nodeid: number, range: number, writable: boolean, values: object = {}): Answer {
    const moffset = range * UNIT;
    const args = { fh: 2n ** 64n - 1n, len: UNIT, flags: writable ? 3 : 2, moffset, ...values };
    return this.send('SETUPMAPPING', nodeid, bytes(SetupmappingIn, args));
  }

  remove(...ranges: number[]): Answer {
    const args = new DataView(new ArrayBuffer(4 + 16 * ranges.length));
    new Uint8Array(args.buffer).set(bytes(RemovemappingIn, { count: ranges.length }));
    // The first entry is at byte 44 of the message: no multiple of 8.
    ranges.forEach((range, i) => {
      args.setBigUint64(4 + i * 16, BigInt(range * UNIT), true);
      args.setBigUint64(12 + i * 16, BigInt(UNIT), true);
    });
    return this.send('REMOVEMAPPING', 1, new Uint8Array(args.buffer));
  }

  /** The entries of the window table. */
  get table(): number[] {
    const { tableAt, rangeCount } = this.host.core.slots[this.#slot]?.place ?? { tableAt: 0, rangeCount: 0 };
    return [...new Uint32Array(this.host.memory.buffer, tableAt, (rangeCount * PMD_SIZE) >> 2)];
  }

  /** What a range shows, or −errno. */
  show(range: number, offset: number, size: number): string | number {
    const into = new Uint8Array(size);
    const n = this.window.read(range, offset, into, 0, size);
    return n < 0 ? n : new TextDecoder().decode(into.subarray(0, n));
  }

  die(): void {
    const place = this.host.core.slots[this.#slot]?.place;
    new Int32Array(this.host.memory.buffer)[((place?.cpuAt ?? 0) + CPU_STATE) >> 2] = CPU_DEAD;
    while (this.host.step());
  }
}
