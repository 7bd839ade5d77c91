/** A backing for address spaces: a file that is an array, with calls recorded and failures on demand. */
import type { PageBacking } from '../../src/host/file-pages.ts';

export class FileBacking implements PageBacking {
  data: Uint8Array;
  readonly calls: string[] = [];
  /** Errno to fail the next writes with, 0 = none. */
  failWrites = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, data: Uint8Array) {
    this.#bytes = bytes;
    this.data = data;
  }

  read(pos: number, at: number, size: number): number {
    const n = Math.max(0, Math.min(size, this.data.length - pos));
    this.calls.push(`read ${pos} ${n}`);
    this.#bytes.set(this.data.subarray(pos, pos + n), at);
    return n;
  }

  write(pos: number, at: number, size: number): number {
    this.calls.push(`write ${pos} ${size}`);
    if (this.failWrites !== 0) return -this.failWrites;
    if (pos + size > this.data.length) {
      const longer = new Uint8Array(pos + size);
      longer.set(this.data);
      this.data = longer;
    }
    this.data.set(this.#bytes.subarray(at, at + size), pos);
    return size;
  }
}

/** Bytes that tell where they are: each 4-byte word is a hash of file number and position. */
export function pattern(size: number, file = 1): Uint8Array {
  const data = new Uint8Array(size);
  for (let i = 0; i < size; i++) data[i] = (Math.imul((i >> 2) + 1, 0x9e3779b1 + file * 2) >>> (8 * (i & 3))) & 0xff;
  return data;
}

/** Compares bytes; toEqual on a megabyte takes seconds. */
export function same(got: Uint8Array | number | undefined, wanted: Uint8Array): boolean {
  return got instanceof Uint8Array && Buffer.from(got.buffer, got.byteOffset, got.length).equals(wanted);
}
