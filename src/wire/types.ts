/**
 * The scalar types of the FUSE wire format: one class each, so that every `get` is a monomorphic call that the engine
 * inlines, and no access allocates. A field knows its byte offset in its struct; `at` is where the struct starts.
 *
 * 64-bit fields come in four kinds, chosen once per field in the struct table:
 * - `u64`: we compute with it; an exact number; a value above 2^53 − 1 makes the message malformed (`WireRangeError`);
 * - `i64`: signed seconds, exact numbers likewise;
 * - `sat64`: may legally mean "for ever" or "to the end" (validity times, lock ends, sizes a test of limits sends):
 *   reads as at most 2^53 − 1 instead of failing;
 * - `bits64`: nobody computes with it (cookies, lock owners, `unique`): a bigint for tests, words for the request path.
 * All are little-endian: both ends of this project are; foreign byte order is refused at INIT.
 */

const TWO_32 = 0x1_0000_0000;
const MAX_HIGH = 0x1f_ffff; // high word of 2^53 − 1

/** A 64-bit field holds a number that cannot be exact in JavaScript. The dispatcher answers EINVAL. */
export class WireRangeError extends RangeError {
  override readonly name = 'WireRangeError';
}

export class U8 {
  readonly kind = 'u8';
  readonly size = 1;
  readonly offset: number;
  constructor(offset: number) {
    this.offset = offset;
  }
  get(view: DataView, at: number): number {
    return view.getUint8(at + this.offset);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint8(at + this.offset, value);
  }
}

export class U16 {
  readonly kind = 'u16';
  readonly size = 2;
  readonly offset: number;
  constructor(offset: number) {
    this.offset = offset;
  }
  get(view: DataView, at: number): number {
    return view.getUint16(at + this.offset, true);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint16(at + this.offset, value, true);
  }
}

export class U32 {
  readonly kind = 'u32';
  readonly size = 4;
  readonly offset: number;
  constructor(offset: number) {
    this.offset = offset;
  }
  get(view: DataView, at: number): number {
    return view.getUint32(at + this.offset, true);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint32(at + this.offset, value, true);
  }
}

export class I32 {
  readonly kind = 'i32';
  readonly size = 4;
  readonly offset: number;
  constructor(offset: number) {
    this.offset = offset;
  }
  get(view: DataView, at: number): number {
    return view.getInt32(at + this.offset, true);
  }
  set(view: DataView, at: number, value: number): void {
    view.setInt32(at + this.offset, value, true);
  }
}

export class U64 {
  readonly kind = 'u64';
  readonly size = 8;
  readonly offset: number;
  constructor(offset: number) {
    this.offset = offset;
  }
  get(view: DataView, at: number): number {
    const high = view.getUint32(at + this.offset + 4, true);
    if (high === 0) return view.getUint32(at + this.offset, true);
    if (high > MAX_HIGH) throw new WireRangeError(`64-bit field at ${this.offset} is above 2^53 - 1`);
    return high * TWO_32 + view.getUint32(at + this.offset, true);
  }
  set(view: DataView, at: number, value: number): void {
    const low = value >>> 0;
    if (low === value) {
      // Nearly every value there is: no division.
      view.setUint32(at + this.offset, low, true);
      view.setUint32(at + this.offset + 4, 0, true);
      return;
    }
    if (!Number.isSafeInteger(value) || value < 0) throw new WireRangeError(`${value} does not fit a u64 exactly`);
    view.setUint32(at + this.offset, value % TWO_32, true);
    view.setUint32(at + this.offset + 4, Math.floor(value / TWO_32), true);
  }
}

export class I64 {
  readonly kind = 'i64';
  readonly size = 8;
  readonly offset: number;
  constructor(offset: number) {
    this.offset = offset;
  }
  get(view: DataView, at: number): number {
    const high = view.getInt32(at + this.offset + 4, true);
    if (high === 0) return view.getUint32(at + this.offset, true);
    if (high > MAX_HIGH || high < -MAX_HIGH - 1)
      throw new WireRangeError(`64-bit field at ${this.offset} is not exact`);
    return high * TWO_32 + view.getUint32(at + this.offset, true);
  }
  set(view: DataView, at: number, value: number): void {
    const low = value >>> 0;
    if (low === value) {
      view.setUint32(at + this.offset, low, true);
      view.setUint32(at + this.offset + 4, 0, true);
      return;
    }
    if (!Number.isSafeInteger(value)) throw new WireRangeError(`${value} does not fit an i64 exactly`);
    const high = Math.floor(value / TWO_32);
    view.setUint32(at + this.offset, value - high * TWO_32, true);
    view.setInt32(at + this.offset + 4, high, true);
  }
}

export class Sat64 {
  readonly kind = 'sat64';
  readonly size = 8;
  readonly offset: number;
  constructor(offset: number) {
    this.offset = offset;
  }
  get(view: DataView, at: number): number {
    const high = view.getUint32(at + this.offset + 4, true);
    if (high > MAX_HIGH) return Number.MAX_SAFE_INTEGER;
    return high * TWO_32 + view.getUint32(at + this.offset, true);
  }
  set(view: DataView, at: number, value: number): void {
    const low = value >>> 0;
    if (low === value) {
      view.setUint32(at + this.offset, low, true);
      view.setUint32(at + this.offset + 4, 0, true);
      return;
    }
    const exact = Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.trunc(value)));
    view.setUint32(at + this.offset, exact % TWO_32, true);
    view.setUint32(at + this.offset + 4, Math.floor(exact / TWO_32), true);
  }
}

export class Bits64 {
  readonly kind = 'bits64';
  readonly size = 8;
  readonly offset: number;
  constructor(offset: number) {
    this.offset = offset;
  }
  get(view: DataView, at: number): bigint {
    return view.getBigUint64(at + this.offset, true);
  }
  set(view: DataView, at: number, value: bigint): void {
    view.setBigUint64(at + this.offset, value, true);
  }
  low(view: DataView, at: number): number {
    return view.getUint32(at + this.offset, true);
  }
  high(view: DataView, at: number): number {
    return view.getUint32(at + this.offset + 4, true);
  }
  setWords(view: DataView, at: number, low: number, high: number): void {
    view.setUint32(at + this.offset, low, true);
    view.setUint32(at + this.offset + 4, high, true);
  }
}

/** A fixed run of scalars (`unused[11]`) or bytes that we carry but never compute with. */
export class Words {
  readonly kind = 'words';
  readonly offset: number;
  readonly size: number;
  readonly elementSize: number;
  readonly count: number;
  constructor(offset: number, elementSize: number, count: number) {
    this.offset = offset;
    this.elementSize = elementSize;
    this.count = count;
    this.size = elementSize * count;
  }
  get(view: DataView, at: number): Uint8Array {
    const copy = new Uint8Array(this.size);
    for (let i = 0; i < this.size; i++) copy[i] = view.getUint8(at + this.offset + i);
    return copy;
  }
  set(view: DataView, at: number, value: Uint8Array): void {
    for (let i = 0; i < this.size; i++) view.setUint8(at + this.offset + i, value[i] ?? 0);
  }
}

export type Scalar = U8 | U16 | U32 | I32 | U64 | I64 | Sat64 | Bits64 | Words;
