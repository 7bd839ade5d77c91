/** Both ends of one queue in one memory, for tests: rings first, then indirect tables, then data. */
import { SegmentList } from '../../src/virtio/chain.ts';
import { DeviceQueue } from '../../src/virtio/device.ts';
import { DriverQueue } from '../../src/virtio/driver.ts';
import { alignUp, type RingAddresses, ringAt, ringLayout, VIRTQ_DESC_SIZE } from '../../src/virtio/layout.ts';
import { LocalMemory } from '../../src/virtio/memory.ts';

export interface PairOptions {
  readonly size?: number;
  readonly eventIndex?: boolean;
  readonly indirect?: boolean;
  readonly buffer?: ArrayBufferLike;
  /** Where the pair's memory starts. */
  readonly at?: number;
}

export interface Pair {
  readonly memory: LocalMemory;
  readonly ring: RingAddresses;
  readonly driver: DriverQueue;
  readonly device: DeviceQueue;
  /** First address that no ring uses. */
  readonly dataAt: number;
}

export function makePair(options: PairOptions = {}): Pair {
  const size = options.size ?? 4;
  const at = options.at ?? 0;
  const features = { eventIndex: options.eventIndex ?? true, indirect: options.indirect ?? true };
  const memory = new LocalMemory(options.buffer ?? new ArrayBuffer(1 << 16));
  const ring = ringAt(at, size);
  const indirectAt = alignUp(at + ringLayout(size).bytes, 16);
  const driver = new DriverQueue(memory, { ...ring, indirectAt }, features);
  const device = new DeviceQueue(memory, ring, features);
  return { memory, ring, driver, device, dataAt: indirectAt + size * size * VIRTQ_DESC_SIZE };
}

/** Makes a list of [address, length] pairs. */
export function segments(...parts: readonly (readonly [at: number, length: number])[]): SegmentList {
  const list = new SegmentList();
  for (const [at, length] of parts) list.push(at, length);
  return list;
}

/** Returns the list as [address, length] pairs. */
export function partsOf(list: SegmentList): [number, number][] {
  return Array.from({ length: list.count }, (_, i) => [list.at(i), list.length(i)]);
}
