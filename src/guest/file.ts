/**
 * An open file description: what open(2) makes. Several descriptors may share one later; here it is a host handle, the
 * flags, and the position. Everything returns a count or an errno negated; nothing throws.
 *
 * O_APPEND between guests: the host puts a WRITE on a handle opened with O_APPEND at the end of the file as *it* knows
 * it, whatever offset we send. Where the bytes went when others write, too, is known only after the size is asked for
 * again; that is done when somebody wants to know.
 */
import { EBADF, EINVAL, EISDIR, ENOSYS, ENXIO, EOVERFLOW, type Errno, ESRCH, OK } from '../wire/errno.ts';
import { FOPEN_FLAGS } from '../wire/flags.ts';
import type { Fh } from '../wire/ids.ts';
import {
  O_ACCMODE,
  O_APPEND,
  O_DIRECT,
  O_RDONLY,
  O_WRONLY,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
} from '../wire/mode.ts';
import { OPS } from '../wire/ops.ts';
import { OpenDirectory } from './directory.ts';
import { fallocateFile, fsyncFile, truncateFile } from './file-change.ts';
import { readFileData } from './file-read.ts';
import { writeFileData } from './file-write.ts';
import type { Inode } from './inode.ts';
import type { Mapping } from './mapping.ts';
import type { Mount } from './mount.ts';
import { Readahead } from './readahead.ts';
import type { SharedDescription } from './shared-description.ts';

/** What the fh is when the host does not want to hear about opens. */
export const NO_FH = 0 as Fh;

export class OpenFile {
  readonly mount: Mount;
  readonly inode: Inode;
  readonly fh: Fh;
  /** open(2) flags; fcntl(2) may change O_APPEND. */
  flags: number;
  /** Descriptors that name it. */
  refs = 1;
  /** Other threads of the process have it, too: position, flags and handle are theirs as well. */
  shared: SharedDescription | undefined;
  readonly #openFlags: number;
  readonly #hasHandle: boolean;
  /** A mapping keeps the description, as in POSIX: the handle is released after the last of them is gone. */
  readonly mappings = new Set<Mapping>();
  #hasFlock = false;
  readonly readahead = new Readahead();
  /** Errors of gathered writes that this description has been told of. */
  errorsSeen: number;
  #lockOwner = 0;
  #pos = 0;
  /** The last append left the position at the end of the file, wherever that is. */
  #isAtEnd = false;
  #isOpen = true;

  /** Takes over a handle; `openFlags` are the host's FOPEN_* bits. */
  constructor(mount: Mount, inode: Inode, fh: Fh, flags: number, openFlags: number, hasHandle: boolean) {
    this.mount = mount;
    this.inode = inode;
    this.fh = fh;
    this.flags = flags;
    this.#openFlags = openFlags;
    this.#hasHandle = hasHandle;
    this.errorsSeen = mount.pages?.errorsSeen(inode) ?? 0;
    mount.inodes.hold(inode);
    mount.openFiles.add(this);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }
  get mayRead(): boolean {
    return this.#isOpen && (this.flags & O_ACCMODE) !== O_WRONLY;
  }
  get mayWrite(): boolean {
    return this.#isOpen && (this.flags & O_ACCMODE) !== O_RDONLY;
  }
  get isAppend(): boolean {
    return (this.flags & O_APPEND) !== 0;
  }

  /** Whether it is read and written through this guest's page cache. */
  get usesPages(): boolean {
    return this.mayMapPages && (this.flags & O_DIRECT) === 0;
  }

  /** Whether its data may stay in this guest's page cache. */
  get mayMapPages(): boolean {
    return this.mount.pages !== undefined && (this.#openFlags & FOPEN_FLAGS.FOPEN_DIRECT_IO) === 0;
  }

  /** Reads at the position and moves it. */
  read(into: Uint8Array, at: number, size: number): number {
    if (this.shared === undefined) return this.#read(into, at, size);
    return this.#positioned(this.shared, () => this.#read(into, at, size));
  }

  #read(into: Uint8Array, at: number, size: number): number {
    const errno = this.#findPosition();
    if (errno !== OK) return -errno;
    const n = this.pread(into, at, size, this.#pos);
    if (n > 0) this.#pos += n;
    return n;
  }

  /** Writes at the position, or at the end with O_APPEND, and moves the position. */
  write(from: Uint8Array, at: number, size: number): number {
    if (this.shared === undefined) return this.#write(from, at, size);
    return this.#positioned(this.shared, () => this.#write(from, at, size));
  }

  #write(from: Uint8Array, at: number, size: number): number {
    if (this.isAppend) return this.#append(from, at, size);
    const errno = this.#findPosition();
    if (errno !== OK) return -errno;
    const n = this.#writeAt(from, at, size, this.#pos);
    if (n > 0) this.#pos += n;
    return n;
  }

