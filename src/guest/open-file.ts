/** An open file as programs hold it: synchronous, throws FsError, closes itself at the end of a `using` block. */
import { EBADF, EISDIR, type Errno, OK } from '../wire/errno.ts';
import { SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } from '../wire/mode.ts';
import { byteOffset, bytePosition, checkRange, type TimeLike, timeChange } from './arguments.ts';
import { chmodInode, chownInode, utimensInode } from './attr-calls.ts';
import { FsError } from './errors.ts';
import type { OpenFile } from './file.ts';
import { copyRange } from './file-change.ts';
import {
  findLock,
  flockFile,
  type LockInfo,
  type LockOptions,
  type LockRange,
  type LockType,
  type LockWait,
  lockRange,
} from './lock-calls.ts';
import { type Mapping, type MmapOptions, mmapFile } from './mapping.ts';
import { Stats } from './stats.ts';

export type Whence = 'set' | 'cur' | 'end' | 'data' | 'hole';

const WHENCE: Readonly<Record<Whence, number>> = {
  set: SEEK_SET,
  cur: SEEK_CUR,
  end: SEEK_END,
  data: SEEK_DATA,
  hole: SEEK_HOLE,
};

export class File {
  /** The path it was opened by, for messages. */
  readonly path: string;
  readonly #file: OpenFile;

  constructor(file: OpenFile, path: string) {
    this.#file = file;
    this.path = path;
  }

  get isOpen(): boolean {
    return this.#file.isOpen;
  }
  /** Whether reads and writes go through the DAX window. */
  get isDax(): boolean {
    return this.#file.mount.dax !== undefined && this.#file.inode.isDax;
  }

  /**
   * Reads into buffer[offset, offset + length). With a position like pread(2), else at the file's own position.
   * Returns the count; 0 at the end.
   */
  read(buffer: Uint8Array, offset = 0, length = buffer.length - offset, position?: number | bigint | null): number {
    checkRange(buffer, offset, length);
    const n =
      position === undefined || position === null
        ? this.#file.read(buffer, offset, length)
        : this.#file.pread(buffer, offset, length, bytePosition('position', position));
    return this.#count(n, 'read');
  }

  /** Writes buffer[offset, offset + length). Returns the count, short only when space ran out. */
  write(buffer: Uint8Array, offset = 0, length = buffer.length - offset, position?: number | bigint | null): number {
    checkRange(buffer, offset, length);
    const n =
      position === undefined || position === null
        ? this.#file.write(buffer, offset, length)
        : this.#file.pwrite(buffer, offset, length, bytePosition('position', position));
    return this.#count(n, 'write');
  }

  /** Writes all of the buffer, or throws. */
  writeAll(buffer: Uint8Array): void {
    for (let done = 0; done < buffer.length; ) done += this.write(buffer, done);
  }

  /** Reads from the position to the end. */
  readAll(): Uint8Array<ArrayBuffer> {
    const size = this.stat().size;
    const pos = this.seek(0, 'cur');
    // One byte more than expected: the read that fills less than asked has seen the end.
    let buffer = new Uint8Array(Math.max(0, size - pos) + 1);
    let done = 0;
    for (;;) {
      const n = this.read(buffer, done);
      done += n;
      if (n === 0) return buffer.slice(0, done);
      if (done === buffer.length) buffer = grown(buffer);
    }
  }

  stat(): Stats {
    this.#check(this.#file.refresh(), 'fstat');
    return new Stats(this.#file.inode);
  }

  truncate(size: number | bigint = 0): void {
    this.#check(this.#file.truncate(bytePosition('size', size)), 'ftruncate');
  }

  /** fsync(2) */
  sync(): void {
    this.#check(this.#file.fsync(false), 'fsync');
  }

  /** fdatasync(2) */
  datasync(): void {
    this.#check(this.#file.fsync(true), 'fdatasync');
  }

  /** lseek(2). Returns the new position. */
  seek(offset: number | bigint, whence: Whence = 'set'): number {
    return this.#count(this.#file.seek(byteOffset('offset', offset), WHENCE[whence]), 'lseek');
  }

  /** fallocate(2); `mode` is FALLOC_FL_* bits. */
  allocate(position: number | bigint, length: number | bigint, mode = 0): void {
    const errno = this.#file.fallocate(mode, bytePosition('position', position), bytePosition('length', length));
    this.#check(errno, 'fallocate');
  }

  chmod(mode: number): void {
    this.#check(this.#isUsable() ?? chmodInode(this.#file.mount, this.#file.inode, mode), 'fchmod');
  }

  chown(uid: number, gid: number): void {
    this.#check(this.#isUsable() ?? chownInode(this.#file.mount, this.#file.inode, uid, gid), 'fchown');
  }

  utimens(atime: TimeLike, mtime: TimeLike): void {
    const { mount, inode } = this.#file;
    this.#check(this.#isUsable() ?? utimensInode(mount, inode, timeChange(atime), timeChange(mtime)), 'futimens');
  }

  /** copy_file_range(2) at explicit positions. Returns the count; 0 at the end of this file. */
  copyTo(target: File, position: number | bigint, targetPosition: number | bigint, length: number | bigint): number {
    const from = bytePosition('position', position);
    const to = bytePosition('targetPosition', targetPosition);
    const n = copyRange(this.#file, from, target.#file, to, bytePosition('length', length));
    return this.#count(n, 'copy_file_range');
  }

  /**
   * fcntl(2): locks or releases a range of bytes for this guest (or for this open file alone, see `owner`). Throws
   * EAGAIN if somebody else has it; with `wait` EDEADLK if waiting could not end, with `timeoutMs` ETIMEDOUT.
   */
  lock(options: LockOptions): void {
    this.#check(lockRange(this.#file, options), 'fcntl');
  }

  /** Returns the lock that would keep `lock` from getting this range, the first if there are several. */
  getLock(type: 'shared' | 'exclusive', range: LockRange = {}): LockInfo | null {
    const found = findLock(this.#file, type, range);
    if (typeof found === 'number') throw new FsError(found, 'fcntl', this.path);
    return found ?? null;
  }

  /** flock(2): locks the whole file for this open file. A lock it has is converted, and lost if that fails. */
  flock(type: LockType, options: LockWait = {}): void {
    this.#check(flockFile(this.#file, type, options), 'flock');
  }

  /** mmap(2), shared. Throws ENODEV when the file is not read through a window. */
  mmap(options: MmapOptions = {}): Mapping {
    const mapping = this.#file.inode.isDirectory ? EISDIR : mmapFile(this.#file, options);
    if (typeof mapping === 'number') throw new FsError(mapping, 'mmap', this.path);
    return mapping;
  }

  /** Throws what FLUSH reported; the file is closed in any case. */
  close(): void {
    this.#check(this.#file.close(), 'close');
  }

  [Symbol.dispose](): void {
    if (this.isOpen) this.close();
  }

  #isUsable(): Errno | undefined {
    return this.isOpen ? undefined : EBADF;
  }

  #check(errno: Errno, syscall: string): void {
    if (errno !== OK) throw new FsError(errno, syscall, this.path);
  }

  #count(outcome: number, syscall: string): number {
    if (outcome < 0) throw new FsError(-outcome, syscall, this.path);
    return outcome;
  }
}

function grown(buffer: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(4096, buffer.length * 2));
  larger.set(buffer);
  return larger;
}
