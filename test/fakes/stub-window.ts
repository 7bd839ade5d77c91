/**
 * A window of plain memory: each range shows 2 MiB of some file's bytes. The test maps ranges itself, and makes
 * accesses fail where it wants.
 */
import type { Window } from '../../src/guest/window.ts';
import { EACCES, EFAULT, ENXIO } from '../../src/wire/errno.ts';

export const RANGE = 2 * 1024 * 1024;

interface Shown {
  readonly bytes: Uint8Array;
  readonly writable: boolean;
}

export class StubWindow implements Window {
  readonly rangeCount: number;
  status = 0;
  /** Accesses to a range at or beyond this offset are bus errors. */
  faultFrom = Number.POSITIVE_INFINITY;
  readonly shown: (Shown | undefined)[];
  /** Pins held, by range. */
  readonly pins: number[];

  constructor(rangeCount: number) {
    this.rangeCount = rangeCount;
    this.shown = Array.from({ length: rangeCount }, () => undefined);
    this.pins = Array.from({ length: rangeCount }, () => 0);
  }

  /** `bytes` is the chunk of the file, up to 2 MiB, shared with whoever passes it. */
  map(range: number, bytes: Uint8Array, writable: boolean): void {
    this.shown[range] = { bytes, writable };
  }

  unmap(range: number): void {
    this.shown[range] = undefined;
  }

  read(range: number, offset: number, into: Uint8Array, at: number, size: number): number {
    const bytes = this.#access(range, offset, size, false);
    if (bytes === undefined) return this.status;
    into.set(bytes, at);
    return bytes.length;
  }

  write(range: number, offset: number, from: Uint8Array, at: number, size: number): number {
    const bytes = this.#access(range, offset, size, true);
    if (bytes === undefined) return this.status;
    bytes.set(from.subarray(at, at + bytes.length));
    return bytes.length;
  }

  readTo(): number {
    return -ENXIO;
  }
  writeFrom(): number {
    return -ENXIO;
  }

  load(range: number, offset: number, width: 1 | 2 | 4): number {
    const bytes = this.#access(range, offset, width, false);
    if (bytes === undefined) return 0;
    const view = viewOf(bytes);
    return width === 1 ? view.getUint8(0) : width === 2 ? view.getUint16(0, true) : view.getUint32(0, true);
  }

  store(range: number, offset: number, width: 1 | 2 | 4, value: number): number {
    const bytes = this.#access(range, offset, width, true);
    if (bytes === undefined) return this.status;
    const view = viewOf(bytes);
    if (width === 1) view.setUint8(0, value);
    else if (width === 2) view.setUint16(0, value, true);
    else view.setUint32(0, value, true);
    return 0;
  }

  loadFloat64(range: number, offset: number): number {
    const bytes = this.#access(range, offset, 8, false);
    return bytes === undefined ? 0 : viewOf(bytes).getFloat64(0, true);
  }

  storeFloat64(range: number, offset: number, value: number): number {
    const bytes = this.#access(range, offset, 8, true);
    if (bytes === undefined) return this.status;
    viewOf(bytes).setFloat64(0, value, true);
    return 0;
  }

  compareExchange32(range: number, offset: number, expected: number, value: number): number {
    const old = this.load(range, offset, 4);
    if (this.status === 0 && old === expected >>> 0) this.store(range, offset, 4, value);
    return old;
  }

  add32(range: number, offset: number, value: number): number {
    const old = this.load(range, offset, 4);
    if (this.status === 0) this.store(range, offset, 4, old + value);
    return old;
  }

  pin(range: number, offset: number, size: number, writable: boolean, out: Uint8Array[]): number {
    const bytes = this.#access(range, offset, size, writable);
    if (bytes === undefined) return this.status;
    this.pins[range] = (this.pins[range] ?? 0) + 1;
    out.push(bytes);
    return 0;
  }

  unpin(range: number): void {
    this.pins[range] = (this.pins[range] ?? 0) - 1;
  }

  #access(range: number, offset: number, size: number, write: boolean): Uint8Array | undefined {
    const shown = this.shown[range];
    const isThere = shown !== undefined && offset < this.faultFrom && offset < shown.bytes.length;
    this.status = shown === undefined ? -ENXIO : !isThere ? -EFAULT : write && !shown.writable ? -EACCES : 0;
    if (this.status !== 0) return undefined;
    return shown?.bytes.subarray(offset, Math.min(offset + size, this.faultFrom));
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
