/** The kernel's end of a mount: one read returns one request, one write takes one whole reply. */
import { readSync, writeSync } from 'node:fs';

export interface FuseDevice {
  /** Waits for a request and puts it into `bytes`; returns its size, or an errno negated. */
  read(bytes: Uint8Array): number;
  /** Sends the first `size` bytes of `bytes` as one reply; returns `size`, or an errno negated. */
  write(bytes: Uint8Array, size: number): number;
}

/** System calls that return what node:fs would throw: an errno, negated. */
export interface DeviceCalls {
  read(fd: number, into: Uint8Array): number;
  write(fd: number, from: Uint8Array, size: number): number;
}

/** /dev/fuse, open and mounted, as a descriptor of this process. */
export class DescriptorDevice implements FuseDevice {
  readonly #fd: number;
  readonly #calls: DeviceCalls | undefined;

  /** `calls`: instead of node:fs. */
  constructor(fd: number, calls?: DeviceCalls) {
    this.#fd = fd;
    this.#calls = calls;
  }

  read(bytes: Uint8Array): number {
    if (this.#calls !== undefined) return this.#calls.read(this.#fd, bytes);
    try {
      return readSync(this.#fd, bytes, 0, bytes.length, null);
    } catch (error) {
      return errnoOf(error);
    }
  }

  write(bytes: Uint8Array, size: number): number {
    if (this.#calls !== undefined) return this.#calls.write(this.#fd, bytes, size);
    try {
      return writeSync(this.#fd, bytes, 0, size, null);
    } catch (error) {
      return errnoOf(error);
    }
  }
}

/** On Linux, the only system with this device, Node's `errno` is the system's, negated. */
function errnoOf(error: unknown): number {
  const { errno } = error as { errno?: number };
  if (typeof errno !== 'number') throw error;
  return errno;
}
