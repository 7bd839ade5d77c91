/**
 * A process of a guest: credentials, umask, working directory, root, and descriptors. System calls by descriptor and
 * path, as a kernel offers them: each returns a count or a value ≥ 0, or −errno, and nothing throws for what a program
 * does. Layers above (node:fs, WASI, Emscripten) put their own conventions on top.
 *
 * Several processes of one guest may run in one thread, one call at a time: each call makes its process the current
 * one.
 */
import type { ByteString } from '../base/bytes.ts';
import { EBADF, EINVAL, EISDIR, ENOENT, ENOTDIR, type Errno, ESPIPE, OK } from '../wire/errno.ts';
import { O_APPEND, O_CLOEXEC } from '../wire/mode.ts';
import type { TimeChange } from './attr-calls.ts';
import * as attr from './attr-calls.ts';
import type { Credentials } from './credentials.ts';
import { type Description, Descriptors } from './descriptors.ts';
import { OpenDirectory } from './directory.ts';
import { OpenFile } from './file.ts';
import { copyRange } from './file-change.ts';
import type { Inode } from './inode.ts';
import { flockFile, type LockOptions, type LockType, type LockWait, lockRange } from './lock-calls.ts';
import type { Mount } from './mount.ts';
import { pathOf, realPath } from './namei.ts';
import { openPath } from './open-calls.ts';
import * as paths from './path-calls.ts';
import { MAY_EXEC, permission } from './permission.ts';
import type { StatFs } from './stats.ts';
import { Task } from './task.ts';

/** The directory descriptor that means the working directory. */
export const AT_FDCWD = -100;

export class Process {
  readonly mount: Mount;
  readonly task: Task;
  readonly descriptors: Descriptors;

  constructor(mount: Mount, credentials: Credentials, parent?: Process) {
    this.mount = mount;
    const { root } = mount.inodes;
    const from = parent?.task;
    this.task = new Task(credentials, from?.root ?? root, from?.cwd ?? root, mount.locks.newOwner());
    this.descriptors = new Descriptors();
    mount.inodes.hold(this.task.root);
    mount.inodes.hold(this.task.cwd);
  }

  /** fork(2): a process with the same files, directories and credentials. */
  fork(pid: number): Process {
    const child = new Process(this.mount, { ...this.task.credentials, pid }, this);
    for (const [fd, description, closes] of this.descriptors) {
      description.refs++;
      child.descriptors.add(description, closes, fd);
    }
    return child;
  }

  /** What execve(2) does to descriptors. */
  exec(): void {
    for (const [fd, , closes] of [...this.descriptors]) if (closes) this.close(fd);
  }

  /** Closes everything. */
  exit(): void {
    for (const [fd] of [...this.descriptors]) this.close(fd);
    this.mount.inodes.release(this.task.cwd);
    this.mount.inodes.release(this.task.root);
  }

  /** Runs `call` on behalf of this process. */
  as<T>(call: () => T): T {
    const before = this.mount.enter(this.task);
    try {
      return call();
    } finally {
      this.mount.enter(before);
    }
  }

