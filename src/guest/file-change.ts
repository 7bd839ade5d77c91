/** The less frequent operations on an open file. */
import { EINVAL, ENOSYS, EOPNOTSUPP, type Errno, EXDEV, OK } from '../wire/errno.ts';
import { FATTR_FLAGS } from '../wire/flags.ts';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE } from '../wire/mode.ts';
import { OPS } from '../wire/ops.ts';
import type { OpenFile } from './file.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';

const FALLOC_KNOWN = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
/** Bytes copied at a time when the host cannot copy. */
const COPY_STEP = 256 * 1024;

/** Sets the size on the host. No mapping is removed: accesses beyond the size are cut. */
export function truncateInode(mount: Mount, inode: Inode, size: number, file: OpenFile | undefined): Errno {
  if (!Number.isSafeInteger(size) || size < 0) return EINVAL;
  const { change } = mount.attrs;
  change.valid = FATTR_FLAGS.FATTR_SIZE;
  change.size = size;
  if (mount.session.credentials.uid !== 0 && mount.session.has('FUSE_HANDLE_KILLPRIV_V2')) {
    change.valid |= FATTR_FLAGS.FATTR_KILL_SUIDGID;
  }
  const errno = mount.inodes.change(inode, file?.fhToSend);
  if (errno === OK) mount.pages?.cut(inode, size);
  return errno;
}

export function truncateFile(file: OpenFile, size: number): Errno {
  return truncateInode(file.mount, file.inode, size, file);
}

export function fsyncFile(file: OpenFile, dataOnly: boolean): Errno {
  const { inode, mount } = file;
  const opcode = inode.isDirectory ? OPS.FSYNCDIR.code : OPS.FSYNC.code;
  const lost = mount.pages?.flush(file) ?? OK;
  const errno = mount.files.fsync(opcode, inode.nodeid, file.fh, dataOnly);
  return lost !== OK ? lost : errno;
}

export function fallocateFile(file: OpenFile, mode: number, pos: number, size: number): Errno {
  if (pos < 0 || size <= 0) return EINVAL;
  if ((mode & ~FALLOC_KNOWN) !== 0) return EOPNOTSUPP;
  const isPunch = (mode & FALLOC_FL_PUNCH_HOLE) !== 0;
  if (isPunch && (mode & FALLOC_FL_KEEP_SIZE) === 0) return EOPNOTSUPP;
  const { pages } = file.mount;
  pages?.write(file.inode);
  const errno = file.mount.files.fallocate(file.inode.nodeid, file.fh, mode, pos, size);
  if (errno !== OK) return errno;
  pages?.pagesInvalid(file.inode, pos, size);
  if ((mode & FALLOC_FL_KEEP_SIZE) === 0) file.mount.inodes.grow(file.inode, pos + size);
  else file.mount.inodes.expire(file.inode);
  return OK;
}

/** copy_file_range(2): the host copies, or we read and write. A count (0 = end of the source) or −errno. */
export function copyRange(from: OpenFile, pos: number, to: OpenFile, toPos: number, size: number): number {
  if (to.isAppend || !from.mayRead || !to.mayWrite) return -EINVAL;
  const isSame = from.inode === to.inode;
  if (isSame && pos < toPos + size && toPos < pos + size) return -EINVAL;
  const { files, inodes, pages } = from.mount;
  pages?.write(from.inode);
  pages?.write(to.inode);
  const n = files.copyFileRange(from.inode.nodeid, from.fh, pos, to.inode.nodeid, to.fh, toPos, size);
  if (n === -ENOSYS || n === -EOPNOTSUPP || n === -EXDEV) return copyByHand(from, pos, to, toPos, size);
  if (n > 0) inodes.grow(to.inode, toPos + n);
  if (n > 0) pages?.pagesInvalid(to.inode, toPos, n);
  return n;
}

function copyByHand(from: OpenFile, pos: number, to: OpenFile, toPos: number, size: number): number {
  const buffer = new Uint8Array(Math.min(size, COPY_STEP));
  let done = 0;
  while (done < size) {
    const wanted = Math.min(buffer.length, size - done);
    const n = from.pread(buffer, 0, wanted, pos + done);
    if (n <= 0) return done > 0 ? done : n;
    const written = to.pwrite(buffer, 0, n, toPos + done);
    if (written < 0) return done > 0 ? done : written;
    done += written;
    // As on the host: a short read was the end of the source.
    if (written < n || n < wanted) break;
  }
  return done;
}
