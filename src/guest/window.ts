/**
 * What the guest's DAX code needs of a window: ranges of 2 MiB by index, bytes in and out, views and pins. The real one
 * is src/dax/window.ts over shared memory; tests use a stub.
 *
 * All methods that touch data return a count ≥ 0 or an errno negated: −EFAULT = beyond the end of the file now (bus
 * error), −EACCES = the mapping is read-only (upgrade it first), −ENXIO = the range is not mapped, −EIO, −ENOSPC.
 * A count smaller than asked never happens without an error: on an error after some bytes the count is returned and the
 * next call returns the error.
 */
export interface Window {
  /** 2 MiB ranges in the window. */
  readonly rangeCount: number;
  /** Page faults posted so far, for statistics. */
  readonly faults?: number;
  /** Copies from the range into a buffer outside the shared memory. offset + size ≤ 2 MiB. */
  read(range: number, offset: number, into: Uint8Array, at: number, size: number): number;
  write(range: number, offset: number, from: Uint8Array, at: number, size: number): number;
  /** The same, to and from an address of the shared memory itself. */
  readTo(range: number, offset: number, address: number, size: number): number;
  writeFrom(range: number, offset: number, address: number, size: number): number;
  /** Loads and stores of 1, 2, 4 or 8 bytes (unsigned or float64), little-endian; offset aligned to the width. */
  load(range: number, offset: number, width: 1 | 2 | 4): number;
  store(range: number, offset: number, width: 1 | 2 | 4, value: number): number;
  loadFloat64(range: number, offset: number): number;
  storeFloat64(range: number, offset: number, value: number): number;
  /** After load/loadFloat64: 0, or the errno negated (a load's own result cannot carry it). */
  readonly status: number;
  /** Atomic read-modify-write on an aligned 32-bit word: returns the old value (unsigned); status as for load. */
  compareExchange32(range: number, offset: number, expected: number, value: number): number;
  add32(range: number, offset: number, value: number): number;
  /**
   * Pins the pages of [offset, offset + size) and lists the longest contiguous runs as views over the shared memory,
   * zero-copy, in `out`. They stay valid until `unpin` with the same arguments. 0 or −errno (then nothing is pinned).
   */
  pin(range: number, offset: number, size: number, writable: boolean, out: Uint8Array[]): number;
  unpin(range: number, offset: number, size: number, writable: boolean): void;
}