  openat(dirfd: number, path: ByteString, flags: number, mode = 0): number {
    const { mount } = this;
    return this.#at(dirfd, path, (base) => {
      const opened = openPath(mount, base, path, flags & ~O_CLOEXEC, mode);
      if (typeof opened === 'number') return -opened;
      return this.#add(opened.inode.isDirectory ? opened.toDirectory() : opened, (flags & O_CLOEXEC) !== 0);
    });
  }

  close(fd: number): number {
    return this.as(() => {
      const description = this.descriptors.remove(fd);
      return description === undefined ? -EBADF : 0 - this.#drop(description);
    });
  }

  /** fcntl(F_DUPFD): the lowest free number from `from` on. */
  dup(fd: number, from = 0, closesOnExec = false): number {
    const description = this.descriptors.get(fd);
    if (description === undefined) return -EBADF;
    const made = this.descriptors.add(description, closesOnExec, from);
    if (made >= 0) description.refs++;
    return made;
  }

  /** dup3(2), and dup2(2), which does nothing when both are one. */
  dup2(fd: number, to: number, closesOnExec = false): number {
    const description = this.descriptors.get(fd);
    if (description === undefined) return -EBADF;
    if (fd === to) return fd;
    const before = this.descriptors.replace(to, description, closesOnExec);
    if (typeof before === 'number') return -before;
    description.refs++;
    if (before !== undefined) this.as(() => this.#drop(before));
    return to;
  }

  /** The open file of a descriptor, for what is not a call here: locks, mappings. */
  file(fd: number): OpenFile | undefined {
    const description = this.descriptors.get(fd);
    return description instanceof OpenFile ? description : undefined;
  }

  directory(fd: number): OpenDirectory | undefined {
    const description = this.descriptors.get(fd);
    return description instanceof OpenDirectory ? description : undefined;
  }

  read(fd: number, into: Uint8Array, at = 0, size = into.length - at): number {
    return this.#withFile(fd, (file) => file.read(into, at, size));
  }

  write(fd: number, from: Uint8Array, at = 0, size = from.length - at): number {
    return this.#withFile(fd, (file) => file.write(from, at, size));
  }

  pread(fd: number, into: Uint8Array, at: number, size: number, pos: number): number {
    return pos < 0 ? -EINVAL : this.#withFile(fd, (file) => file.pread(into, at, size, pos));
  }

  pwrite(fd: number, from: Uint8Array, at: number, size: number, pos: number): number {
    return pos < 0 ? -EINVAL : this.#withFile(fd, (file) => file.pwrite(from, at, size, pos));
  }

  lseek(fd: number, offset: number, whence: number): number {
    return this.#withFile(fd, (file) => file.seek(offset, whence), ESPIPE);
  }

  ftruncate(fd: number, size: number): number {
    return this.#withFile(fd, (file) => -file.truncate(size), EINVAL);
  }

  fallocate(fd: number, mode: number, pos: number, size: number): number {
    return this.#withFile(fd, (file) => -file.fallocate(mode, pos, size));
  }

  fsync(fd: number, dataOnly = false): number {
    return this.#withDescription(fd, (description) => description.fsync(dataOnly));
  }

  copyFileRange(fd: number, pos: number, to: number, toPos: number, size: number): number {
    return this.#withFile(fd, (file) => {
      const target = this.file(to);
      return target === undefined ? -EBADF : copyRange(file, pos, target, toPos, size);
    });
  }

  /** fcntl(F_SETLK), F_SETLKW, F_OFD_SETLK. */
  lock(fd: number, options: LockOptions): number {
    return this.#withFile(fd, (file) => -lockRange(file, options), EBADF);
  }

  flock(fd: number, type: LockType, options: LockWait = {}): number {
    return this.#withFile(fd, (file) => -flockFile(file, type, options), EBADF);
  }

  /** fcntl(F_GETFL), F_SETFL: of the flags only O_APPEND can change. */
  getFlags(fd: number): number {
    const description = this.descriptors.get(fd);
    return description === undefined ? -EBADF : description.flags;
  }

  setFlags(fd: number, flags: number): number {
    return this.#withFile(fd, (file) => {
      file.flags = (file.flags & ~O_APPEND) | (flags & O_APPEND);
      return 0;
    });
  }

  /** The inode of a descriptor with fresh attributes, or an Errno. */
  fstat(fd: number): Inode | Errno {
    return this.as(() => {
      const description = this.descriptors.get(fd);
      if (description === undefined) return EBADF;
      const errno =
        description instanceof OpenFile ? description.refresh() : this.mount.inodes.refresh(description.inode);
      return errno === OK ? description.inode : errno;
    });
  }

  /** The inode of a path with fresh attributes, or an Errno. Valid until the next call. */
  fstatat(dirfd: number, path: ByteString, follow: boolean): Inode | Errno {
    const { mount } = this;
    const errno = this.#at(dirfd, path, (base) => attr.statPath(mount, base, path, follow));
    return errno === OK ? mount.namei.inode : (Math.abs(errno) as Errno);
  }

  mkdirat(dirfd: number, path: ByteString, mode: number): number {
    return this.#at(dirfd, path, (base) => -paths.mkdirPath(this.mount, base, path, mode));
  }

  mknodat(dirfd: number, path: ByteString, mode: number, rdev = 0): number {
    return this.#at(dirfd, path, (base) => -paths.mknodPath(this.mount, base, path, mode, rdev));
  }

  unlinkat(dirfd: number, path: ByteString, isDirectory: boolean): number {
    const remove = isDirectory ? paths.rmdirPath : paths.unlinkPath;
    return this.#at(dirfd, path, (base) => -remove(this.mount, base, path));
  }

  renameat(dirfd: number, path: ByteString, newDirfd: number, newPath: ByteString, flags = 0): number {
    return this.#at(dirfd, path, (base) =>
      this.#at(newDirfd, newPath, (newBase) => -paths.renamePath(this.mount, base, path, newBase, newPath, flags)),
    );
  }

  /** `follow`: AT_SYMLINK_FOLLOW. */
  linkat(dirfd: number, path: ByteString, newDirfd: number, newPath: ByteString, follow = false): number {
    return this.#at(dirfd, path, (base) =>
      this.#at(newDirfd, newPath, (newBase) => -paths.linkPath(this.mount, base, path, newBase, newPath, follow)),
    );
  }

  symlinkat(target: ByteString, dirfd: number, path: ByteString): number {
    return this.#at(dirfd, path, (base) => -paths.symlinkPath(this.mount, target, base, path));
  }

  readlinkat(dirfd: number, path: ByteString): ByteString | Errno {
    const { namei } = this.mount;
    let target: ByteString | Errno = OK;
    const errno = this.#at(dirfd, path, (base) => {
      const found = namei.resolve(base, path, false);
      if (found === OK) target = namei.readlink(namei.inode);
      return -found;
    });
    return errno === 0 ? target : (-errno as Errno);
  }

  realpath(path: ByteString): ByteString | Errno {
    return this.as(() => realPath(this.mount.namei, this.task.cwd, path));
  }

  statfs(path: ByteString): StatFs | Errno {
    return this.as(() => attr.statfsPath(this.mount, this.task.cwd, path));
  }

  faccessat(dirfd: number, path: ByteString, mask: number): number {
    return this.#at(dirfd, path, (base) => -attr.accessPath(this.mount, base, path, mask));
  }

  truncate(path: ByteString, size: number): number {
    return this.#at(AT_FDCWD, path, (base) => -attr.truncatePath(this.mount, base, path, size));
  }

  fchmodat(dirfd: number, path: ByteString, mode: number, follow = true): number {
    return this.#withInode(dirfd, path, follow, (inode) => attr.chmodInode(this.mount, inode, mode));
  }

  fchownat(dirfd: number, path: ByteString, uid: number, gid: number, follow = true): number {
    return this.#withInode(dirfd, path, follow, (inode) => attr.chownInode(this.mount, inode, uid, gid));
  }

  utimensat(dirfd: number, path: ByteString, atime: TimeChange, mtime: TimeChange, follow = true): number {
    return this.#withInode(dirfd, path, follow, (inode) => attr.utimensInode(this.mount, inode, atime, mtime));
  }

  fchmod(fd: number, mode: number): number {
    return this.#withDescription(fd, ({ inode }) => attr.chmodInode(this.mount, inode, mode));
  }

  fchown(fd: number, uid: number, gid: number): number {
    return this.#withDescription(fd, ({ inode }) => attr.chownInode(this.mount, inode, uid, gid));
  }

  futimens(fd: number, atime: TimeChange, mtime: TimeChange): number {
    return this.#withDescription(fd, ({ inode }) => attr.utimensInode(this.mount, inode, atime, mtime));
  }

  chdir(path: ByteString): number {
    return this.#withInode(AT_FDCWD, path, true, (inode) => this.#enterDirectory(inode, 'cwd'));
  }

  fchdir(fd: number): number {
    return this.#withDescription(fd, ({ inode }) => this.#enterDirectory(inode, 'cwd'));
  }

  chroot(path: ByteString): number {
    return this.#withInode(AT_FDCWD, path, true, (inode) => this.#enterDirectory(inode, 'root'));
  }

  /** The absolute path of the working directory, or ENOENT when it is gone or outside of the root. */
  getcwd(): ByteString | Errno {
    const { cwd, root } = this.task;
    if (cwd.nlink === 0 && this.mount.inodes.refresh(cwd) === OK && cwd.nlink === 0) return ENOENT;
    return pathOf(cwd, root) ?? ENOENT;
  }

  /** Returns the umask there was. */
  umask(mask: number): number {
    const { credentials } = this.task;
    this.task.credentials = { ...credentials, umask: mask & 0o777 };
    return credentials.umask;
  }

  /** setresuid(2) and its kin, without asking who may: what runs here was let in already. */
  setCredentials(change: Partial<Credentials>): void {
    this.task.credentials = { ...this.task.credentials, ...change };
  }

  #add(description: Description, closesOnExec: boolean): number {
    const fd = this.descriptors.add(description, closesOnExec);
    if (fd < 0) this.#drop(description);
    return fd;
  }

  /** One descriptor of it is gone. */
  #drop(description: Description): Errno {
    if (--description.refs > 0) return description instanceof OpenFile ? description.flush() : OK;
    return description.close();
  }

  #enterDirectory(inode: Inode, place: 'cwd' | 'root'): Errno {
    const { mount, task } = this;
    if (!inode.isDirectory) return ENOTDIR;
    const errno = mount.inodes.refresh(inode);
    if (errno !== OK) return errno;
    const allowed = permission(inode, MAY_EXEC, task.credentials);
    if (allowed !== OK) return allowed;
    mount.inodes.hold(inode);
    mount.inodes.release(task[place]);
    task[place] = inode;
    return OK;
  }

  /** Runs `call` with the directory that a relative path starts from. */
  #at(dirfd: number, path: ByteString, call: (base: Inode) => number): number {
    return this.as(() => {
      if (dirfd === AT_FDCWD || path.charCodeAt(0) === SLASH) return call(this.task.cwd) + 0;
      const description = this.descriptors.get(dirfd);
      if (description === undefined) return -EBADF;
      return description.inode.isDirectory ? call(description.inode) + 0 : -ENOTDIR;
    });
  }

  #withInode(dirfd: number, path: ByteString, follow: boolean, call: (inode: Inode) => Errno): number {
    const { namei } = this.mount;
    return this.#at(dirfd, path, (base) => {
      const errno = namei.resolve(base, path, follow);
      return errno === OK ? -call(namei.inode) : -errno;
    });
  }

  #withDescription(fd: number, call: (description: Description) => Errno): number {
    const description = this.descriptors.get(fd);
    return description === undefined ? -EBADF : this.as(() => 0 - call(description));
  }

  /** `otherwise`: what the call answers for a directory. */
  #withFile(fd: number, call: (file: OpenFile) => number, otherwise: Errno = EISDIR): number {
    const description = this.descriptors.get(fd);
    if (description === undefined) return -EBADF;
    return description instanceof OpenFile ? this.as(() => call(description) + 0) : -otherwise;
  }
}

const SLASH = 0x2f;
