/**
 * Arithmetic on the 16-bit free-running indexes of a virtqueue.
 * SPEC: virtio 1.3, 2.7.7 (used buffer notification suppression) and 2.7.10 (available buffer notification
 * suppression).
 */

export const RING_INDEX_MASK = 0xffff;

export function nextIndex(index: number): number {
  return (index + 1) & RING_INDEX_MASK;
}

/** Returns how many entries lie in the half-open range [from, to), 0 … 65535. */
export function indexDistance(from: number, to: number): number {
  return (to - from) & RING_INDEX_MASK;
}

/** Tells whether `event` lies in the half-open range [old, fresh) that was just published. */
export function needEvent(event: number, fresh: number, old: number): boolean {
  return ((fresh - event - 1) & RING_INDEX_MASK) < ((fresh - old) & RING_INDEX_MASK);
}
