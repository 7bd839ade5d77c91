/**
 * One thread's view of the descriptors of a shared process. The tables say what there is; what this thread uses of it
 * it also has as objects of its own, made when first used, because inode, caches and window are its own.
 *
 * INVARIANT: an object here is of the generation that its place in the table has, or of one that is gone: then it goes
 * before any other is looked up.
 */
import { EBADF, type Errno, ESRCH, OK } from '../wire/errno.ts';
import { S_IFDIR } from '../wire/mode.ts';
import type { Description, DescriptorTable } from './descriptors.ts';
import { OpenDirectory } from './directory.ts';
import { OpenFile } from './file.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';
import { ORPHAN, type ProcessTable } from './process-table.ts';
import * as w from './process-words.ts';
import { releaseShared, SharedDescription } from './shared-description.ts';
import { Task } from './task.ts';

const ROOT_USER = { uid: 0, gid: 0, pid: 0, umask: 0 };

export class SharedDescriptors implements DescriptorTable {
  readonly #mount: Mount;
  readonly #table: ProcessTable;
  /** By index of the description. */
  readonly #own: (Description | undefined)[] = [];
  #releases = 0;

  constructor(mount: Mount, table: ProcessTable) {
    this.#mount = mount;
    this.#table = table;
  }

  get(fd: number): Description | undefined {
    let index = this.#table.acquire(fd);
    for (; index === ORPHAN; index = this.#table.acquire(fd)) {
      releaseShared(this.#mount, this.#table, this.#table.orphan);
    }
    return index < 0 ? undefined : this.at(index);
  }

  put(description: Description): void {
    if (description.shared !== undefined) this.drop(description.shared.index);
  }

  add(description: Description, closesOnExec: boolean): number {
    const table = this.#table;
    if (!table.lock()) return -ESRCH;
    try {
      const fd = table.lowestLocked(0);
      if (fd < 0) return fd;
      const index = this.registerLocked(description);
      if (index >= 0) table.installLocked(fd, index, closesOnExec);
      return index < 0 ? index : fd;
    } finally {
      table.unlock();
    }
  }

  /** Makes the thread's own description one of the process, counted once: its index, or −errno. */
  registerLocked(description: Description): number {
    const index = this.#table.takeLocked();
    if (index < 0) return index;
    this.#forget(index);
    description.share(new SharedDescription(this.#table, index));
    this.#own[index] = description;
    this.#table.publishLocked(index);
    return index;
  }

  close(fd: number): Errno {
    const index = this.#table.remove(fd);
    return index < 0 ? EBADF : this.#close(index);
  }

  dup(fd: number, from: number, closesOnExec: boolean): number {
    return this.#table.dup(fd, from, closesOnExec);
  }

  dup2(fd: number, to: number, closesOnExec: boolean): number {
    const outcome = this.#table.dup2(fd, to, closesOnExec);
    if (this.#table.replaced >= 0) this.#close(this.#table.replaced);
    return outcome;
  }

  closing(): number[] {
    const fds = Array.from({ length: w.DESCRIPTORS_MAX }, (_, fd) => fd);
    return fds.filter((fd) => this.closesOnExec(fd));
  }

  setFlags(file: OpenFile, flags: number): void {
    file.shared?.setFlags(flags);
  }

  closesOnExec(fd: number): boolean {
    return w.closesOnExec(this.#table.entry(fd));
  }

  setClosesOnExec(fd: number, closes: boolean): void {
    this.#table.setClosesOnExec(fd, closes);
  }

  /** Ends the process for all its threads: closes everything, or takes back what a thread that died has left. */
  end(): void {
    for (const index of this.#table.end()) this.#close(index);
    for (const index of this.#table.reap()) releaseShared(this.#mount, this.#table, index);
    this.forgetAll();
  }

  /** Drops this thread's objects, and nothing else. */
  forgetAll(): void {
    for (let index = 0; index < this.#own.length; index++) this.#forget(index);
  }

  /** Gives a count back; the last one releases the handle. */
  drop(index: number): void {
    if (!this.#table.drop(index)) return;
    this.#forget(index);
    releaseShared(this.#mount, this.#table, index);
  }

  /** This thread's object of a description that is counted. */
  at(index: number): Description {
    const releases = Atomics.load(this.#table.words, w.RELEASES);
    if (releases !== this.#releases) this.#sweep(releases);
    let own = this.#own[index];
    if (own === undefined) {
      own = this.#adopt(new SharedDescription(this.#table, index));
      this.#own[index] = own;
    }
    if (own instanceof OpenFile && own.shared !== undefined) own.flags = own.shared.flags;
    return own;
  }

  /** What close(2) does with the count that the descriptor had. */
  #close(index: number): Errno {
    const own = this.at(index);
    const errno = own instanceof OpenFile ? own.flush() : OK;
    this.drop(index);
    return errno;
  }

  #sweep(releases: number): void {
    this.#releases = releases;
    this.#own.forEach((own, index) => {
      if (own?.shared?.isThere === false) this.#forget(index);
    });
  }

  #forget(index: number): void {
    const own = this.#own[index];
    this.#own[index] = undefined;
    own?.forget();
  }

  #adopt(shared: SharedDescription): Description {
    const mount = this.#mount;
    const { fh, hasHandle, flags } = shared;
    const inode = this.#inodeOf(shared);
    const own =
      shared.type === S_IFDIR
        ? new OpenDirectory(mount, inode, fh, hasHandle, flags)
        : new OpenFile(mount, inode, fh, flags, shared.openFlags, hasHandle);
    own.shared = shared;
    return own;
  }

  #inodeOf(shared: SharedDescription): Inode {
    const { inodes } = this.#mount;
    const { nodeid, inodeGeneration, type, isDax, path } = shared;
    if (type === S_IFDIR && inodes.get(nodeid) === undefined && path !== '') this.#walk(path);
    return inodes.borrow(nodeid, inodeGeneration, type, isDax);
  }

  /** Looks the path up as root: what it leads to is then in the cache, with all that lies above it. */
  #walk(path: SharedDescription['path']): void {
    const { inodes, namei } = this.#mount;
    const before = this.#mount.enter(new Task(ROOT_USER, inodes.root, inodes.root, 0));
    namei.resolve(inodes.root, path, false);
    this.#mount.enter(before);
  }
}
