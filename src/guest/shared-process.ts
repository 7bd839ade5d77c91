/**
 * One thread of a process that several workers share: it follows what the others do to the working directory, the root
 * and the credentials, and it ends, alone or with all of them.
 *
 * A thread holds the directories that it goes by itself: another one may leave them in the middle of a call.
 */
import { EAGAIN, EINVAL, type Errno, ESRCH, OK } from '../wire/errno.ts';
import { OpenOut } from '../wire/fuse.ts';
import type { Fh } from '../wire/ids.ts';
import { O_DIRECTORY } from '../wire/mode.ts';
import { OPS } from '../wire/ops.ts';
import type { Credentials } from './credentials.ts';
import type { Description, Descriptors } from './descriptors.ts';
import { OpenDirectory } from './directory.ts';
import { FsError } from './errors.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';
import { ProcessTable } from './process-table.ts';
import * as w from './process-words.ts';
import { SharedDescriptors } from './shared-descriptors.ts';
import type { Task } from './task.ts';

const WORD = 0x1_0000_0000;
const NOWHERE = -1;

/** A process's tables: post it to the workers that are to be threads of the process, for `guest.join`. */
export interface ProcessMemory {
  readonly buffer: ArrayBufferLike;
}

export class SharedProcess {
  readonly memory: ProcessMemory;
  readonly table: ProcessTable;
  readonly descriptors: SharedDescriptors;
  readonly #mount: Mount;
  /** The version of the context that this thread goes by, and the directories it holds for it. */
  #version = -1;
  #cwd = NOWHERE;
  #root = NOWHERE;

  private constructor(mount: Mount, memory: ProcessMemory) {
    this.#mount = mount;
    this.memory = memory;
    this.table = new ProcessTable(memory.buffer, mount.channel.cpu);
    this.descriptors = new SharedDescriptors(mount, this.table);
  }

  /** Makes what a process of one thread has common to all that will join. Throws if it cannot. */
  static create(mount: Mount, task: Task, from: Descriptors): SharedProcess {
    const refs = new Map<Description, number>();
    for (const [, description] of from) refs.set(description, (refs.get(description) ?? 0) + 1);
    for (const [description, own] of refs) {
      if (description.refs !== own) throw new Error('a process that was forked cannot be shared by workers');
    }
    const isShared = !(mount.channel.bytes.buffer instanceof ArrayBuffer);
    const buffer = isShared ? new SharedArrayBuffer(w.PROCESS_BYTES) : new ArrayBuffer(w.PROCESS_BYTES);
    const shared = new SharedProcess(mount, { buffer });
    const { table } = shared;
    const { words } = table;
    // ORDER: nobody else has the buffer yet; posting it publishes everything.
    Atomics.store(words, w.STATE, w.RUNNING);
    table.enter();
    words[w.LOCK_OWNER] = task.lockOwner | 0;
    words[w.LOCK_OWNER + 1] = Math.floor(task.lockOwner / WORD) | 0;
    if (task.locked.size > 0) table.noteLocks();
    const directories = [task.cwd, task.root].map((inode) => openDirectory(mount, inode));
    table.lock();
    [words[w.CWD], words[w.ROOT]] = directories.map((each) => shared.descriptors.registerLocked(each)) as [
      number,
      number,
    ];
    shared.#writeCredentials(task.credentials);
    shared.#takeOver(from);
    table.unlock();
    return shared;
  }

  /** Makes the caller's worker a thread of the process. Throws FsError if it is over, or has as many as it may. */
  static join(mount: Mount, memory: ProcessMemory): SharedProcess {
    const shared = new SharedProcess(mount, memory);
    if (!shared.table.enter()) throw new FsError(EAGAIN, 'clone');
    return shared;
  }

  get lockOwner(): number {
    const { words } = this.table;
    return ((words[w.LOCK_OWNER] as number) >>> 0) + ((words[w.LOCK_OWNER + 1] as number) >>> 0) * WORD;
  }

