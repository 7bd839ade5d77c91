/** Reading an open file: through the window if the inode is a DAX inode, else from the page cache or by READ. */
import { EIO, type Errno, OK } from '../wire/errno.ts';
import { isRefusal } from './dax-inode.ts';
import type { OpenFile } from './file.ts';

/** Reads up to `size` bytes from `pos`: a count, short at the end of the file, or −errno. */
export function readFileData(file: OpenFile, into: Uint8Array, at: number, size: number, pos: number): number {
  const { dax } = file.mount;
  if (size === 0) return 0;
  if (dax === undefined || !file.inode.isDax) return readPages(file, into, at, size, pos);
  const n = dax.read(file.inode, pos, into, at, size);
  return isRefusal(n) ? readFuse(file, into, at, size, pos) : n;
}

function readPages(file: OpenFile, into: Uint8Array, at: number, size: number, pos: number): number {
  const { pages } = file.mount;
  if (pages === undefined) return readFuse(file, into, at, size, pos);
  if (file.usesPages) return pages.read(file, into, at, size, pos);
  // Another handle may have left something in the cache.
  pages.write(file.inode);
  return readFuse(file, into, at, size, pos);
}

function readFuse(file: OpenFile, into: Uint8Array, at: number, size: number, pos: number): number {
  const { channel, session, counters } = file.mount;
  const isShared = into.buffer === channel.bytes.buffer;
  const limit = isShared ? session.maxRead : Math.min(session.maxRead, channel.dataSize);
  let done = 0;
  while (done < size) {
    const count = Math.min(size - done, limit);
    const address = isShared ? into.byteOffset + at + done : channel.data;
    const errno = readOnce(file, pos + done, count, address);
    if (errno !== OK) return done > 0 ? done : -errno;
    const n = channel.received;
    if (n > count) return -EIO;
    if (!isShared) into.set(channel.bytes.subarray(address, address + n), at + done);
    done += n;
    counters.bytesReadFuse += n;
    if (n > 0) file.mount.inodes.wasRead(file.inode);
    // SPEC: a READ is short only at the end of the file.
    if (n < count) break;
  }
  return done;
}

function readOnce(file: OpenFile, pos: number, size: number, address: number): Errno {
  return file.mount.files.read(file.inode.nodeid, file.fh, pos, size, address, file.flags);
}
