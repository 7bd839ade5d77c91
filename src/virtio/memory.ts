/**
 * The memory a queue lives in, as both ends see it: addresses are bytes from its start, values are little-endian.
 *
 * Everything a peer can write is copied out, never referenced: a value that was read stays what it was when checked.
 * `LocalMemory` is a buffer of this program, shared or not; another emulator's RAM can stand in its place.
 *
 * ORDER: `loadU16` and `storeU16` are sequentially consistent; all other accesses are plain. What was written plainly
 * before a `storeU16` is visible to whoever sees that value with `loadU16`, so no separate fence is needed.
 */
import { assert } from '../base/assert.ts';

export interface GuestMemory {
  /** Bytes; every address is below it. */
  readonly size: number;
  getU16(at: number): number;
  getU32(at: number): number;
  /** Exact up to 2^53; a greater value comes back rounded, but always far above any `size`, so range checks fail. */
  getU64(at: number): number;
  setU16(at: number, value: number): void;
  setU32(at: number, value: number): void;
  setU64(at: number, value: number): void;
  /** Sequentially consistent; `at` is even. For ring indexes, events and flags. */
  loadU16(at: number): number;
  /** Sequentially consistent; `at` is even. For ring indexes, events and flags. */
  storeU16(at: number, value: number): void;
  /** Copies `size` bytes at `at` to `into[from …]`. */
  read(at: number, into: Uint8Array, from: number, size: number): void;
  /** Copies `bytes[from … from + size − 1]` to `at`. */
  write(at: number, bytes: Uint8Array, from: number, size: number): void;
}

const TWO_32 = 0x1_0000_0000;

/** Up to this size a loop over words is faster than making the view that `set` needs, and makes no object. */
const LOOP_SIZE_MAX = 256;

/** Guest memory that is an `ArrayBuffer` or a `SharedArrayBuffer` (a WebAssembly memory's, of at most 4 GiB). */
export class LocalMemory implements GuestMemory {
  readonly buffer: ArrayBufferLike;
  readonly size: number;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #halves: Uint16Array;
  readonly #words: Uint32Array;
  /** The buffers of whoever copies all the time, as words; a request makes no object. */
  readonly #wordViews: { bytes: Uint8Array; words: Uint32Array }[] = [];

  constructor(buffer: ArrayBufferLike) {
    assert(buffer.byteLength <= TWO_32, 'local memory is at most 4 GiB');
    assert(new Uint8Array(Uint16Array.of(1).buffer)[0] === 1, 'atomic halves need a little-endian machine');
    this.buffer = buffer;
    this.size = buffer.byteLength;
    this.#view = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#halves = new Uint16Array(buffer, 0, buffer.byteLength >>> 1);
    this.#words = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  }

  getU16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  getU32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  getU64(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * TWO_32;
  }

  setU16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  setU64(at: number, value: number): void {
    this.#view.setUint32(at, value % TWO_32, true);
    this.#view.setUint32(at + 4, Math.floor(value / TWO_32), true);
  }

  loadU16(at: number): number {
    return Atomics.load(this.#halves, at >>> 1);
  }

  storeU16(at: number, value: number): void {
    // ORDER: sequentially consistent; what it publishes, and to whom, is said by the queue that calls it.
    Atomics.store(this.#halves, at >>> 1, value);
  }

  read(at: number, into: Uint8Array, from: number, size: number): void {
    assert(at + size <= this.size, 'read beyond the memory');
    assert(from + size <= into.length, 'read beyond the destination');
    if (size > LOOP_SIZE_MAX) into.set(this.#bytes.subarray(at, at + size), from);
    else if (((at | from | into.byteOffset) & 3) === 0) copyWords(this.#wordsOf(into), from, this.#words, at, size);
    else for (let i = 0; i < size; i++) into[from + i] = this.#bytes[at + i] as number;
    // The bytes after the last whole word.
    if (size <= LOOP_SIZE_MAX) for (let i = size & ~3; i < size; i++) into[from + i] = this.#bytes[at + i] as number;
  }

  write(at: number, bytes: Uint8Array, from: number, size: number): void {
    assert(at + size <= this.size, 'write beyond the memory');
    assert(from + size <= bytes.length, 'write beyond the source');
    const own = this.#bytes;
    if (size > LOOP_SIZE_MAX)
      own.set(from === 0 && size === bytes.length ? bytes : bytes.subarray(from, from + size), at);
    else if (((at | from | bytes.byteOffset) & 3) === 0) copyWords(this.#words, at, this.#wordsOf(bytes), from, size);
    else for (let i = 0; i < size; i++) own[at + i] = bytes[from + i] as number;
    if (size <= LOOP_SIZE_MAX) for (let i = size & ~3; i < size; i++) own[at + i] = bytes[from + i] as number;
  }

  #wordsOf(bytes: Uint8Array): Uint32Array {
    for (const view of this.#wordViews) if (view.bytes === bytes) return view.words;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    if (this.#wordViews.length === 4) this.#wordViews.shift();
    this.#wordViews.push({ bytes, words });
    return words;
  }
}

/** Copies the whole words of `size` bytes; both positions are multiples of 4. */
function copyWords(into: Uint32Array, intoAt: number, from: Uint32Array, fromAt: number, size: number): void {
  const to = intoAt >>> 2;
  const source = fromAt >>> 2;
  for (let i = 0; i < size >>> 2; i++) into[to + i] = from[source + i] as number;
}
