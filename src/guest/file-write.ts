/**
 * Writing an open file. Through the window only what lies inside the file: storing bytes and growing the size are not
 * one step there, so a write that extends the file, and every append, is a WRITE request as a whole.
 */
import { EFBIG, EIO, OK } from '../wire/errno.ts';
import { O_DSYNC, S_ISGID, S_ISUID } from '../wire/mode.ts';
import { isRefusal } from './dax-inode.ts';
import type { OpenFile } from './file.ts';

/** Writes `size` bytes at `pos`: a count or −errno. */
export function writeFileData(file: OpenFile, from: Uint8Array, at: number, size: number, pos: number): number {
  if (size === 0) return 0;
  if (pos + size > Number.MAX_SAFE_INTEGER) return -EFBIG;
  const n = writeData(file, from, at, size, pos);
  if (n <= 0 || (file.flags & O_DSYNC) === 0) return n;
  const errno = file.fsync(true);
  return errno === OK ? n : -errno;
}

function writeData(file: OpenFile, from: Uint8Array, at: number, size: number, pos: number): number {
  const { dax } = file.mount;
  if (dax === undefined || !mayUseWindow(file, pos + size)) return writePages(file, from, at, size, pos);
  const n = dax.write(file.inode, pos, from, at, size);
  // A store through the window is a change of the file all the same: mtime must be asked for again.
  if (n > 0) file.mount.inodes.expire(file.inode);
  if (n === size) return n;
  if (n < 0) return isRefusal(n) ? writeFuse(file, from, at, size, pos) : n;
  const rest = writeFuse(file, from, at + n, size - n, pos + n);
  return rest < 0 && n === 0 ? rest : n + Math.max(0, rest);
}

function mayUseWindow(file: OpenFile, end: number): boolean {
  const { inode, mount } = file;
  if (!inode.isDax || file.isAppend) return false;
  // Whatever is wrong with it now, the WRITE will say.
  if (mount.inodes.refreshSize(inode, file.fhToSend) !== OK || end > inode.size) return false;
  return keepsMode(file);
}

/** The host clears set-id bits on a WRITE by anybody but root; a store that it does not see clears nothing. */
function keepsMode({ inode, mount }: OpenFile): boolean {
  return mount.session.credentials.uid === 0 || (inode.mode & (S_ISUID | S_ISGID)) === 0;
}

/** With a page cache: into it, if writes are gathered; else to the host first, whose pages here then follow. */
function writePages(file: OpenFile, from: Uint8Array, at: number, size: number, pos: number): number {
  const { inode, mount } = file;
  const { pages } = mount;
  if (pages === undefined || inode.isDax) return writeFuse(file, from, at, size, pos);
  const mayGather =
    pages.isWriteback && file.usesPages && !file.isAppend && file.shared === undefined && keepsMode(file);
  if (mayGather && mount.session.has('FUSE_WRITEBACK_CACHE') && pages.writeBack(file, from, at, size, pos)) return size;
  pages.write(inode);
  const oldSize = inode.size;
  const n = writeFuse(file, from, at, size, pos);
  // Where an append went, the host alone knows: somewhere behind the end that we knew.
  if (file.isAppend) pages.pagesInvalid(inode, Math.min(oldSize, pos));
  else if (n > 0) pages.wroteThrough(inode, from, at, n, pos);
  return n;
}

function writeFuse(file: OpenFile, from: Uint8Array, at: number, size: number, pos: number): number {
  const { channel, session, counters, files, inodes } = file.mount;
  const isShared = from.buffer === channel.bytes.buffer;
  const limit = isShared ? session.maxWrite : Math.min(session.maxWrite, channel.dataSize);
  let done = 0;
  while (done < size) {
    const count = Math.min(size - done, limit);
    const address = isShared ? from.byteOffset + at + done : channel.data;
    if (!isShared) channel.bytes.set(from.subarray(at + done, at + done + count), address);
    const errno = files.write(file.inode.nodeid, file.fh, pos + done, count, address, file.flags);
    if (errno !== OK) return done > 0 ? done : -errno;
    const n = files.written;
    if (n > count) return -EIO;
    done += n;
    counters.bytesWrittenFuse += n;
    inodes.grow(file.inode, pos + done);
    if (n < count) break;
  }
  return done;
}
