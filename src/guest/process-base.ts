/**
 * Who and where a process is, and what its descriptors name: what every system call starts from. It is one thread's
 * alone, or the threads of several workers have it together (shared-process.ts).
 */
import type { ByteString } from '../base/bytes.ts';
import { EBADF, EISDIR, ENOTDIR, type Errno, ESRCH, OK } from '../wire/errno.ts';
import type { Credentials } from './credentials.ts';
import { type Description, Descriptors, type DescriptorTable } from './descriptors.ts';
import { OpenFile } from './file.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';
import { MAY_EXEC, permission } from './permission.ts';
import { type ProcessMemory, SharedProcess } from './shared-process.ts';
import { Task } from './task.ts';

/** The directory descriptor that means the working directory. */
export const AT_FDCWD = -100;

export class ProcessBase {
  readonly mount: Mount;
  readonly task: Task;
  /** The descriptors of a process of one thread. */
  #own = new Descriptors();
  #table: DescriptorTable = this.#own;
  #shared: SharedProcess | undefined;

  constructor(mount: Mount, credentials: Credentials, parent?: ProcessBase) {
    this.mount = mount;
    const { root } = mount.inodes;
    const from = parent?.task;
    this.task = new Task(credentials, from?.root ?? root, from?.cwd ?? root, mount.locks.newOwner());
    mount.inodes.hold(this.task.root);
    mount.inodes.hold(this.task.cwd);
    if (parent !== undefined) this.#copyDescriptors(parent);
  }

  get descriptors(): DescriptorTable {
    return this.#table;
  }

  /**
   * Lets other CPUs of the guest join: what is open, who and where it is, is common to all its threads from here on.
   * If a thread dies without `leave` or `exit`, the process is over for all.
   */
  share(): ProcessMemory {
    const shared = this.#shared ?? SharedProcess.create(this.mount, this.task, this.#own);
    if (this.#shared === undefined) this.become(shared);
    return shared.memory;
  }

  /** The process was ended, by whichever thread, or one of its threads died. */
  get isOver(): boolean {
    return this.#shared?.table.isRunning === false;
  }

  /** This thread ends, and the process with its last one. */
  leave(): void {
    if (this.#shared === undefined) this.exit();
    else this.#end(this.#shared, false);
  }

  /** Closes everything; for all threads, if there are several. */
  exit(): void {
    if (this.#shared !== undefined) {
      this.#end(this.#shared, true);
      return;
    }
    for (const [fd] of [...this.#own]) this.as(() => this.#own.close(fd));
    this.mount.inodes.release(this.task.cwd);
    this.mount.inodes.release(this.task.root);
  }

  /** Runs `call` on behalf of this process. */
  as<T>(call: () => T): T {
    if (this.#shared !== undefined) this.#shared.sync(this.task);
    return this.#asItself(call);
  }

  /** The open file of a descriptor, for what is not a call here: locks, mappings. */
  file(fd: number): OpenFile | undefined {
    const description = this.look(fd);
    return description instanceof OpenFile ? description : undefined;
  }

  /** setresuid(2) and its kin, without asking who may: what runs here was let in already. Returns who it was. */
  setCredentials(change: Partial<Credentials>): Credentials | Errno {
    if (this.#shared !== undefined) return this.#shared.setCredentials(change);
    const before = this.task.credentials;
    this.task.credentials = { ...before, ...change };
    return before;
  }

  /** Goes on as a thread of a process that several have. */
  protected become(shared: SharedProcess): void {
    const { mount, task } = this;
    this.#shared = shared;
    this.#table = shared.descriptors;
    this.#own = new Descriptors();
    const { cwd, root } = task;
    task.shared = shared.table;
    task.lockOwner = shared.lockOwner;
    shared.sync(task);
    mount.inodes.release(cwd);
    mount.inodes.release(root);
    mount.processes.add(this);
  }

  /** What a descriptor names, for what needs no more than a look. */
  protected look(fd: number): Description | undefined {
    const description = this.#table.get(fd);
    if (description !== undefined) this.#table.put(description);
    return description;
  }

  protected enterDirectory(inode: Inode, place: 'cwd' | 'root'): Errno {
    const { mount, task } = this;
    if (!inode.isDirectory) return ENOTDIR;
    const errno = mount.inodes.refresh(inode);
    if (errno !== OK) return errno;
    const allowed = permission(inode, MAY_EXEC, task.credentials);
    if (allowed !== OK) return allowed;
    if (this.#shared !== undefined) return this.#shared.enterDirectory(inode, place);
    mount.inodes.hold(inode);
    mount.inodes.release(task[place]);
    task[place] = inode;
    return OK;
  }

  /** Runs `call` with the directory that a relative path starts from. */
  protected at(dirfd: number, path: ByteString, call: (base: Inode) => number): number {
    return this.as(() => {
      if (this.isOver) return -ESRCH;
      if (dirfd === AT_FDCWD || path.charCodeAt(0) === SLASH) return call(this.task.cwd) + 0;
      const description = this.#table.get(dirfd);
      if (description === undefined) return -EBADF;
      const outcome = description.inode.isDirectory ? call(description.inode) + 0 : -ENOTDIR;
      this.#table.put(description);
      return outcome;
    });
  }

  protected withDescription(fd: number, call: (description: Description) => Errno): number {
    const description = this.#table.get(fd);
    if (description === undefined) return -EBADF;
    try {
      return this.as(() => 0 - call(description));
    } finally {
      this.#table.put(description);
    }
  }

  /** `otherwise`: what the call answers for a directory. */
  protected withFile(fd: number, call: (file: OpenFile) => number, otherwise: Errno = EISDIR): number {
    const description = this.#table.get(fd);
    if (description === undefined) return -EBADF;
    try {
      return description instanceof OpenFile ? this.as(() => call(description) + 0) : -otherwise;
    } finally {
      this.#table.put(description);
    }
  }

  #copyDescriptors(parent: ProcessBase): void {
    if (parent.#shared !== undefined) throw new Error('a process that workers share cannot be forked');
    for (const [fd, description, closes] of parent.#own) {
      description.refs++;
      this.#own.add(description, closes, fd);
    }
  }

  #asItself<T>(call: () => T): T {
    const before = this.mount.enter(this.task);
    try {
      return call();
    } finally {
      this.mount.enter(before);
    }
  }

  /** From here on there is nothing here that could be used. */
  #end(shared: SharedProcess, forAll: boolean): void {
    if (!this.mount.processes.delete(this)) return;
    this.#asItself(() => (forAll ? shared.exit() : shared.leave()));
  }
}

const SLASH = 0x2f;