  /** Brings the thread's idea of who and where the process is up to date. ESRCH: it is nowhere any more. */
  sync(task: Task): Errno {
    const { table } = this;
    const { words } = table;
    if (Atomics.load(words, w.CONTEXT) === this.#version) return table.isRunning ? OK : ESRCH;
    if (!table.lock()) return ESRCH;
    this.#version = words[w.CONTEXT] as number;
    const [cwd, root] = [words[w.CWD] as number, words[w.ROOT] as number];
    table.hold(cwd);
    table.hold(root);
    task.credentials = this.#readCredentials();
    table.unlock();
    task.cwd = this.descriptors.at(cwd).inode;
    task.root = this.descriptors.at(root).inode;
    this.#leaveDirectories();
    this.#cwd = cwd;
    this.#root = root;
    return OK;
  }

  /** chdir(2), chroot(2): the directory was found fit already. */
  enterDirectory(inode: Inode, place: 'cwd' | 'root'): Errno {
    const { table, descriptors } = this;
    const directory = tryOpenDirectory(this.#mount, inode);
    if (typeof directory === 'number') return directory;
    if (!table.lock()) {
      directory.close();
      return ESRCH;
    }
    const word = place === 'cwd' ? w.CWD : w.ROOT;
    const index = descriptors.registerLocked(directory);
    const before = table.words[word] as number;
    if (index >= 0) {
      table.words[word] = index;
      this.#changeLocked();
    }
    table.unlock();
    if (index < 0) directory.close();
    else descriptors.drop(before);
    return index < 0 ? (-index as Errno) : OK;
  }

  /** Changes the credentials of all threads. Returns those there were, or an Errno. */
  setCredentials(change: Partial<Credentials>): Credentials | Errno {
    if ((change.groups?.length ?? 0) > w.GROUPS_MAX) return EINVAL;
    if (!this.table.lock()) return ESRCH;
    const before = this.#readCredentials();
    this.#writeCredentials({ ...before, ...change });
    this.#changeLocked();
    this.table.unlock();
    return before;
  }

  /** exit(2): for all threads. */
  exit(): void {
    this.#leaveDirectories();
    this.descriptors.end();
    this.table.leave();
  }

  /** The thread ends; with the last one, the process. */
  leave(): void {
    this.#leaveDirectories();
    if (this.table.isLast) this.descriptors.end();
    else this.descriptors.forgetAll();
    this.table.leave();
  }

  #leaveDirectories(): void {
    if (this.#cwd !== NOWHERE) this.descriptors.drop(this.#cwd);
    if (this.#root !== NOWHERE) this.descriptors.drop(this.#root);
    this.#cwd = NOWHERE;
    this.#root = NOWHERE;
  }

  #takeOver(from: Descriptors): void {
    const { table } = this;
    const indices = new Map<object, number>();
    for (const [fd, description, closes] of from) {
      let index = indices.get(description);
      if (index === undefined) {
        index = this.descriptors.registerLocked(description);
        const mappings = 'mappings' in description ? description.mappings.size : 0;
        for (let i = 0; i < mappings; i++) table.hold(index);
        indices.set(description, index);
      } else table.hold(index);
      table.installLocked(fd, index, closes);
    }
  }

  #changeLocked(): void {
    // ORDER: what it counts was changed before; who sees the count takes the lock to look.
    Atomics.add(this.table.words, w.CONTEXT, 1);
  }

  #readCredentials(): Credentials {
    const { words } = this.table;
    const [uid, gid, pid, umask] = [w.UID, w.GID, w.PID, w.UMASK].map((word) => (words[word] as number) >>> 0) as [
      number,
      number,
      number,
      number,
    ];
    const count = words[w.GROUP_COUNT] as number;
    if (count < 0) return { uid, gid, pid, umask };
    const groups = Array.from(words.subarray(w.GROUPS, w.GROUPS + count), (group) => group >>> 0);
    return { uid, gid, pid, umask, groups };
  }

  #writeCredentials({ uid, gid, pid, umask, groups }: Credentials): void {
    const { words } = this.table;
    words[w.UID] = uid | 0;
    words[w.GID] = gid | 0;
    words[w.PID] = pid | 0;
    words[w.UMASK] = umask;
    words[w.GROUP_COUNT] = groups === undefined ? -1 : groups.length;
    groups?.forEach((group, i) => {
      words[w.GROUPS + i] = group | 0;
    });
  }
}

/** A handle of its own: it keeps the directory for all CPUs of the guest. */
function tryOpenDirectory(mount: Mount, inode: Inode): OpenDirectory | Errno {
  const { files, channel } = mount;
  const errno = files.open(OPS.OPENDIR.code, inode.nodeid, O_DIRECTORY, 0);
  if (errno !== OK) return errno;
  return new OpenDirectory(mount, inode, OpenOut.fh.get(channel.view, channel.reply) as Fh, true);
}

function openDirectory(mount: Mount, inode: Inode): OpenDirectory {
  const directory = tryOpenDirectory(mount, inode);
  if (typeof directory === 'number') throw new FsError(directory, 'opendir');
  return directory;
}
