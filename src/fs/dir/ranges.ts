/**
 * fallocate and lseek on ranges.
 *
 * Limits of node:fs, which has neither call, unless native.ts has them: growing a file reserves no space, and asking
 * for nothing but that is EOPNOTSUPP; a punched hole is written as zeros and stays allocated; every file looks like one
 * piece of data with a hole at its end. The same where the file system behind cannot do better.
 */
import { fstatSync } from 'node:fs';
import type { Caller } from '../../host/inode.ts';
import { EINVAL, ENXIO, EOPNOTSUPP, type Errno, OK } from '../../wire/errno.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  SEEK_DATA,
  SEEK_HOLE,
} from '../../wire/mode.ts';
import type { Anchor } from './anchor.ts';
import { ACCESS_READ, ACCESS_WRITE, dropSuidgid, type FileData } from './data.ts';
import type { DirInode } from './inode.ts';
import { writeZeros } from './io.ts';
import type { Native } from './native.ts';

export class Ranges {
  readonly #anchor: Anchor;
  readonly #data: FileData;
  readonly #native: Native | undefined;

  constructor(anchor: Anchor, data: FileData, native: Native | undefined) {
    this.#anchor = anchor;
    this.#data = data;
    this.#native = native;
  }

  fallocate(inode: DirInode, mode: number, pos: number, size: number, killer: Caller | undefined): Errno {
    const keepsSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
    const kind = mode & ~FALLOC_FL_KEEP_SIZE;
    if (kind === FALLOC_FL_PUNCH_HOLE && !keepsSize) return EOPNOTSUPP;
    if (kind !== 0 && kind !== FALLOC_FL_PUNCH_HOLE && kind !== FALLOC_FL_ZERO_RANGE) return EOPNOTSUPP;
    const fd = this.#data.ensure(inode, ACCESS_WRITE);
    if (this.#native !== undefined) {
      const errno = this.#allocate(this.#native, inode, fd, mode, pos, size, killer);
      if (errno !== EOPNOTSUPP) return errno;
    }
    if (kind === 0 && keepsSize) return EOPNOTSUPP;
    const fileSize = fstatSync(fd).size;
    if (killer !== undefined) killSuidgid(this.#data, inode, fd, killer);
    const end = Math.min(pos + size, fileSize);
    if (kind !== 0 && pos < end) {
      const failed = zeroRange(this.#data, inode, pos, end - pos);
      if (failed !== OK) return failed;
    }
    const isGrowing = !keepsSize && pos + size > fileSize;
    // The same size again: nothing was written, but the times change all the same.
    if (!isGrowing && kind !== 0 && pos < end) return OK;
    return this.#data.resize(inode, isGrowing ? pos + size : fileSize, undefined);
  }

  /** Returns the position found, or an errno negated. */
  seek(inode: DirInode, pos: number, whence: number): number {
    // Holes that were stored into through a window are holes in the file until that is written back: if it cannot be,
    // the file does not know its holes.
    if (this.#native !== undefined && this.#data.flush(inode) === OK) {
      const fd = inode.data?.fd ?? this.#data.ensure(inode, ACCESS_READ);
      const found = this.#native.seek(fd, pos, whence);
      if (found !== -EINVAL) return found;
    }
    const fileSize = this.#anchor.stat(inode).size;
    if (pos >= fileSize) return -ENXIO;
    if (whence === SEEK_DATA) return pos;
    return whence === SEEK_HOLE ? fileSize : -ENXIO;
  }

  #allocate(
    native: Native,
    inode: DirInode,
    fd: number,
    mode: number,
    pos: number,
    size: number,
    killer: Caller | undefined,
  ): Errno {
    this.#data.before(inode);
    const oldSize = inode.seen.size;
    const errno = native.fallocate(fd, mode, pos, size);
    // Without `after`: if some of it was done, that is noticed like a change by somebody else.
    if (errno !== OK) return errno;
    if (killer !== undefined) dropSuidgid(fd, killer);
    const end = Math.min(pos + size, oldSize);
    if ((mode & ~FALLOC_FL_KEEP_SIZE) !== 0 && pos < end) inode.cached?.punch(pos, end - pos);
    this.#data.after(inode);
    return inode.cached?.resize(inode.seen.size) ?? OK;
  }
}

function killSuidgid(data: FileData, inode: DirInode, fd: number, killer: Caller): void {
  data.before(inode);
  dropSuidgid(fd, killer);
  data.after(inode);
}

function zeroRange(data: FileData, inode: DirInode, pos: number, size: number): Errno {
  data.before(inode);
  const failed = writeZeros(data.ensure(inode, ACCESS_WRITE), pos, size);
  // Also after a failure: some of it is zero now, and pages that are filled again show how much.
  inode.cached?.punch(pos, size);
  data.after(inode);
  return failed;
}
