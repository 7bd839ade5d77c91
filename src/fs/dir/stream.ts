/**
 * An open directory: a snapshot of its names, taken at the first read and again whenever reading starts anew. So an
 * entry that stays is listed exactly once, whatever comes and goes meanwhile. Cookie n resumes after the n-th entry;
 * "." and ".." are the first two.
 *
 * node:fs tells no inode numbers: an entry that is not known is asked for its own, unless the client looks it up too.
 * What cannot be asked, or is on another device, carries FUSE's "unknown inode number".
 */
import { type Dirent, lstatSync, readdirSync } from 'node:fs';
import type { ByteString } from '../../base/bytes.ts';
import type { DirSink, DirStream } from '../../host/file-system.ts';
import { ENOENT, type Errno, OK } from '../../wire/errno.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '../../wire/mode.ts';
import type { Anchor } from './anchor.ts';
import { errnoOf, isErrno } from './errors.ts';
import type { DirInode } from './inode.ts';
import { FIRST_MIXED } from './inode-table.ts';

/** SPEC: libfuse, FUSE_UNKNOWN_INO: programs expect a number that is not 0. */
const UNKNOWN_INO = 0xffff_ffff;
const QUIET = { throwIfNoEntry: false } as const;

export class DirectoryStream implements DirStream {
  readonly #anchor: Anchor;
  readonly #directory: DirInode;
  readonly #closed: () => void;
  readonly #names: ByteString[] = [];
  readonly #types: number[] = [];

  constructor(anchor: Anchor, directory: DirInode, closed: () => void) {
    this.#anchor = anchor;
    this.#directory = directory;
    this.#closed = closed;
  }

  read(offset: number, sink: DirSink): Errno {
    try {
      if (offset === 0 || this.#names.length === 0) this.#takeSnapshot();
    } catch (error) {
      return errnoOf(error);
    }
    for (let i = offset; i < this.#names.length; i++) {
      if (!sink.add(this.#names[i] as ByteString, this.#inoOf(i, sink.knowsIno), this.#types[i] as number, i + 1))
        break;
    }
    return OK;
  }

  close(): void {
    this.#closed();
  }

  #takeSnapshot(): void {
    this.#names.length = 0;
    this.#types.length = 0;
    this.#push('.' as ByteString, S_IFDIR);
    this.#push('..' as ByteString, S_IFDIR);
    for (const entry of this.#list()) this.#push(entry.name as ByteString, typeOf(entry));
  }

  #push(name: ByteString, type: number): void {
    this.#names.push(name);
    this.#types.push(type);
  }

  /** As strings with one unit per byte: a buffer for each name would cost more than the system calls. */
  #list(): Dirent[] {
    try {
      return readdirSync(this.#anchor.reach(this.#directory), { encoding: 'latin1', withFileTypes: true });
    } catch (error) {
      // A directory that was removed while it is open has no entries. SPEC: readdir(3) of the C library.
      if (isErrno(error, ENOENT)) return [];
      throw error;
    }
  }

  #inoOf(index: number, isLookedUp: boolean): number {
    if (index === 0) return this.#directory.ino;
    if (index === 1) return (this.#directory.parent ?? this.#directory).ino;
    const name = this.#names[index] as ByteString;
    const known = this.#directory.children?.get(name);
    if (known !== undefined || isLookedUp) return known?.ino ?? UNKNOWN_INO;
    return this.#askFor(name);
  }

  #askFor(name: ByteString): number {
    try {
      const stats = lstatSync(this.#anchor.child(this.#directory, name), QUIET);
      const isOurs = stats !== undefined && stats.dev === Number(this.#directory.realDev) && stats.ino < FIRST_MIXED;
      return isOurs ? stats.ino : UNKNOWN_INO;
    } catch {
      // A directory that may be listed and not searched.
      return UNKNOWN_INO;
    }
  }
}

function typeOf(entry: Dirent): number {
  if (entry.isFile()) return S_IFREG;
  if (entry.isDirectory()) return S_IFDIR;
  if (entry.isSymbolicLink()) return S_IFLNK;
  if (entry.isFIFO()) return S_IFIFO;
  if (entry.isSocket()) return S_IFSOCK;
  if (entry.isCharacterDevice()) return S_IFCHR;
  return entry.isBlockDevice() ? S_IFBLK : 0;
}
