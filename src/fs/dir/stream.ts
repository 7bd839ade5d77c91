/**
 * An open directory: a snapshot of its names, taken at the first read and again whenever reading starts anew. So an
 * entry that stays is listed exactly once, whatever comes and goes meanwhile. Cookie n resumes after the n-th entry;
 * "." and ".." are the first two.
 *
 * node:fs tells no inode numbers, native system calls do. Without, an entry that is not known is asked for its own,
 * unless the client looks it up too. What cannot be asked, or is on another device, carries FUSE's "unknown inode
 * number".
 */
import type { ByteString } from '../../base/bytes.ts';
import type { DirSink, DirStream } from '../../host/file-system.ts';
import { ENOENT, type Errno, OK } from '../../wire/errno.ts';
import { S_IFDIR } from '../../wire/mode.ts';
import type { Anchor } from './anchor.ts';
import { errnoOf, isErrno } from './errors.ts';
import type { DirInode } from './inode.ts';
import { FIRST_MIXED } from './inode-table.ts';
import { Listing, UNTOLD_INO } from './listing.ts';

/** SPEC: libfuse, FUSE_UNKNOWN_INO: programs expect a number that is not 0. */
const UNKNOWN_INO = 0xffff_ffff;

export class DirectoryStream implements DirStream {
  readonly #anchor: Anchor;
  readonly #directory: DirInode;
  readonly #closed: () => void;
  readonly #listing = new Listing();

  constructor(anchor: Anchor, directory: DirInode, closed: () => void) {
    this.#anchor = anchor;
    this.#directory = directory;
    this.#closed = closed;
  }

  read(offset: number, sink: DirSink): Errno {
    const { names, types } = this.#listing;
    try {
      if (offset === 0 || names.length === 0) this.#takeSnapshot();
    } catch (error) {
      return errnoOf(error);
    }
    for (let i = offset; i < names.length; i++) {
      if (!sink.add(names[i] as ByteString, this.#inoOf(i, sink.knowsIno), types[i] as number, i + 1)) break;
    }
    return OK;
  }

  close(): void {
    this.#closed();
  }

  #takeSnapshot(): void {
    const directory = this.#directory;
    const listing = this.#listing;
    listing.clear();
    listing.add('.' as ByteString, S_IFDIR, directory.ino);
    listing.add('..' as ByteString, S_IFDIR, (directory.parent ?? directory).ino);
    try {
      this.#anchor.list(directory, listing);
    } catch (error) {
      // A directory that was removed while it is open has no entries. SPEC: readdir(3) of the C library.
      if (!isErrno(error, ENOENT)) throw error;
    }
  }

  #inoOf(index: number, isLookedUp: boolean): number {
    const ino = this.#listing.inos[index] as number;
    if (index < 2) return ino;
    const isShared = this.#directory.ino < FIRST_MIXED;
    // What is mounted on a directory has another number than the listing says, and perhaps we know it.
    const isTold = ino !== UNTOLD_INO && this.#listing.types[index] !== S_IFDIR;
    if (isTold && isShared && ino < FIRST_MIXED) return ino;
    const name = this.#listing.names[index] as ByteString;
    const known = this.#directory.children?.get(name);
    if (known !== undefined || isLookedUp) return known?.ino ?? UNKNOWN_INO;
    // Elsewhere our numbers are not the system's.
    if (!isShared) return UNKNOWN_INO;
    const real = ino === UNTOLD_INO ? this.#askFor(name) : ino;
    return real < FIRST_MIXED ? real : UNKNOWN_INO;
  }

  #askFor(name: ByteString): number {
    try {
      const stats = this.#anchor.find(this.#directory, name);
      return stats?.dev === this.#directory.met.dev ? stats.ino : UNKNOWN_INO;
    } catch (error) {
      // A directory that may be listed and not searched.
      errnoOf(error);
      return UNKNOWN_INO;
    }
  }
}
