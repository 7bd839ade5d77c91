/**
 * Cuts a byte stream into FUSE messages. Each starts with its own length, and nothing else says where it ends: messages
 * arrive glued, split, or both. Every byte is copied once, from the chunk it came in to where the message shall lie.
 *
 * Use: `feed(chunk)`, then `next()` until it returns NEEDS_MORE; what it returned is there until the next call.
 * SPEC: include/uapi/linux/fuse.h: `len` is the first field of fuse_in_header and of fuse_out_header.
 */
import { assert } from '../../base/assert.ts';
import { REPLY_ROOM, REQUEST_ROOM } from '../../host/call.ts';

/** The chunk is used up, the next message is not whole. */
export const NEEDS_MORE = 0;
/** The length is one that no message has: the stream cannot be cut any further. */
export const BROKEN = -1;

const LEN_SIZE = 4;
/** Headers, structs and names that come with a payload, generously. */
const MESSAGE_HEAD = 4096;
const NOTHING = new Uint8Array(0);

/** Bytes of the longest message between ends that agreed on `maxWrite`; both ways. */
export function messageRoom(maxWrite: number): number {
  return MESSAGE_HEAD + Math.max(maxWrite, REQUEST_ROOM, REPLY_ROOM);
}

export class Framer {
  readonly #headerSize: number;
  #buffer: Uint8Array;
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  #filled = 0;

  /** Messages come to lie at the start of `buffer`, and must fit it; none is shorter than `headerSize`. */
  constructor(buffer: Uint8Array, headerSize: number) {
    this.#buffer = buffer;
    this.#headerSize = headerSize;
  }

  /** The length that the current message says it has, once that is known. */
  get announced(): number {
    const [a = 0, b = 0, c = 0, d = 0] = this.#buffer;
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  /** Whether a message has begun and not ended. */
  get isInMessage(): boolean {
    return this.#filled > 0;
  }

  /** Takes the next piece of the stream; the one before must be used up. */
  feed(chunk: Uint8Array): void {
    assert(this.#at === this.#chunk.length, 'a chunk is not used up');
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** Returns the size of the next whole message, NEEDS_MORE, or BROKEN. */
  next(): number {
    if (!this.#fill(LEN_SIZE)) return NEEDS_MORE;
    const size = this.announced;
    if (size < this.#headerSize || size > this.#buffer.length) return BROKEN;
    if (!this.#fill(size)) return NEEDS_MORE;
    this.#filled = 0;
    return size;
  }

  /** Puts the messages that follow elsewhere. */
  placeInto(buffer: Uint8Array): void {
    assert(this.#filled === 0, 'a message is moved while it comes in');
    this.#buffer = buffer;
  }

  #fill(size: number): boolean {
    const count = Math.min(size - this.#filled, this.#chunk.length - this.#at);
    if (count > 0) {
      this.#buffer.set(this.#chunk.subarray(this.#at, this.#at + count), this.#filled);
      this.#at += count;
      this.#filled += count;
    }
    return this.#filled >= size;
  }
}
