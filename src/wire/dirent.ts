/**
 * Directory entries as READDIR and READDIRPLUS carry them: a fixed part, the name without a NUL, zeroes up to the next
 * multiple of 8. A plus record starts with the entry's `fuse_entry_out`, which the caller fills in.
 *
 * The writer belongs to the server, the reader to the client, which does not trust what it reads.
 * SPEC: include/uapi/linux/fuse.h, FUSE_DIRENT_SIZE, FUSE_DIRENTPLUS_SIZE; fs/fuse/readdir.c, parse_dirfile.
 */
import { type ByteString, getBytes, setBytes } from '../base/bytes.ts';
import { EIO, type Errno, OK } from './errno.ts';
import { Dirent, Direntplus } from './fuse.ts';
import { NAME_MAX } from './ids.ts';
import { sizeOf } from './struct.ts';

const TWO_32 = 0x1_0000_0000;
const DIRENT_SIZE = sizeOf(Dirent);
/** Where the dirent of a plus record starts: after its entry_out. */
const PLUS_DIRENT = Direntplus.dirent.ino.offset;
const SLASH = 0x2f;

/** Bytes of a READDIR record, padding included. */
export function direntSize(nameLength: number): number {
  return align8(DIRENT_SIZE + nameLength);
}

/** Bytes of a READDIRPLUS record, padding included. */
export function direntPlusSize(nameLength: number): number {
  return align8(PLUS_DIRENT + DIRENT_SIZE + nameLength);
}

/**
 * Writes one record at `at` and returns its size; 0 = it would end after `limit`, and nothing was written.
 * `nextOffset` is the cookie of the entry after this one, `type` a DT_ number.
 */
export function writeDirent(
  view: DataView,
  at: number,
  limit: number,
  ino: number,
  nextOffset: number,
  type: number,
  name: ByteString,
): number {
  const size = direntSize(name.length);
  if (at + size > limit) return 0;
  Dirent.ino.set(view, at, ino);
  Dirent.off.setWords(view, at, nextOffset % TWO_32, Math.floor(nextOffset / TWO_32));
  Dirent.namelen.set(view, at, name.length);
  Dirent.type.set(view, at, type);
  let end = setBytes(view, at + Dirent.name.offset, name);
  while (end < at + size) view.setUint8(end++, 0);
  return size;
}

/** As `writeDirent`, after room for the `fuse_entry_out` at `at`, which stays as it is: the caller fills it in. */
export function writeDirentPlus(
  view: DataView,
  at: number,
  limit: number,
  ino: number,
  nextOffset: number,
  type: number,
  name: ByteString,
): number {
  const size = writeDirent(view, at + PLUS_DIRENT, limit, ino, nextOffset, type, name);
  return size === 0 ? 0 : PLUS_DIRENT + size;
}

const NOTHING = new DataView(new ArrayBuffer(0));

/**
 * Reads records one after another: `while (!reader.isDone) { const errno = reader.next(); … }`.
 * One reader serves many replies: `reset` gives it the next one.
 */
export class DirentReader {
  ino = 0;
  /** The cookie that continues after this entry, as two words: the client passes it back and never computes with it. */
  offLow = 0;
  offHigh = 0;
  /** A DT_ number. */
  type = 0;
  name = '' as ByteString;
  /** Where the `fuse_entry_out` of this entry starts; plus records only. */
  entryAt = 0;

  readonly #isPlus: boolean;
  #view: DataView = NOTHING;
  #at = 0;
  #end = 0;

  constructor(kind: 'plain' | 'plus') {
    this.#isPlus = kind === 'plus';
  }

  /** Starts reading the `size` bytes of records at `at`. */
  reset(view: DataView, at: number, size: number): void {
    this.#view = view;
    this.#at = at;
    this.#end = at + size;
  }

  /** No byte is left. */
  get isDone(): boolean {
    return this.#at >= this.#end;
  }

  /** Moves to the next record; EIO when there is none or it is malformed, and then the reader is done. */
  next(): Errno {
    const at = this.#isPlus ? this.#at + PLUS_DIRENT : this.#at;
    const end = at + DIRENT_SIZE > this.#end ? -1 : this.#endOf(at);
    if (end < 0) {
      this.#at = this.#end;
      return EIO;
    }
    const view = this.#view;
    this.entryAt = this.#at;
    this.ino = this.#inoAt(at);
    this.offLow = Dirent.off.low(view, at);
    this.offHigh = Dirent.off.high(view, at);
    this.type = Dirent.type.get(view, at);
    this.name = getBytes(view, at + DIRENT_SIZE, Dirent.namelen.get(view, at));
    this.#at = end;
    return OK;
  }

  /** Returns where the record of the dirent at `at` ends, or −1 if it is malformed. */
  #endOf(at: number): number {
    const length = Dirent.namelen.get(this.#view, at);
    if (length === 0 || length > NAME_MAX) return -1;
    const end = at + direntSize(length);
    if (end > this.#end) return -1;
    if (!Number.isSafeInteger(this.#inoAt(at))) return -1;
    for (let i = at + DIRENT_SIZE; i < at + DIRENT_SIZE + length; i++) {
      const byte = this.#view.getUint8(i);
      if (byte === 0 || byte === SLASH) return -1;
    }
    return end;
  }

  /** Unlike the field's `get`, does not throw; beyond 2^53 the number is not exact. */
  #inoAt(at: number): number {
    const high = this.#view.getUint32(at + Dirent.ino.offset + 4, true);
    return high * TWO_32 + this.#view.getUint32(at + Dirent.ino.offset, true);
  }
}

function align8(size: number): number {
  return (size + 7) & ~7;
}
