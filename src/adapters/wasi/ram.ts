/**
 * A program's memory, as its calls name places in it: by addresses that nobody has checked. Every access is preceded by
 * `has`. The memory may grow between two calls, and other threads of the program may write to it at any time, so what
 * is read is read once.
 */
import type { ByteString } from '../../base/bytes.ts';
import { FAULT, ILSEQ, INVAL, IOVEC_MAX, IOVEC_SIZE, NAMETOOLONG, SUCCESS } from './abi.ts';

const PATH_MAX = 4096;
/** What a count in 32 bits can tell, signed as programs read it. */
const TOTAL_MAX = 0x7fff_ffff;

export class Ram {
  bytes = new Uint8Array(0);
  view = new DataView(this.bytes.buffer);
  /** After `path`: what was there. */
  text = '' as ByteString;
  /** After `iovecs`: places and sizes, those of size 0 left out, and the sum. */
  readonly places: number[] = [];
  readonly sizes: number[] = [];
  total = 0;
  #memory: WebAssembly.Memory | undefined;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });

  get isBound(): boolean {
    return this.#memory !== undefined;
  }

  bind(memory: WebAssembly.Memory): void {
    this.#memory = memory;
    this.look();
  }

  /** To be called first in every call: a memory that has grown has another buffer. */
  look(): void {
    const buffer = this.#memory?.buffer;
    if (buffer === undefined || buffer === this.bytes.buffer) return;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Whether [at, at + size) lies in the memory. Both are unsigned numbers. */
  has(at: number, size: number): boolean {
    return at + size <= this.bytes.length;
  }

  setU64(at: number, value: number): void {
    this.view.setBigUint64(at, BigInt(value), true);
  }

  /** Stores a result of 32 bits; the errno of the call. */
  put32(at: number, value: number): number {
    if (!this.has(at, 4)) return FAULT;
    this.view.setUint32(at, value, true);
    return SUCCESS;
  }

  put64(at: number, value: bigint): number {
    if (!this.has(at, 8)) return FAULT;
    this.view.setBigUint64(at, value, true);
    return SUCCESS;
  }

  /** Reads a path into `text`. SPEC: WASI: paths are UTF-8. */
  path(at: number, size: number): number {
    if (!this.has(at, size)) return FAULT;
    if (size >= PATH_MAX) return NAMETOOLONG;
    let text = '';
    let isAscii = true;
    for (let i = 0; i < size; i++) {
      const byte = this.bytes[at + i] as number;
      if (byte > 0x7f) isAscii = false;
      text += String.fromCharCode(byte);
    }
    this.text = text as ByteString;
    return isAscii || this.#isUtf8(text) ? SUCCESS : ILSEQ;
  }

  /** Reads a vector of places; all of them lie in the memory. */
  iovecs(at: number, count: number): number {
    this.places.length = 0;
    this.sizes.length = 0;
    this.total = 0;
    if (count > IOVEC_MAX) return INVAL;
    if (!this.has(at, count * IOVEC_SIZE)) return FAULT;
    for (let i = at; i < at + count * IOVEC_SIZE; i += IOVEC_SIZE) {
      const place = this.view.getUint32(i, true);
      const size = this.view.getUint32(i + 4, true);
      if (!this.has(place, size)) return FAULT;
      if (size === 0) continue;
      this.places.push(place);
      this.sizes.push(size);
      this.total += size;
    }
    return this.total > TOTAL_MAX ? INVAL : SUCCESS;
  }

  #isUtf8(text: string): boolean {
    try {
      this.#decoder.decode(Uint8Array.from(text, (unit) => unit.charCodeAt(0)));
      return true;
    } catch {
      return false;
    }
  }
}
