/**
 * Numbers of the virtio specification, and where the parts of a split virtqueue lie.
 *
 * Who writes what, once a queue is ready (INVARIANT: one writer per shared word):
 *
 * | part             | words                              | writer |
 * |------------------|------------------------------------|--------|
 * | descriptor table | all, and every indirect table      | driver |
 * | available ring   | flags, idx, ring[], used_event     | driver |
 * | used ring        | flags, idx, ring[], avail_event    | device |
 *
 * Before that, and after a reset, all of it is the driver's: it zeroes the rings before it gives them away.
 * SPEC: virtio 1.3, 2.7 (split virtqueues), 2.1 (status), 6 (reserved feature bits), 5.11 (file system device).
 */

export const VIRTQ_DESC_SIZE = 16;
export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;

/** Byte offsets inside one descriptor. */
export const VIRTQ_DESC_ADDR = 0;
export const VIRTQ_DESC_LEN = 8;
export const VIRTQ_DESC_FLAGS = 12;
export const VIRTQ_DESC_NEXT = 14;

export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
export const VIRTQ_USED_F_NO_NOTIFY = 1;

/** Byte offsets inside the available and the used ring. */
export const VIRTQ_RING_FLAGS = 0;
export const VIRTQ_RING_IDX = 2;
export const VIRTQ_RING_ENTRIES = 4;
export const VIRTQ_USED_ELEM_SIZE = 8;

export const VIRTQ_DESC_ALIGN = 16;
export const VIRTQ_AVAIL_ALIGN = 2;
export const VIRTQ_USED_ALIGN = 4;
const VIRTQ_SIZE_MAX = 32768;

/** SPEC: virtio 1.3, 2.7.5.2: a chain is at most 2^32 bytes in total. */
export const VIRTQ_CHAIN_BYTES_MAX = 0x1_0000_0000;

/** Feature bits, as bit numbers of a 64-bit set. */
export const VIRTIO_F_RING_INDIRECT_DESC = 28;
export const VIRTIO_F_RING_EVENT_IDX = 29;
export const VIRTIO_F_VERSION_1 = 32;
export const VIRTIO_FS_F_NOTIFICATION = 0;

/** Bits of the device status. */
export const VIRTIO_STATUS_ACKNOWLEDGE = 1;
export const VIRTIO_STATUS_DRIVER = 2;
export const VIRTIO_STATUS_DRIVER_OK = 4;
export const VIRTIO_STATUS_FEATURES_OK = 8;
export const VIRTIO_STATUS_DEVICE_NEEDS_RESET = 64;
export const VIRTIO_STATUS_FAILED = 128;

export const VIRTIO_ID_FS = 26;
/** The DAX window's shared memory region. */
export const VIRTIO_FS_SHMCAP_ID_CACHE = 0;
export const VIRTIO_FS_TAG_SIZE = 36;

/** Where the parts of one split virtqueue lie, in bytes from its start (a multiple of 16). */
export interface RingLayout {
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  /** From the first byte to the last, without padding at the end. */
  readonly bytes: number;
}

/** Where one queue's parts are in memory. */
export interface RingAddresses {
  /** Entries: a power of two, 1 … 32768. */
  readonly size: number;
  readonly descAt: number;
  readonly availAt: number;
  readonly usedAt: number;
}

/** What driver and device have agreed on for their queues. */
export interface RingFeatures {
  /** VIRTIO_F_RING_EVENT_IDX. */
  readonly eventIndex: boolean;
  /** VIRTIO_F_RING_INDIRECT_DESC. */
  readonly indirect: boolean;
}

export function availSize(size: number): number {
  return 6 + 2 * size;
}

export function usedSize(size: number): number {
  return 6 + VIRTQ_USED_ELEM_SIZE * size;
}

/** Returns the tightest layout of a queue of `size` entries. */
export function ringLayout(size: number): RingLayout {
  const desc = 0;
  const avail = VIRTQ_DESC_SIZE * size;
  const used = alignUp(avail + availSize(size), VIRTQ_USED_ALIGN);
  return { desc, avail, used, bytes: used + usedSize(size) };
}

/** Returns the addresses of a queue of `size` entries whose layout starts at `at`. */
export function ringAt(at: number, size: number): RingAddresses {
  const layout = ringLayout(size);
  return { size, descAt: at + layout.desc, availAt: at + layout.avail, usedAt: at + layout.used };
}

/** Returns the address of used_event: the driver's word behind the available ring's entries. */
export function usedEventAt(ring: RingAddresses): number {
  return ring.availAt + VIRTQ_RING_ENTRIES + 2 * ring.size;
}

/** Returns the address of avail_event: the device's word behind the used ring's entries. */
export function availEventAt(ring: RingAddresses): number {
  return ring.usedAt + VIRTQ_RING_ENTRIES + VIRTQ_USED_ELEM_SIZE * ring.size;
}

/** Returns why `ring` cannot be a queue in a memory of `memorySize` bytes, or undefined if it can. */
export function ringFault(ring: RingAddresses, memorySize: number): string | undefined {
  const { size, descAt, availAt, usedAt } = ring;
  if (!isQueueSize(size)) return `queue size ${size} is not a power of two up to ${VIRTQ_SIZE_MAX}`;
  return (
    partFault('descriptor table', descAt, VIRTQ_DESC_ALIGN, VIRTQ_DESC_SIZE * size, memorySize) ??
    partFault('available ring', availAt, VIRTQ_AVAIL_ALIGN, availSize(size), memorySize) ??
    partFault('used ring', usedAt, VIRTQ_USED_ALIGN, usedSize(size), memorySize)
  );
}

export function isQueueSize(size: number): boolean {
  return Number.isInteger(size) && size >= 1 && size <= VIRTQ_SIZE_MAX && (size & (size - 1)) === 0;
}

/** Returns the first multiple of `align` (a power of two) that is not below `at`. */
export function alignUp(at: number, align: number): number {
  return Math.ceil(at / align) * align;
}

function partFault(name: string, at: number, align: number, size: number, memorySize: number): string | undefined {
  if (at % align !== 0) return `${name} at ${at} is not aligned to ${align}`;
  return at <= memorySize - size ? undefined : `${name} at ${at} lies outside the memory`;
}
