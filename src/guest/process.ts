/**
 * A process of a guest: credentials, umask, working directory, root, and descriptors. System calls by descriptor and
 * path, as a kernel offers them: each returns a count or a value ≥ 0, or −errno, and nothing throws for what a program
 * does. Layers above (node:fs, WASI, Emscripten) put their own conventions on top.
 *
 * `share` makes it a process of several threads: workers that are CPUs of the same guest join it.
 *
 * Several processes of one guest may run in one thread, one call at a time: each call makes its process the current
 * one.
 */
import type { ByteString } from '../base/bytes.ts';
import { EBADF, EINVAL, ENOENT, type Errno, ESPIPE, ESRCH, OK } from '../wire/errno.ts';
import { O_APPEND, O_CLOEXEC } from '../wire/mode.ts';
import type { TimeChange } from './attr-calls.ts';
import * as attr from './attr-calls.ts';
import type { Description } from './descriptors.ts';
import { OpenDirectory } from './directory.ts';
import { OpenFile } from './file.ts';
import { copyRange } from './file-change.ts';
import type { Inode } from './inode.ts';
import { flockFile, type LockOptions, type LockType, type LockWait, lockRange } from './lock-calls.ts';
import type { Mount } from './mount.ts';
import { pathOf, realPath } from './namei.ts';
import { openPath } from './open-calls.ts';
import * as paths from './path-calls.ts';
import { AT_FDCWD, ProcessBase } from './process-base.ts';
import { type ProcessMemory, SharedProcess } from './shared-process.ts';
import type { StatFs } from './stats.ts';

export { AT_FDCWD };

export class Process extends ProcessBase {
  /** Makes another worker's process one of this worker's, too: a thread of it. */
  static join(mount: Mount, memory: ProcessMemory): Process {
    const thread = new Process(mount, mount.task.credentials);
    thread.become(SharedProcess.join(mount, memory));
    return thread;
  }

  /** fork(2): a process with the same files, directories and credentials. Throws for one that workers share. */
  fork(pid: number): Process {
    return new Process(this.mount, { ...this.task.credentials, pid }, this);
  }

  /** What execve(2) does to descriptors. */
  exec(): void {
    for (const fd of this.descriptors.closing()) this.close(fd);
  }

  openat(dirfd: number, path: ByteString, flags: number, mode = 0): number {
    const { mount } = this;
    return this.at(dirfd, path, (base) => {
      const opened = openPath(mount, base, path, flags & ~O_CLOEXEC, mode);
      if (typeof opened === 'number') return -opened;
      return this.#add(opened.inode.isDirectory ? opened.toDirectory() : opened, (flags & O_CLOEXEC) !== 0);
    });
  }

  close(fd: number): number {
    return this.as(() => 0 - this.descriptors.close(fd));
  }

  /** fcntl(F_DUPFD): the lowest free number from `from` on. */
  dup(fd: number, from = 0, closesOnExec = false): number {
    return this.descriptors.dup(fd, from, closesOnExec);
  }

  /** dup3(2), and dup2(2), which does nothing when both are one. */
  dup2(fd: number, to: number, closesOnExec = false): number {
    return this.as(() => this.descriptors.dup2(fd, to, closesOnExec));
  }

  directory(fd: number): OpenDirectory | undefined {
    const description = this.look(fd);
    return description instanceof OpenDirectory ? description : undefined;
  }

  /** fcntl(F_GETFD, F_SETFD): FD_CLOEXEC. */
  closesOnExec(fd: number): boolean {
    return this.descriptors.closesOnExec(fd);
  }

  setClosesOnExec(fd: number, closes: boolean): void {
    this.descriptors.setClosesOnExec(fd, closes);
  }

  read(fd: number, into: Uint8Array, at = 0, size = into.length - at): number {
    return this.withFile(fd, (file) => file.read(into, at, size));
  }

  write(fd: number, from: Uint8Array, at = 0, size = from.length - at): number {
    return this.withFile(fd, (file) => file.write(from, at, size));
  }

  pread(fd: number, into: Uint8Array, at: number, size: number, pos: number): number {
    return pos < 0 ? -EINVAL : this.withFile(fd, (file) => file.pread(into, at, size, pos));
  }

  pwrite(fd: number, from: Uint8Array, at: number, size: number, pos: number): number {
    return pos < 0 ? -EINVAL : this.withFile(fd, (file) => file.pwrite(from, at, size, pos));
  }

  lseek(fd: number, offset: number, whence: number): number {
    return this.withFile(fd, (file) => file.seek(offset, whence), ESPIPE);
  }

  ftruncate(fd: number, size: number): number {
    return this.withFile(fd, (file) => -file.truncate(size), EINVAL);
  }

  fallocate(fd: number, mode: number, pos: number, size: number): number {
    return this.withFile(fd, (file) => -file.fallocate(mode, pos, size));
  }

  fsync(fd: number, dataOnly = false): number {
    return this.withDescription(fd, (description) => description.fsync(dataOnly));
  }

  copyFileRange(fd: number, pos: number, to: number, toPos: number, size: number): number {
    return this.withFile(fd, (file) => this.withFile(to, (target) => copyRange(file, pos, target, toPos, size), EBADF));
  }

