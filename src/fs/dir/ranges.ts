/**
 * fallocate and lseek on ranges, as far as node:fs, which has neither call, can do them.
 *
 * Limits: growing a file reserves no space, and asking for nothing but that is EOPNOTSUPP; a punched hole is written as
 * zeros and stays allocated; every file looks like one piece of data with a hole at its end.
 */
import { fstatSync } from 'node:fs';
import type { Caller } from '../../host/inode.ts';
import { ENXIO, EOPNOTSUPP, type Errno, OK } from '../../wire/errno.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  SEEK_DATA,
  SEEK_HOLE,
} from '../../wire/mode.ts';
import { ACCESS_WRITE, dropSuidgid, type FileData } from './data.ts';
import type { DirInode } from './inode.ts';
import { writeZeros } from './io.ts';

export function fallocate(
  data: FileData,
  inode: DirInode,
  mode: number,
  pos: number,
  size: number,
  killer: Caller | undefined,
): Errno {
  const fd = data.ensure(inode, ACCESS_WRITE);
  const fileSize = fstatSync(fd).size;
  const keepsSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
  const kind = mode & ~FALLOC_FL_KEEP_SIZE;
  if (kind === 0 && keepsSize) return EOPNOTSUPP;
  if (kind === FALLOC_FL_PUNCH_HOLE && !keepsSize) return EOPNOTSUPP;
  if (kind !== 0 && kind !== FALLOC_FL_PUNCH_HOLE && kind !== FALLOC_FL_ZERO_RANGE) return EOPNOTSUPP;
  if (killer !== undefined) killSuidgid(data, inode, fd, killer);
  const end = Math.min(pos + size, fileSize);
  if (kind !== 0 && pos < end) {
    const failed = zeroRange(data, inode, pos, end - pos);
    if (failed !== OK) return failed;
  }
  const isGrowing = !keepsSize && pos + size > fileSize;
  // The same size again: nothing was written, but the times change all the same.
  if (!isGrowing && kind !== 0 && pos < end) return OK;
  return data.resize(inode, isGrowing ? pos + size : fileSize, undefined);
}

/** Returns the position found, or −ENXIO. */
export function seek(fileSize: number, pos: number, whence: number): number {
  if (pos >= fileSize) return -ENXIO;
  if (whence === SEEK_DATA) return pos;
  return whence === SEEK_HOLE ? fileSize : -ENXIO;
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
