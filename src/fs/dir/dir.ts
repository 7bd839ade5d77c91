/**
 * A real directory as a file system: `node:fs` does the work, one system call on one name or one descriptor at a time.
 *
 * What other programs do in the directory is allowed and seen; it can make our calls fail, never lead them outside.
 * The process's own permissions decide, not the caller's; new objects are given to the caller if we are root.
 * Every system call of this folder may throw; the public methods here are where that ends.
 * What node:fs lacks needs an optional package and the anchor by descriptors: see native.ts.
 */
import { accessSync, constants, fdatasyncSync, fsyncSync, statfsSync } from 'node:fs';
import type { ByteString } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import type { DirStream, FileSystem, Outcome } from '../../host/file-system.ts';
import { type Attr, type AttrChange, Caller, type StatFs } from '../../host/inode.ts';
import { type Log, silentLog } from '../../host/log.ts';
import type { PageCache } from '../../host/page-cache.ts';
import type { SegmentList } from '../../virtio/chain.ts';
import { EBADF, EINVAL, EISDIR, ENOTDIR, EROFS, type Errno, OK } from '../../wire/errno.ts';
import { NAME_MAX } from '../../wire/ids.ts';
import { S_IFDIR, S_IFREG } from '../../wire/mode.ts';
import type { Anchor } from './anchor.ts';
import { descriptorBudget, hasDescriptorDirectory } from './anchor-linux.ts';
import { AttributeChanger, fillAttr } from './attributes.ts';
import { ACCESS_READ, accessOf, FileData } from './data.ts';
import { errnoOf } from './errors.ts';
import { IdleInodes } from './idle.ts';
import type { DirInode } from './inode.ts';
import type { InodeTable, TableHooks } from './inode-table.ts';
import { Names } from './names.ts';
import { findNative } from './native.ts';
import { type Extras, makeExtras } from './native-extras.ts';
import { Ranges } from './ranges.ts';
import { openByDescriptor, openByPath } from './root.ts';
import { DirectoryStream } from './stream.ts';

export interface DirOptions {
  /** The directory to serve. */
  readonly path: string;
  readonly pageCache: PageCache;
  readonly clock: Clock;
  readonly readOnly?: boolean;
  readonly log?: Log;
  /** How objects are reached again; 'descriptors' where the system can. */
  readonly anchor?: 'descriptors' | 'paths';
  /** Descriptors that name objects, kept open at most, not counting files in use. Default: half of what we may. */
  readonly descriptorLimit?: number;
  /** Files that nobody holds and whose pages are kept for the next one who does. Default: 16,384. */
  readonly idleMax?: number;
  /** Whether the system calls that node:fs lacks are used where their package is installed. Default: yes. */
  readonly native?: boolean;
}

/** Who writes when nobody says who. */
const NOBODY = new Caller();

export class DirFileSystem implements FileSystem<DirInode> {
  readonly root: DirInode;
  readonly readOnly: boolean;
  readonly #table: InodeTable;
  readonly #idle: IdleInodes;
  readonly #anchor: Anchor;
  readonly #data: FileData;
  readonly #attributes: AttributeChanger;
  readonly #names: Names;
  readonly #ranges: Ranges;
  // There with native system calls only.
  declare readonly getxattr?: Extras['getxattr'];
  declare readonly setxattr?: Extras['setxattr'];
  declare readonly listxattr?: Extras['listxattr'];
  declare readonly removexattr?: Extras['removexattr'];
  declare readonly tmpfile?: Extras['tmpfile'];