  /** fcntl(F_SETLK), F_SETLKW, F_OFD_SETLK. */
  lock(fd: number, options: LockOptions): number {
    return this.withFile(
      fd,
      (file) => {
        const errno = lockRange(file, options);
        // SPEC: Linux, do_fcntl: another thread closed it while we waited: its close cannot have taken this lock.
        if (errno === OK && file.shared !== undefined && this.look(fd) !== file) {
          lockRange(file, { ...options, type: 'unlock' });
          return -EBADF;
        }
        return -errno;
      },
      EBADF,
    );
  }

  flock(fd: number, type: LockType, options: LockWait = {}): number {
    return this.withFile(fd, (file) => -flockFile(file, type, options), EBADF);
  }

  /** fcntl(F_GETFL), F_SETFL: of the flags only O_APPEND can change. */
  getFlags(fd: number): number {
    return this.look(fd)?.flags ?? -EBADF;
  }

  setFlags(fd: number, flags: number): number {
    return this.withFile(fd, (file) => {
      this.descriptors.setFlags(file, (file.flags & ~O_APPEND) | (flags & O_APPEND));
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
      this.descriptors.put(description);
      return errno === OK ? description.inode : errno;
    });
  }

  /** The inode of a path with fresh attributes, or an Errno. Valid until the next call. */
  fstatat(dirfd: number, path: ByteString, follow: boolean): Inode | Errno {
    const { mount } = this;
    const errno = this.at(dirfd, path, (base) => attr.statPath(mount, base, path, follow));
    return errno === OK ? mount.namei.inode : (Math.abs(errno) as Errno);
  }

  mkdirat(dirfd: number, path: ByteString, mode: number): number {
    return this.at(dirfd, path, (base) => -paths.mkdirPath(this.mount, base, path, mode));
  }

  mknodat(dirfd: number, path: ByteString, mode: number, rdev = 0): number {
    return this.at(dirfd, path, (base) => -paths.mknodPath(this.mount, base, path, mode, rdev));
  }

  unlinkat(dirfd: number, path: ByteString, isDirectory: boolean): number {
    const remove = isDirectory ? paths.rmdirPath : paths.unlinkPath;
    return this.at(dirfd, path, (base) => -remove(this.mount, base, path));
  }

  renameat(dirfd: number, path: ByteString, newDirfd: number, newPath: ByteString, flags = 0): number {
    return this.at(dirfd, path, (base) =>
      this.at(newDirfd, newPath, (newBase) => -paths.renamePath(this.mount, base, path, newBase, newPath, flags)),
    );
  }

  /** `follow`: AT_SYMLINK_FOLLOW. */
  linkat(dirfd: number, path: ByteString, newDirfd: number, newPath: ByteString, follow = false): number {
    return this.at(dirfd, path, (base) =>
      this.at(newDirfd, newPath, (newBase) => -paths.linkPath(this.mount, base, path, newBase, newPath, follow)),
    );
  }

  symlinkat(target: ByteString, dirfd: number, path: ByteString): number {
    return this.at(dirfd, path, (base) => -paths.symlinkPath(this.mount, target, base, path));
  }

  readlinkat(dirfd: number, path: ByteString): ByteString | Errno {
    const { namei } = this.mount;
    let target: ByteString | Errno = OK;
    const errno = this.at(dirfd, path, (base) => {
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
    return this.at(dirfd, path, (base) => -attr.accessPath(this.mount, base, path, mask));
  }

  truncate(path: ByteString, size: number): number {
    return this.at(AT_FDCWD, path, (base) => -attr.truncatePath(this.mount, base, path, size));
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
    return this.withDescription(fd, ({ inode }) => attr.chmodInode(this.mount, inode, mode));
  }

  fchown(fd: number, uid: number, gid: number): number {
    return this.withDescription(fd, ({ inode }) => attr.chownInode(this.mount, inode, uid, gid));
  }

  futimens(fd: number, atime: TimeChange, mtime: TimeChange): number {
    return this.withDescription(fd, ({ inode }) => attr.utimensInode(this.mount, inode, atime, mtime));
  }

  chdir(path: ByteString): number {
    return this.#withInode(AT_FDCWD, path, true, (inode) => this.enterDirectory(inode, 'cwd'));
  }

  fchdir(fd: number): number {
    return this.withDescription(fd, ({ inode }) => this.enterDirectory(inode, 'cwd'));
  }

  chroot(path: ByteString): number {
    return this.#withInode(AT_FDCWD, path, true, (inode) => this.enterDirectory(inode, 'root'));
  }

  /** The absolute path of the working directory, or ENOENT when it is gone or outside of the root. */
  getcwd(): ByteString | Errno {
    if (this.isOver) return ESRCH;
    const { cwd, root } = this.as(() => this.task);
    if (cwd.nlink === 0 && this.mount.inodes.refresh(cwd) === OK && cwd.nlink === 0) return ENOENT;
    return pathOf(cwd, root) ?? ENOENT;
  }

  /** Returns the umask there was. */
  umask(mask: number): number {
    const { umask } = this.task.credentials;
    const before = this.setCredentials({ umask: mask & 0o777 });
    return typeof before === 'number' ? umask : before.umask;
  }

  #add(description: Description, closesOnExec: boolean): number {
    const fd = this.descriptors.add(description, closesOnExec);
    if (fd < 0) description.close();
    return fd;
  }

  #withInode(dirfd: number, path: ByteString, follow: boolean, call: (inode: Inode) => Errno): number {
    const { namei } = this.mount;
    return this.at(dirfd, path, (base) => {
      const errno = namei.resolve(base, path, follow);
      return errno === OK ? -call(namei.inode) : -errno;
    });
  }
}
