/**
 * A file system in memory: a complete POSIX tree whose file pages are the page cache's frames.
 *
 * Decisions: atime follows `relatime`; metadata counts against the size limit; a directory's size is nominal; who is
 * a member of a group is the client's knowledge, so chmod strips nothing, while creating in a setgid directory does.
 *
 * INVARIANT: an inode exists while it has a name or is held; its pages and its charge go with it, never before.
 * INVARIANT: a directory's nlink is 2 + its subdirectories; a removed one's is 0.
 */
import type { ByteString } from '../base/bytes.ts';
import type { Clock, Timespec } from '../base/clock.ts';
import type { AddressSpace } from '../host/address-space.ts';
import type { Quota } from '../host/file-pages.ts';
import type { DirStream, FileSystem, Outcome } from '../host/file-system.ts';
import type { Attr, AttrChange, Caller, StatFs } from '../host/inode.ts';
import type { SegmentList } from '../virtio/chain.ts';
import { EINVAL, EISDIR, EMLINK, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, EPERM, type Errno, OK } from '../wire/errno.ts';
import { FATTR_FLAGS } from '../wire/flags.ts';
import * as mode from '../wire/mode.ts';
import { aclRules, getAcl, inherit, isAclName, removeAcl, setAcl } from './memory-acl-store.ts';
import { checkTree } from './memory-check.ts';
import {
  isDirectory,
  isFile,
  isSymlink,
  MemoryDirectory,
  MemoryFile,
  type MemoryInode,
  MemorySpecial,
  MemorySymlink,
} from './memory-inode.ts';
import { MemoryStream } from './memory-list.ts';
import { INODE_COST, MemoryQuota } from './memory-quota.ts';
import { adopt, checkRename, exchange } from './memory-rename.ts';
import * as rules from './memory-rules.ts';
import { dropCapabilities, getXattr, listXattrs, removeXattr, setXattr } from './memory-xattr.ts';

/** Where the pages of files come from: the host's page cache. */
export interface SpaceMaker {
  createSpace(quota: Quota): AddressSpace;
}

export interface MemoryOptions {
  readonly pageCache: SpaceMaker;
  readonly clock: Clock;
  /** Bytes of data, names and inodes in all. */
  readonly sizeLimit: number;
  /** Default: one per KiB of the size limit, at least 1024. */
  readonly maxInodes?: number;
  /** Most names of a file, most subdirectories of a directory + 2. */
  readonly linkMax?: number;
  readonly rootMode?: number;
  readonly rootUid?: number;
  readonly rootGid?: number;
}

const LINK_MAX = 2 ** 31 - 1;
const { FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_KILL_SUIDGID } = FATTR_FLAGS;

export class MemoryFileSystem implements FileSystem<MemoryInode> {
  readonly root: MemoryDirectory;
  readonly readOnly = false;
  readonly acls = aclRules();
  readonly #pageCache: SpaceMaker;
  readonly #clock: Clock;
  readonly #quota: MemoryQuota;
  readonly #linkMax: number;
  readonly #inodes = new Set<MemoryInode>();
  readonly #now: Timespec = { sec: 0, nsec: 0 };
  #nextIno = 1;

  constructor(options: MemoryOptions) {
    this.#pageCache = options.pageCache;
    this.#clock = options.clock;
    this.#linkMax = options.linkMax ?? LINK_MAX;
    this.#quota = new MemoryQuota(
      options.sizeLimit,
      options.maxInodes ?? Math.max(1024, Math.ceil(options.sizeLimit / 1024)),
    );
    const owner = {
      mode: mode.S_IFDIR | ((options.rootMode ?? 0o755) & 0o7777),
      uid: options.rootUid ?? 0,
      gid: options.rootGid ?? 0,
    };
    this.root = new MemoryDirectory(this.#nextIno++, owner, this.#stamp(), undefined);
    this.#inodes.add(this.root);
  }

