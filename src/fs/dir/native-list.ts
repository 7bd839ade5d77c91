/**
 * A directory's entries as the system hands them out, many in each call, with their inode numbers.
 * SPEC: getdents64(2), struct linux_dirent64; Linux, fs/readdir.c, filldir64.
 */
import { Buffer } from 'node:buffer';
import type { ByteString } from '../../base/bytes.ts';
import { EINTR, type Errno } from '../../wire/errno.ts';
import { DirError } from './errors.ts';
import type { Listing } from './listing.ts';
import type { NativeFunction } from './native-at.ts';

const ROOM = 65536;
const TWO_32 = 2 ** 32;
/** Places in a record. */
const AT_RECLEN = 16;
const AT_TYPE = 18;
const AT_NAME = 19;
/** The name's NUL is among the last bytes: records are multiples of 8. */
const TAIL = 8;
/** DT_* are the upper bits of a mode. */
const TYPE_SHIFT = 12;
const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const DOT = '.' as ByteString;
const DOT_DOT = '..' as ByteString;

export class NativeLister {
  readonly #getdents: NativeFunction;
  readonly #errno: () => number;
  readonly #bytes = Buffer.alloc(ROOM);
  readonly #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, ROOM);

  constructor(getdents: NativeFunction, errno: () => number) {
    this.#getdents = getdents;
    this.#errno = errno;
  }

  /** Adds all entries but "." and ".." of the open directory. */
  list(fd: number, into: Listing): void {
    for (;;) {
      const size = this.#getdents(fd, this.#bytes, ROOM);
      if (size === 0) return;
      if (size > 0) this.#take(size, into);
      else this.#checkInterrupted();
    }
  }

  #checkInterrupted(): void {
    const errno = this.#errno() as Errno;
    if (errno !== EINTR) throw new DirError(errno, 'getdents64');
  }

  /** The names are parts of one string: cheaper than a string from the bytes of each. */
  #take(size: number, into: Listing): void {
    const view = this.#view;
    const text = this.#bytes.toString('latin1', 0, size);
    for (let at = 0; at < size; ) {
      const end = at + view.getUint16(at + AT_RECLEN, IS_LITTLE_ENDIAN);
      let nameEnd = Math.max(at + AT_NAME, end - TAIL);
      while (view.getUint8(nameEnd) !== 0) nameEnd++;
      const name = text.slice(at + AT_NAME, nameEnd) as ByteString;
      const type = view.getUint8(at + AT_TYPE) << TYPE_SHIFT;
      if (name !== DOT && name !== DOT_DOT) into.add(name, type, this.#inoAt(at));
      at = end;
    }
  }

  /** Not exact where it is too large to be used. */
  #inoAt(at: number): number {
    const low = this.#view.getUint32(IS_LITTLE_ENDIAN ? at : at + 4, IS_LITTLE_ENDIAN);
    const high = this.#view.getUint32(IS_LITTLE_ENDIAN ? at + 4 : at, IS_LITTLE_ENDIAN);
    return high * TWO_32 + low;
  }
}