  /** Throws an Error with one line for people if the path is no directory that we can serve. */
  constructor(options: DirOptions) {
    const log = options.log ?? silentLog;
    const { limit, openMax } = descriptorBudget(options.descriptorLimit);
    this.readOnly = options.readOnly ?? false;
    this.#data = new FileData(options.pageCache, log, Math.max(1, limit >> 2), openMax);
    const hooks: TableHooks = {
      makeSpace: (inode) => this.#data.makeSpace(inode),
      dropped: (inode) => this.#dropped(inode),
    };
    const useDescriptors = options.anchor === undefined ? hasDescriptorDirectory() : options.anchor === 'descriptors';
    const native = useDescriptors && options.native !== false ? findNative(log) : undefined;
    const { table, anchor } = useDescriptors
      ? openByDescriptor(options.path, hooks, { limit, total: openMax, at: native?.at })
      : openByPath(options.path, hooks);
    this.#table = table;
    this.#anchor = anchor;
    this.root = table.root;
    this.#idle = new IdleInodes(table, this.#data, options.idleMax);
    this.#data.connect(anchor);
    this.#ranges = new Ranges(anchor, this.#data, native);
    this.#attributes = new AttributeChanger(anchor, this.#data, options.clock, native);
    this.#names = new Names({ anchor, table, data: this.#data, attributes: this.#attributes, log, native });
    if (native === undefined) return;
    const parts = { native, anchor, data: this.#data, names: this.#names, readOnly: this.readOnly };
    Object.assign(this, makeExtras({ ...parts, trim: () => this.#trim() }));
  }

  /** Descriptors that this file system has open. */
  get descriptorCount(): number {
    return this.#anchor.count + this.#data.count;
  }

  /** Inodes in core. */
  get inodeCount(): number {
    return this.#table.count;
  }

  lookup(parent: DirInode, name: ByteString): DirInode | Errno {
    try {
      this.#trim();
      return this.#names.lookup(parent, name);
    } catch (error) {
      return errnoOf(error);
    }
  }

  forget(inode: DirInode): void {
    inode.shown = false;
    if (!this.#idle.keep(inode)) this.#table.collect(inode);
  }

  getattr(inode: DirInode, out: Attr): Errno {
    try {
      this.#trim();
      const stats = this.#anchor.stat(inode);
      if (inode.type === S_IFREG) this.#data.refresh(inode, stats);
      fillAttr(stats, inode.ino, out);
      return OK;
    } catch (error) {
      return errnoOf(error);
    }
  }

  entryAttr(inode: DirInode, out: Attr): Errno {
    const stats = this.#names.seen.of(inode);
    if (stats === undefined) return this.getattr(inode, out);
    fillAttr(stats, inode.ino, out);
    return OK;
  }

  setattr(inode: DirInode, change: AttrChange, caller: Caller): Errno {
    if (this.readOnly) return EROFS;
    try {
      this.#trim();
      return this.#attributes.apply(inode, change, caller);
    } catch (error) {
      return errnoOf(error);
    }
  }

  parent(directory: DirInode): DirInode | Errno {
    try {
      this.#trim();
      return this.#names.parent(directory);
    } catch (error) {
      return errnoOf(error);
    }
  }

  statfs(out: StatFs): Errno {
    try {
      const stats = statfsSync(this.#anchor.reach(this.root));
      out.blocks = stats.blocks;
      out.bfree = stats.bfree;
      out.bavail = stats.bavail;
      out.files = stats.files;
      out.ffree = stats.ffree;
      out.bsize = stats.bsize;
      out.frsize = stats.bsize;
      out.namelen = NAME_MAX;
      return OK;
    } catch (error) {
      return errnoOf(error);
    }
  }

  // ---- names ---------------------------------------------------------------------------------------------------

  readlink(inode: DirInode): ByteString | Errno {
    return inode.target ?? EINVAL;
  }

  mknod(parent: DirInode, name: ByteString, mode: number, rdev: number, caller: Caller): DirInode | Errno {
    if (this.readOnly) return EROFS;
    try {
      this.#trim();
      return this.#names.mknod(parent, name, mode, rdev, caller);
    } catch (error) {
      return errnoOf(error);
    }
  }

  mkdir(parent: DirInode, name: ByteString, mode: number, caller: Caller): DirInode | Errno {
    if (this.readOnly) return EROFS;
    try {
      this.#trim();
      return this.#names.mkdir(parent, name, mode, caller);
    } catch (error) {
      return errnoOf(error);
    }
  }

  symlink(parent: DirInode, name: ByteString, target: ByteString, caller: Caller): DirInode | Errno {
    if (this.readOnly) return EROFS;
    try {
      this.#trim();
      return this.#names.symlink(parent, name, target, caller);
    } catch (error) {
      return errnoOf(error);
    }
  }

  link(inode: DirInode, parent: DirInode, name: ByteString): Errno {
    if (this.readOnly) return EROFS;
    try {
      this.#trim();
      return this.#names.link(inode, parent, name);
    } catch (error) {
      return errnoOf(error);
    }
  }

  unlink(parent: DirInode, name: ByteString): Errno {
    if (this.readOnly) return EROFS;
    try {
      this.#trim();
      return this.#names.unlink(parent, name);
    } catch (error) {
      return errnoOf(error);
    }
  }

  rmdir(parent: DirInode, name: ByteString): Errno {
    if (this.readOnly) return EROFS;
    try {
      this.#trim();
      return this.#names.rmdir(parent, name);
    } catch (error) {
      return errnoOf(error);
    }
  }

  rename(parent: DirInode, name: ByteString, newParent: DirInode, newName: ByteString, flags: number): Errno {
    if (this.readOnly) return EROFS;
    try {
      this.#trim();
      return this.#names.rename(parent, name, newParent, newName, flags);
    } catch (error) {
      return errnoOf(error);
    }
  }

  opendir(inode: DirInode): DirStream | Errno {
    if (inode.type !== S_IFDIR) return ENOTDIR;
    try {
      this.#trim();
      accessSync(this.#anchor.reach(inode), constants.R_OK);
    } catch (error) {
      return errnoOf(error);
    }
    inode.opens++;
    return new DirectoryStream(this.#anchor, inode, () => {
      inode.opens--;
    });
  }

  // ---- file data -----------------------------------------------------------------------------------------------

  open(inode: DirInode, flags: number): Errno {
    if (inode.type !== S_IFREG) return inode.type === S_IFDIR ? EISDIR : EBADF;
    const access = accessOf(flags);
    if (this.readOnly && access !== ACCESS_READ) return EROFS;
    try {
      this.#trim();
      inode.isUnchanged = this.#data.open(inode, access);
    } catch (error) {
      return errnoOf(error);
    }
    inode.opens++;
    return OK;
  }

  keepsCache(inode: DirInode): boolean {
    return inode.isUnchanged;
  }

  release(inode: DirInode, _flags: number): void {
    this.#data.flush(inode);
    inode.opens--;
    if (inode.opens === 0) this.#data.rest(inode);
  }

  read(inode: DirInode, pos: number, size: number, into: SegmentList): Outcome {
    this.#trim();
    const space = inode.space;
    return space === undefined ? -EINVAL : space.read(pos, size, into);
  }

  write(inode: DirInode, pos: number, from: SegmentList, killSuidgid: boolean, caller = NOBODY): Outcome {
    if (this.readOnly) return -EROFS;
    if (inode.type !== S_IFREG) return -EINVAL;
    try {
      this.#trim();
      return this.#data.write(inode, pos, from, killSuidgid ? caller : undefined);
    } catch (error) {
      return -errnoOf(error);
    }
  }

  fallocate(inode: DirInode, mode: number, pos: number, size: number, caller: Caller): Errno {
    if (this.readOnly) return EROFS;
    if (inode.type !== S_IFREG) return EINVAL;
    try {
      this.#trim();
      return this.#ranges.fallocate(inode, mode, pos, size, caller.uid !== 0 ? caller : undefined);
    } catch (error) {
      return errnoOf(error);
    }
  }

  seek(inode: DirInode, pos: number, whence: number): Outcome {
    if (inode.type !== S_IFREG) return -EINVAL;
    try {
      this.#trim();
      return this.#ranges.seek(inode, pos, whence);
    } catch (error) {
      return -errnoOf(error);
    }
  }

  fsync(inode: DirInode, dataOnly: boolean): Errno {
    if (inode.type !== S_IFREG && inode.type !== S_IFDIR) return OK;
    try {
      this.#trim();
      if (inode.type === S_IFDIR) return syncDirectory(this.#anchor, inode);
      this.#data.flush(inode);
      const failed = inode.writeError;
      inode.writeError = OK;
      if (failed !== OK) return failed;
      const fd = inode.data?.fd ?? this.#data.ensure(inode, ACCESS_READ);
      (dataOnly ? fdatasyncSync : fsyncSync)(fd);
      return OK;
    } catch (error) {
      return errnoOf(error);
    }
  }

  sync(): Errno {
    return this.#data.flushAll();
  }

  destroy(): void {
    this.#data.destroy();
    this.#anchor.destroy();
  }

  checkInvariants(): void {
    this.#table.checkInvariants();
    this.#data.checkInvariants();
  }

  #trim(): void {
    this.#names.seen.forget();
    this.#anchor.trim(this.#data.count);
    this.#data.trim();
  }

  #dropped(inode: DirInode): void {
    this.#data.drop(inode);
    this.#anchor.drop(inode);
  }
}

function syncDirectory(anchor: Anchor, inode: DirInode): Errno {
  const fd = anchor.open(inode, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    anchor.close(fd);
  }
  return OK;
}