  /**
   * The host puts it at the end. If we are told of what others do, and nobody told that the file had changed until we
   * were answered, that is the end we knew.
   */
  #append(from: Uint8Array, at: number, size: number): number {
    const { mount, inode } = this;
    if (this.shared === undefined) mount.notifications.hear();
    else mount.inodes.refreshSize(inode, this.fhToSend);
    const wasKnown = mount.notifications.isTold && !inode.isDoubtful;
    const n = this.#writeAt(from, at, size, inode.size);
    if (n <= 0) return n;
    mount.notifications.hear();
    this.#isAtEnd = !wasKnown || inode.isDoubtful;
    this.#pos = inode.size;
    return n;
  }

  pread(into: Uint8Array, at: number, size: number, pos: number): number {
    if (this.inode.isDirectory) return this.#isOpen ? -EISDIR : -EBADF;
    return this.mayRead ? readFileData(this, into, at, size, pos) : -EBADF;
  }

  /** As in Linux, O_APPEND wins over `pos`. */
  pwrite(from: Uint8Array, at: number, size: number, pos: number): number {
    // What this appends is behind the position. Threads that share one find it under its lock.
    const errno = this.shared === undefined ? this.#findPosition() : OK;
    return errno === OK ? this.#writeAt(from, at, size, pos) : -errno;
  }

  /** lseek(2): the new position, or −errno. */
  seek(offset: number, whence: number): number {
    if (this.shared === undefined) return this.#seek(offset, whence);
    return this.#positioned(this.shared, () => this.#seek(offset, whence));
  }

  #seek(offset: number, whence: number): number {
    if (!this.#isOpen) return -EBADF;
    const pos = this.#target(offset, whence);
    if (pos < 0) return pos;
    if (pos > Number.MAX_SAFE_INTEGER) return -EOVERFLOW;
    this.#pos = pos;
    this.#isAtEnd = false;
    return pos;
  }

  /** Asks for the attributes if they have expired. */
  refresh(): Errno {
    return this.#isOpen ? this.mount.inodes.refresh(this.inode, this.fhToSend) : EBADF;
  }

  truncate(size: number): Errno {
    return this.mayWrite ? truncateFile(this, size) : this.#isOpen ? EINVAL : EBADF;
  }

  fsync(dataOnly: boolean): Errno {
    return this.#isOpen ? fsyncFile(this, dataOnly) : EBADF;
  }

  fallocate(mode: number, pos: number, size: number): Errno {
    return this.mayWrite ? fallocateFile(this, mode, pos, size) : EBADF;
  }

  /** Flushes, then releases. The errno is that of FLUSH; the file is closed in any case. */
  close(): Errno {
    if (!this.#isOpen) return EBADF;
    if (this.shared !== undefined) return this.forget();
    const errno = this.#flush();
    this.#isOpen = false;
    if (this.mappings.size === 0) this.#release();
    return errno;
  }

  /** An open directory is listed, not read: the same handle as that. */
  toDirectory(): OpenDirectory {
    const { mount, inode } = this;
    const directory = new OpenDirectory(mount, inode, this.fh, this.#hasHandle, this.flags);
    this.#isOpen = false;
    mount.openFiles.delete(this);
    mount.inodes.release(inode);
    return directory;
  }

  /** This thread has no more to do with it; what is left is the others'. */
  forget(): Errno {
    if (!this.#isOpen) return OK;
    const { mount, inode } = this;
    this.#isOpen = false;
    mount.openFiles.delete(this);
    mount.pages?.write(inode);
    mount.inodes.release(inode);
    return OK;
  }

  /** Lets other threads of the process have it. */
  share(shared: SharedDescription): void {
    shared.pos = this.#pos;
    shared.isAtEnd = this.#isAtEnd;
    shared.describe(this.fh, this.inode, this.#hasHandle, this.flags, this.#openFlags, this.lockOwner());
    if (this.#hasFlock) shared.useFlock();
    this.shared = shared;
  }

  /** What close(2) of one of several descriptors does. */
  flush(): Errno {
    return this.#flush();
  }

  /** Called by a mapping when it goes. */
  removeMapping(mapping: Mapping): void {
    this.mappings.delete(mapping);
    if (this.shared !== undefined) {
      this.mount.pages?.write(this.inode);
      this.shared.drop(this.mount);
    } else if (!this.#isOpen && this.mappings.size === 0) this.#release();
  }

  /** The handle to name in GETATTR and SETATTR. */
  get fhToSend(): Fh | undefined {
    return this.#hasHandle ? this.fh : undefined;
  }

  /** Who this open file is as an owner of locks, apart from the process. */
  lockOwner(): number {
    if (this.shared !== undefined) return this.shared.lockOwner;
    if (this.#lockOwner === 0) this.#lockOwner = this.mount.locks.newOwner();
    return this.#lockOwner;
  }

  /** It may have a flock lock from here on, which RELEASE ends. */
  useFlock(): void {
    this.#hasFlock = true;
    this.shared?.useFlock();
  }

  /** A reader has nothing to report; but closing any descriptor takes the process's locks, and FLUSH does that. */
  #flush(): Errno {
    const { task } = this.mount;
    const hasLocks = task.takeLocks(this.inode);
    const isNeeded = hasLocks || (this.mayWrite && (this.#openFlags & FOPEN_FLAGS.FOPEN_NOFLUSH) === 0);
    if (hasLocks) this.mount.pages?.write(this.inode);
    const lost = this.mayWrite ? (this.mount.pages?.flush(this) ?? OK) : OK;
    const errno = isNeeded && this.#hasHandle ? this.mount.files.flush(this.inode.nodeid, this.fh, task.lockOwner) : OK;
    return lost !== OK ? lost : errno;
  }

  #release(): void {
    const { mount, inode } = this;
    const opcode = inode.isDirectory ? OPS.RELEASEDIR.code : OPS.RELEASE.code;
    mount.openFiles.delete(this);
    // Stores through a mapping that outlived the close: the handle that writes them goes now.
    mount.pages?.write(inode);
    if (this.#hasHandle) {
      mount.files.release(opcode, inode.nodeid, this.fh, this.flags, this.#hasFlock ? this.#lockOwner : 0);
    }
    mount.inodes.release(inode);
  }

  #target(offset: number, whence: number): number {
    if (whence === SEEK_DATA || whence === SEEK_HOLE) return this.#seekData(offset, whence);
    let base = 0;
    if (whence === SEEK_CUR) {
      const errno = this.#findPosition();
      if (errno !== OK) return -errno;
      base = this.#pos;
    } else if (whence === SEEK_END) {
      const errno = this.refresh();
      if (errno !== OK) return -errno;
      base = this.inode.size;
    } else if (whence !== 0) return -EINVAL;
    return base + offset < 0 ? -EINVAL : base + offset;
  }

  #seekData(offset: number, whence: number): number {
    if (offset < 0) return -ENXIO;
    this.mount.pages?.write(this.inode);
    const found = this.mount.files.lseek(this.inode.nodeid, this.fh, offset, whence);
    if (found !== -ENOSYS) return found;
    const errno = this.refresh();
    if (errno !== OK) return -errno;
    // Without the host's help a file is one run of data with a hole at its end.
    if (offset >= this.inode.size) return -ENXIO;
    return whence === SEEK_DATA ? offset : this.inode.size;
  }

  /** Runs `call` at the position of all threads, which wait for it. */
  #positioned(shared: SharedDescription, call: () => number): number {
    if (!shared.lock()) return -ESRCH;
    try {
      this.#pos = shared.pos;
      this.#isAtEnd = shared.isAtEnd;
      const outcome = call();
      shared.pos = this.#pos;
      shared.isAtEnd = this.#isAtEnd;
      return outcome;
    } finally {
      shared.unlock();
    }
  }

  #writeAt(from: Uint8Array, at: number, size: number, pos: number): number {
    return this.mayWrite ? writeFileData(this, from, at, size, this.isAppend ? this.inode.size : pos) : -EBADF;
  }

  #findPosition(): Errno {
    if (!this.#isAtEnd) return OK;
    const { mount, inode, fhToSend } = this;
    // Whoever appended last may be another thread, of which nobody told this one.
    const errno = this.shared === undefined ? this.refresh() : mount.inodes.fetch(inode, fhToSend);
    if (errno !== OK) return errno;
    this.#pos = this.inode.size;
    this.#isAtEnd = false;
    return OK;
  }
}