  lookup(parent: MemoryInode, name: ByteString): MemoryInode | Errno {
    if (!isDirectory(parent)) return ENOTDIR;
    return parent.entries.get(name) ?? ENOENT;
  }

  parent(directory: MemoryInode): MemoryInode | Errno {
    return isDirectory(directory) ? directory.parent : ENOTDIR;
  }

  forget(inode: MemoryInode): void {
    if (inode.nlink === 0) this.#free(inode);
  }

  getattr(inode: MemoryInode, out: Attr): Errno {
    inode.fill(out);
    return OK;
  }

  setattr(inode: MemoryInode, change: AttrChange, caller: Caller): Errno {
    const { valid } = change;
    const now = this.#stamp();
    if ((valid & FATTR_SIZE) !== 0) {
      const errno = rules.resize(inode, change.size);
      if (errno !== OK) return errno;
      // SPEC: truncate(2): also if the size is what it was.
      inode.modified(now);
    }
    if ((valid & (FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_KILL_SUIDGID)) !== 0) dropCapabilities(inode, this.#quota);
    rules.applyChange(inode, change, caller, now);
    return OK;
  }

  readlink(inode: MemoryInode): ByteString | Errno {
    if (!isSymlink(inode)) return EINVAL;
    inode.accessed(this.#stamp());
    return inode.target;
  }

  mknod(parent: MemoryInode, name: ByteString, bits: number, rdev: number, caller: Caller): MemoryInode | Errno {
    const errno = rules.checkCreate(parent, name);
    if (errno !== OK) return errno;
    if (!this.#quota.takeInode(INODE_COST + rules.entryCost(name))) return ENOSPC;
    const inode = this.#makeNode(parent as MemoryDirectory, bits, rdev, caller);
    return this.#enter(parent as MemoryDirectory, name, inode, INODE_COST);
  }

  mkdir(parent: MemoryInode, name: ByteString, bits: number, caller: Caller): MemoryInode | Errno {
    const errno = rules.checkCreate(parent, name);
    if (errno !== OK) return errno;
    const directory = parent as MemoryDirectory;
    if (directory.nlink >= this.#linkMax) return EMLINK;
    if (!this.#quota.takeInode(INODE_COST + rules.entryCost(name))) return ENOSPC;
    const inherited = directory.mode & mode.S_ISGID;
    const owner = rules.ownerOf(directory, mode.S_IFDIR | (bits & 0o1777) | inherited, caller);
    directory.nlink++;
    const inode = new MemoryDirectory(this.#nextIno++, owner, this.#stamp(), directory);
    return this.#enter(directory, name, inode, INODE_COST);
  }

  symlink(parent: MemoryInode, name: ByteString, target: ByteString, caller: Caller): MemoryInode | Errno {
    const errno = rules.checkCreate(parent, name);
    if (errno !== OK) return errno;
    const charge = INODE_COST + target.length;
    if (!this.#quota.takeInode(charge + rules.entryCost(name))) return ENOSPC;
    const owner = rules.ownerOf(parent as MemoryDirectory, mode.S_IFLNK | 0o777, caller);
    const inode = new MemorySymlink(this.#nextIno++, owner, this.#stamp(), target);
    return this.#enter(parent as MemoryDirectory, name, inode, charge);
  }

  tmpfile(parent: MemoryInode, bits: number, caller: Caller): MemoryInode | Errno {
    if (!isDirectory(parent)) return ENOTDIR;
    if (parent.isDead) return ENOENT;
    if (!this.#quota.takeInode(INODE_COST)) return ENOSPC;
    const inode = this.#makeNode(parent, mode.S_IFREG | (bits & 0o7777), 0, caller);
    inode.charge = INODE_COST;
    inode.nlink = 0;
    (inode as MemoryFile).isLinkable = true;
    inherit(parent, inode, this.#quota);
    this.#inodes.add(inode);
    return inode;
  }

  link(inode: MemoryInode, parent: MemoryInode, name: ByteString): Errno {
    const errno = rules.checkCreate(parent, name);
    if (errno !== OK) return errno;
    if (isDirectory(inode)) return EPERM;
    if (inode.nlink === 0 && !(isFile(inode) && inode.isLinkable)) return ENOENT;
    if (inode.nlink >= this.#linkMax) return EMLINK;
    if (!this.#quota.take(rules.entryCost(name))) return ENOSPC;
    const now = this.#stamp();
    inode.nlink++;
    inode.changed(now);
    (parent as MemoryDirectory).entries.add(name, inode);
    parent.modified(now);
    return OK;
  }

  unlink(parent: MemoryInode, name: ByteString): Errno {
    if (!isDirectory(parent)) return ENOTDIR;
    const inode = parent.entries.get(name);
    if (inode === undefined) return ENOENT;
    if (isDirectory(inode)) return EISDIR;
    this.#removeEntry(parent, name);
    this.#loseName(inode, parent);
    return OK;
  }

  rmdir(parent: MemoryInode, name: ByteString): Errno {
    if (!isDirectory(parent)) return ENOTDIR;
    const inode = parent.entries.get(name);
    if (inode === undefined) return ENOENT;
    if (!isDirectory(inode)) return ENOTDIR;
    if (inode.entries.count > 0) return ENOTEMPTY;
    this.#removeEntry(parent, name);
    this.#loseName(inode, parent);
    return OK;
  }

  rename(from: MemoryInode, name: ByteString, to: MemoryInode, newName: ByteString, flags: number): Errno {
    if (!isDirectory(from) || !isDirectory(to)) return ENOTDIR;
    const moved = from.entries.get(name);
    if (moved === undefined) return ENOENT;
    const replaced = to.entries.get(newName);
    const errno = checkRename(from, moved, to, replaced, flags, this.#linkMax);
    if (errno !== OK || replaced === moved) return errno;
    const now = this.#stamp();
    if ((flags & mode.RENAME_EXCHANGE) !== 0) {
      exchange(from, name, to, newName);
      (replaced as MemoryInode).changed(now);
    } else {
      this.#move(from, name, moved, to, newName, replaced);
    }
    from.modified(now);
    to.modified(now);
    moved.changed(now);
    return OK;
  }

  open(_inode: MemoryInode, _flags: number): Errno {
    return OK;
  }

  release(_inode: MemoryInode, _flags: number): void {}

  /** Nobody else changes a file; but a client that reads its own pages does not tell, and atime would stand still. */
  keepsCache(inode: MemoryInode, flags: number): boolean {
    const isUnseen = (flags & mode.O_ACCMODE) === mode.O_WRONLY || (flags & mode.O_NOATIME) !== 0;
    return isUnseen || !inode.isAtimeStale(this.#stamp());
  }

  read(inode: MemoryInode, pos: number, size: number, into: SegmentList, isUnseen = false): Outcome {
    if (!isFile(inode)) return -EINVAL;
    const count = inode.space.read(pos, size, into);
    if (count > 0 && !isUnseen) inode.accessed(this.#stamp());
    return count;
  }

  write(inode: MemoryInode, pos: number, from: SegmentList, killSuidgid: boolean, caller?: Caller): Outcome {
    if (!isFile(inode)) return -EINVAL;
    const count = inode.space.write(pos, from);
    if (count <= 0) return count;
    inode.modified(this.#stamp());
    if (killSuidgid) rules.stripPrivileges(inode, caller);
    dropCapabilities(inode, this.#quota);
    return count;
  }

  fallocate(inode: MemoryInode, bits: number, pos: number, size: number, caller: Caller): Errno {
    if (!isFile(inode)) return EINVAL;
    const errno = rules.fallocateSpace(inode.space, bits, pos, size);
    if (errno !== OK) return errno;
    inode.modified(this.#stamp());
    if (caller.uid !== 0) rules.stripPrivileges(inode, caller);
    dropCapabilities(inode, this.#quota);
    return OK;
  }

  seek(inode: MemoryInode, pos: number, whence: number): Outcome {
    return isFile(inode) ? inode.space.seek(pos, whence) : -EINVAL;
  }

  fsync(_inode: MemoryInode, _dataOnly: boolean): Errno {
    return OK;
  }

  getxattr(inode: MemoryInode, name: ByteString): Uint8Array | Errno {
    return isAclName(name) ? getAcl(inode, name) : getXattr(inode, name);
  }

  setxattr(
    inode: MemoryInode,
    name: ByteString,
    value: Uint8Array,
    flags: number,
    _?: Caller,
    killSgid = false,
  ): Errno {
    const errno = isAclName(name)
      ? setAcl(inode, name, value, killSgid, this.#quota)
      : setXattr(inode, name, value, flags, this.#quota);
    if (errno === OK) inode.changed(this.#stamp());
    return errno;
  }

  listxattr(inode: MemoryInode, caller: Caller): ByteString[] {
    return listXattrs(inode, caller.uid === 0);
  }

  removexattr(inode: MemoryInode, name: ByteString, caller?: Caller): Errno {
    const errno = (isAclName(name) ? removeAcl : removeXattr)(inode, name, this.#quota, caller);
    if (errno === OK) inode.changed(this.#stamp());
    return errno;
  }

  opendir(inode: MemoryInode): DirStream | Errno {
    if (!isDirectory(inode)) return ENOTDIR;
    return new MemoryStream(inode, this.#clock);
  }

  statfs(out: StatFs): Errno {
    this.#quota.fill(out);
    return OK;
  }

  sync(): Errno {
    return OK;
  }

  destroy(): void {
    for (const inode of this.#inodes) inode.space?.destroy();
    this.#inodes.clear();
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    checkTree(this.root, this.#inodes, this.#quota);
  }

  #stamp(): Readonly<Timespec> {
    this.#clock.realtime(this.#now);
    return this.#now;
  }

  #makeNode(parent: MemoryDirectory, bits: number, rdev: number, caller: Caller): MemoryInode {
    const owner = rules.ownerOf(parent, rules.stripSetgid(parent, bits, caller), caller);
    if ((bits & mode.S_IFMT) !== mode.S_IFREG) return new MemorySpecial(this.#nextIno++, owner, this.#stamp(), rdev);
    return new MemoryFile(this.#nextIno++, owner, this.#stamp(), this.#pageCache.createSpace(this.#quota));
  }

  #enter(parent: MemoryDirectory, name: ByteString, inode: MemoryInode, charge: number): MemoryInode {
    inode.charge = charge;
    this.#inodes.add(inode);
    inherit(parent, inode, this.#quota);
    parent.entries.add(name, inode);
    parent.modified(this.#stamp());
    return inode;
  }

  #move(
    from: MemoryDirectory,
    name: ByteString,
    moved: MemoryInode,
    to: MemoryDirectory,
    newName: ByteString,
    replaced: MemoryInode | undefined,
  ): void {
    from.entries.remove(name);
    this.#quota.give(rules.entryCost(name));
    if (replaced === undefined) {
      this.#quota.force(rules.entryCost(newName));
      to.entries.add(newName, moved);
    } else {
      to.entries.replace(newName, moved);
      this.#loseName(replaced, to);
    }
    adopt(moved, from, to);
  }

  #removeEntry(parent: MemoryDirectory, name: ByteString): void {
    parent.entries.remove(name);
    parent.modified(this.#stamp());
    this.#quota.give(rules.entryCost(name));
  }

  /** One name of `inode` in `parent` is gone. */
  #loseName(inode: MemoryInode, parent: MemoryDirectory): void {
    if (isDirectory(inode)) {
      inode.nlink = 0;
      inode.isDead = true;
      parent.nlink--;
    } else {
      inode.nlink--;
    }
    inode.changed(this.#stamp());
    if (inode.nlink === 0 && inode.holds === 0) this.#free(inode);
  }

  #free(inode: MemoryInode): void {
    this.#inodes.delete(inode);
    this.#quota.giveInode(inode.charge);
    inode.space?.destroy();
  }
}
