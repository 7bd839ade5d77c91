/**
 * Objects anchored by O_PATH descriptors, used through the procfs descriptor directory: `/proc/self/fd/N` is the object
 * itself, `/proc/self/fd/N/name` one name in it; native calls take N and the name (at.ts). No path of the tree is ever
 * resolved as a whole.
 *
 * Evicted descriptors are opened again through the parent's and the name, and count only if it is the same object.
 * Kept open: the root, directories with open handles, and what has lost its last known name. An open file has a
 * descriptor anyway, and through that it gets this one again. Other regular files get one only when they are used:
 * until then they are a name and an identity.
 * SPEC: open(2) O_PATH; proc_pid_fd(5).
 */
import { chmodSync, chownSync, constants, existsSync, readFileSync, utimesSync } from 'node:fs';
import type { ByteString } from '../../base/bytes.ts';
import { ENOENT, ENOTDIR, ESTALE } from '../../wire/errno.ts';
import type { Anchor, FileTime } from './anchor.ts';
import type { AtCalls, ProcfsCalls } from './at.ts';
import { type Descriptor, DescriptorSet } from './descriptors.ts';
import { DirError, isErrno } from './errors.ts';
import type { DirInode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import type { Listing } from './listing.ts';
import type { Path } from './path.ts';
import type { Stat } from './stat.ts';

/** Linux only, so Node has no name for it. The same on every architecture that Node runs on. */
const O_PATH = 0o10000000;
const FD_DIRECTORY = '/proc/self/fd';
/** The limit we assume where procfs does not tell, as most systems start with it. */
const DEFAULT_LIMIT = 1024;

/** Tells whether this system has what the anchor needs. */
export function hasDescriptorDirectory(): boolean {
  return process.platform === 'linux' && existsSync(FD_DIRECTORY);
}

/** How many of a process's descriptors are nobody's files: what operations need for a moment, and others. */
const RESERVE = 256;

/** How many of our own are left when everybody has files open: a path's directories, and more. */
const NODES_MIN = 16;

/**
 * How many descriptors may name objects, and how many open files may take, so that the rest goes on when somebody opens
 * all that can be opened. Whoever sets the first sets no second.
 */
export function descriptorBudget(wanted: number | undefined): { limit: number; openMax: number | undefined } {
  if (wanted !== undefined) return { limit: wanted, openMax: undefined };
  const all = openFilesLimit();
  return { limit: all >> 1, openMax: all - Math.min(RESERVE, all >> 1) };
}

/** How many descriptors this process may have open. */
function openFilesLimit(): number {
  if (process.platform !== 'linux' || !existsSync('/proc/self/limits')) return DEFAULT_LIMIT;
  const match = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
  return match === null ? DEFAULT_LIMIT : Number(match[1]);
}

/** Opens the directory that is to be served; here, and only here, links in the path are followed. */
export function openRoot(calls: AtCalls, path: string): number {
  return calls.open(path, O_PATH | constants.O_DIRECTORY, 0);
}

export interface LinuxAnchorParts {
  readonly table: InodeTable;
  readonly rootFd: number;
  /** How many descriptors of our own. */
  readonly limit: number;
  /** Together with those of open files. */
  readonly total: number | undefined;
  readonly calls: AtCalls;
  /** For calls that take a path. */
  readonly procfs: ProcfsCalls;
}

export class LinuxAnchor implements Anchor {
  readonly keepsFilesOpen = true;
  readonly #calls: AtCalls;
  readonly #procfs: ProcfsCalls;
  readonly #table: InodeTable;
  readonly #nodes: DescriptorSet<DirInode>;
  readonly #total: number;

  constructor({ table, rootFd, limit, total, calls, procfs }: LinuxAnchorParts) {
    this.#calls = calls;
    this.#procfs = procfs;
    this.#table = table;
    this.#total = total ?? Number.POSITIVE_INFINITY;
    this.#nodes = new DescriptorSet(
      limit,
      (inode) => this.#mayClose(inode),
      closed,
      (fd) => this.close(fd),
    );
    this.adopt(table.root, rootFd);
  }

  get count(): number {
    return this.#nodes.count;
  }

  child(parent: DirInode, name: ByteString): Path {
    return this.#procfs.pathAt(this.#fd(parent), name);
  }

  reach(directory: DirInode): Path {
    return this.#self(directory);
  }

  find(parent: DirInode, name: ByteString): Stat | undefined {
    return this.#calls.statAt(this.#fd(parent), name);
  }

  pin(parent: DirInode, name: ByteString): number {
    return this.#calls.openAt(this.#fd(parent), name, O_PATH | constants.O_NOFOLLOW, 0);
  }

  create(parent: DirInode, name: ByteString, flags: number, mode: number): number {
    return this.#calls.openAt(this.#fd(parent), name, flags, mode);
  }

  unlink(parent: DirInode, name: ByteString): void {
    this.#calls.unlinkAt(this.#fd(parent), name);
  }

  adopt(inode: DirInode, fd: number): void {
    inode.node = this.#nodes.add(inode, fd, 0);
  }

  stat(inode: DirInode): Stat {
    return this.statOf(inode.data?.fd ?? this.#fd(inode));
  }

  statOf(fd: number): Stat {
    return this.#calls.stat(fd);
  }

  /** Follows the descriptor's own link to the object, so O_NOFOLLOW must not be there and the type must be known. */
  open(inode: DirInode, flags: number): number {
    return this.#calls.open(this.#self(inode), flags, 0);
  }

  openNameless(directory: DirInode, flags: number, mode: number): number {
    return this.#calls.open(this.#self(directory), flags, mode);
  }

  close(fd: number): void {
    this.#calls.close(fd);
  }

  list(directory: DirInode, into: Listing): void {
    this.#calls.list(this.#self(directory), into);
  }

  chmod(inode: DirInode, mode: number): void {
    chmodSync(this.#self(inode), mode);
  }

  chown(inode: DirInode, uid: number, gid: number): void {
    chownSync(this.#self(inode), uid, gid);
  }

  utimes(inode: DirInode, atime: FileTime, mtime: FileTime): void {
    utimesSync(this.#self(inode), atime, mtime);
  }

  hold(inode: DirInode): boolean {
    this.#fd(inode);
    return true;
  }

  drop(inode: DirInode): void {
    const { node } = inode;
    if (node === undefined) return;
    inode.node = undefined;
    this.#nodes.close(node);
  }

  trim(files: number): void {
    this.#nodes.trim(Math.min(this.#nodes.limit, Math.max(NODES_MIN, this.#total - files)));
  }

  destroy(): void {
    this.#nodes.closeAll();
  }

  #self(inode: DirInode): string {
    return this.#procfs.path(this.#fd(inode));
  }

  #fd(inode: DirInode): number {
    let { node } = inode;
    if (node === undefined) node = this.#reopen(inode);
    node.used = true;
    return node.fd;
  }

  #reopen(inode: DirInode): Descriptor<DirInode> {
    const fd =
      inode.data === undefined ? this.#find(inode) : this.#calls.open(this.#procfs.path(inode.data.fd), O_PATH, 0);
    inode.node = this.#nodes.add(inode, fd, 0);
    return inode.node;
  }

  #find(inode: DirInode): number {
    const { parent, name } = inode;
    if (parent === undefined) throw new DirError(ESTALE, `inode ${inode.ino} has no name any more`);
    const fd = this.#pinKnown(parent, name);
    if (this.#table.isSame(inode, this.statOf(fd))) return fd;
    this.close(fd);
    throw new DirError(ESTALE, `'${name}' is another object now`);
  }

  #pinKnown(parent: DirInode, name: ByteString): number {
    try {
      return this.pin(parent, name);
    } catch (error) {
      if (isErrno(error, ENOENT) || isErrno(error, ENOTDIR)) throw new DirError(ESTALE, `'${name}' is gone`);
      throw error;
    }
  }

  #mayClose(inode: DirInode): boolean {
    if (inode.opens > 0) return inode.data !== undefined;
    if (inode.parent === undefined) return false;
    // Somebody else may have removed the file: then its descriptor is the last way to it, as for any open file.
    if (this.statOf((inode.node as Descriptor<DirInode>).fd).nlink > 0) return true;
    this.#table.displace(inode);
    return false;
  }
}

function closed(inode: DirInode): void {
  inode.node = undefined;
}
