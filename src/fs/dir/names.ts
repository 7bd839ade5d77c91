/**
 * Names in directories: finding what they mean, making, moving and removing them, one component at a time.
 *
 * New objects belong to the caller if we are root; otherwise to us, as the system has it. Their mode is exactly what
 * was asked for: our own umask, which belongs to the whole process, is undone afterwards. What cannot be completed is
 * removed again.
 *
 * Limits of node:fs, unless native.ts has more: there is no mknod(2), so fifos, sockets and devices are EPERM, as on
 * file systems that have none; there is no renameat2(2), so RENAME_NOREPLACE is a check and a rename, atomic towards
 * all our clients but not towards other programs, and RENAME_EXCHANGE is EINVAL.
 */
import { constants, linkSync, mkdirSync, readlinkSync, renameSync, rmdirSync, symlinkSync } from 'node:fs';
import type { ByteString } from '../../base/bytes.ts';
import type { Caller } from '../../host/inode.ts';
import type { Log } from '../../host/log.ts';
import { EEXIST, EINVAL, ENOENT, EPERM, type Errno, ESTALE, errnoName, OK } from '../../wire/errno.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID } from '../../wire/mode.ts';
import type { Anchor } from './anchor.ts';
import type { AttributeChanger } from './attributes.ts';
import type { FileData } from './data.ts';
import { DirError, errnoOf, isErrno } from './errors.ts';
import type { DirInode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import type { Native } from './native.ts';
import { bytesOfBuffer, pathOfBytes } from './path.ts';
import { Seen } from './seen.ts';
import type { Stat } from './stat.ts';

const O_CREATE = constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0) | constants.O_RDWR;
/** O_TMPFILE and what it needs. Node has no name for its bit, the same on every architecture that Node runs on. */
const O_NAMELESS = 0o20000000 | (constants.O_DIRECTORY ?? 0) | constants.O_RDWR;
const AS_BUFFER = { encoding: 'buffer' } as const;

export interface NamesParts {
  readonly anchor: Anchor;
  readonly table: InodeTable;
  readonly data: FileData;
  readonly attributes: AttributeChanger;
  readonly log: Log;
  readonly native: Native | undefined;
}

export class Names {
  readonly seen = new Seen();
  readonly #anchor: Anchor;
  readonly #table: InodeTable;
  readonly #data: FileData;
  readonly #attributes: AttributeChanger;
  readonly #log: Log;
  readonly #native: Native | undefined;
  readonly #isRoot = process.geteuid?.() === 0;

  constructor(parts: NamesParts) {
    this.#anchor = parts.anchor;
    this.#table = parts.table;
    this.#data = parts.data;
    this.#attributes = parts.attributes;
    this.#log = parts.log;
    this.#native = parts.native;
  }

  lookup(parent: DirInode, name: ByteString): DirInode | Errno {
    const stats = this.#anchor.find(parent, name);
    if (stats === undefined) return ENOENT;
    const known = this.#table.find(stats);
    if (known === undefined) return this.#show(this.#meet(parent, name, stats));
    this.#table.place(known, parent, name);
    this.#data.refresh(known, stats);
    this.seen.set(known, stats);
    return this.#show(known);
  }

  /** The last known parent, if the directory is still there: ".." is never asked of the system. */
  parent(directory: DirInode): DirInode | Errno {
    if (directory === this.#table.root) return directory;
    const { parent, name } = directory;
    if (parent === undefined) return this.#anchor.stat(directory).nlink === 0 ? ENOENT : ESTALE;
    return this.#isAt(directory, parent, name) ? this.#show(parent) : ESTALE;
  }

  mknod(parent: DirInode, name: ByteString, mode: number, rdev: number, caller: Caller): DirInode | Errno {
    const type = mode & S_IFMT;
    if (type !== S_IFREG && type !== 0) return this.#makeNode(parent, name, mode, rdev, caller);
    this.#data.requireRoom();
    const fd = this.#anchor.create(parent, name, O_CREATE, mode & 0o7777);
    try {
      const inode = this.#meetCreated(fd);
      this.#table.place(inode, parent, name);
      this.#finish(inode, parent, mode, caller);
      return this.#show(inode);
    } catch (error) {
      this.#undo(S_IFREG, parent, name);
      throw error;
    }
  }

  /** A fifo, a socket or a device. */
  #makeNode(parent: DirInode, name: ByteString, mode: number, rdev: number, caller: Caller): DirInode | Errno {
    if (this.#native === undefined) return this.#anchor.find(parent, name) === undefined ? EPERM : EEXIST;
    const failed = this.#native.mknod(this.#anchor.child(parent, name), mode, rdev);
    if (failed !== OK) return failed;
    try {
      const inode = this.#meet(parent, name);
      if (inode.type !== (mode & S_IFMT)) throw new DirError(ESTALE, 'somebody else replaced the new node');
      this.#finish(inode, parent, mode, caller);
      return this.#show(inode);
    } catch (error) {
      this.#undo(S_IFREG, parent, name);
      throw error;
    }
  }

  /** A regular file without a name, which `link` may give it. */
  tmpfile(parent: DirInode, mode: number, caller: Caller): DirInode | Errno {
    this.#data.requireRoom();
    const fd = this.#anchor.openNameless(parent, O_NAMELESS, mode & 0o7777);
    const inode = this.#meetCreated(fd);
    try {
      this.#finish(inode, parent, mode, caller);
      return this.#show(inode);
    } catch (error) {
      this.#table.collect(inode);
      throw error;
    }
  }

  mkdir(parent: DirInode, name: ByteString, mode: number, caller: Caller): DirInode | Errno {
    mkdirSync(this.#anchor.child(parent, name), mode & 0o7777);
    try {
      const inode = this.#meet(parent, name);
      if (inode.type !== S_IFDIR) throw new DirError(ESTALE, 'somebody else replaced the new directory');
      this.#finish(inode, parent, mode, caller);
      return this.#show(inode);
    } catch (error) {
      this.#undo(S_IFDIR, parent, name);
      throw error;
    }
  }

  symlink(parent: DirInode, name: ByteString, target: ByteString, caller: Caller): DirInode | Errno {
    symlinkSync(pathOfBytes(target), this.#anchor.child(parent, name));
    try {
      const inode = this.#meet(parent, name);
      if (inode.type !== S_IFLNK) throw new DirError(ESTALE, 'somebody else replaced the new link');
      this.#setOwner(inode, parent, caller);
      return this.#show(inode);
    } catch (error) {
      this.#undo(S_IFREG, parent, name);
      throw error;
    }
  }

  /** link(2) does not follow procfs's own links, so the source is its last known name, checked before and after. */
  link(inode: DirInode, parent: DirInode, name: ByteString): Errno {
    // Only Linux's link(2) never follows a symbolic link.
    if (inode.type === S_IFDIR || (inode.type === S_IFLNK && process.platform !== 'linux')) {
      return this.#anchor.find(parent, name) === undefined ? EPERM : EEXIST;
    }
    if (this.#native !== undefined) return this.#linkObject(this.#native, inode, parent, name);
    if (inode.parent === undefined) return this.#anchor.stat(inode).nlink === 0 ? ENOENT : ESTALE;
    if (!this.#isAt(inode, inode.parent, inode.name)) return ESTALE;
    this.#data.before(inode);
    linkSync(this.#anchor.child(inode.parent, inode.name), this.#anchor.child(parent, name));
    this.#data.after(inode);
    if (this.#isAt(inode, parent, name)) return OK;
    this.#anchor.unlink(parent, name);
    return ESTALE;
  }

  /** The object itself, whatever became of its name. */
  #linkObject(native: Native, inode: DirInode, parent: DirInode, name: ByteString): Errno {
    this.#data.before(inode);
    const failed = native.link(this.#anchor.reach(inode), this.#anchor.child(parent, name));
    if (failed !== OK) return failed;
    this.#data.after(inode);
    if (inode.parent === undefined) this.#table.place(inode, parent, name);
    return OK;
  }

  unlink(parent: DirInode, name: ByteString): Errno {
    const known = this.#hold(parent.children?.get(name));
    this.#anchor.unlink(parent, name);
    if (known !== undefined) this.#lost(known);
    return OK;
  }

  rmdir(parent: DirInode, name: ByteString): Errno {
    const path = this.#anchor.child(parent, name);
    const known = this.#hold(parent.children?.get(name));
    rmdirSync(path);
    if (known !== undefined) this.#lost(known);
    return OK;
  }

  rename(parent: DirInode, name: ByteString, newParent: DirInode, newName: ByteString, flags: number): Errno {
    if (this.#native === undefined) {
      if ((flags & ~RENAME_NOREPLACE) !== 0) return EINVAL;
      if (flags === RENAME_NOREPLACE && this.#isTaken(newParent, newName)) return this.#missingOr(parent, name);
    }
    const moved = this.#hold(parent.children?.get(name));
    const replaced = this.#hold(newParent.children?.get(newName));
    const failed = this.#renamePath(parent, name, newParent, newName, flags);
    if (failed !== OK) return failed;
    if (flags === RENAME_EXCHANGE && replaced !== undefined) this.#table.displace(replaced);
    // Nothing happens if both names are one object.
    else if (replaced !== undefined && !this.#isAt(replaced, newParent, newName)) this.#lost(replaced);
    if (moved !== undefined) this.#moved(moved, newParent, newName);
    // What nobody needed went when it lost its place.
    if (flags === RENAME_EXCHANGE && isNeeded(replaced)) this.#moved(replaced, parent, name);
    return OK;
  }

  #renamePath(parent: DirInode, name: ByteString, newParent: DirInode, newName: ByteString, flags: number): Errno {
    const from = this.#anchor.child(parent, name);
    const to = this.#anchor.child(newParent, newName);
    if (flags !== 0 && this.#native !== undefined) {
      const errno = this.#native.rename(from, to, flags);
      // EINVAL: perhaps the file system behind knows no flags.
      if (errno !== EINVAL || flags !== RENAME_NOREPLACE) return errno;
      if (this.#isTaken(newParent, newName)) return this.#missingOr(parent, name);
    }
    renameSync(from, to);
    return OK;
  }

  #show(inode: DirInode): DirInode {
    inode.shown = true;
    inode.idle = false;
    return inode;
  }

  /**
   * Makes the inode of the object at `path`; the descriptor says what it is, whatever the name means by now. A regular
   * file that was `found` there gets one only when it is used: most are only listed, or asked about once.
   */
  #meet(parent: DirInode, name: ByteString, found?: Stat): DirInode {
    const isFile = found !== undefined && (found.mode & S_IFMT) === S_IFREG;
    const fd = isFile ? -1 : this.#anchor.pin(parent, name);
    const stats = fd >= 0 ? this.#anchor.statOf(fd) : (found ?? this.#anchor.find(parent, name));
    if (stats === undefined) throw new DirError(ENOENT, `'${name}' is gone`);
    const inode = this.#know(stats, fd);
    if (inode.type === S_IFLNK && inode.target === undefined) this.#readTarget(inode, parent, name);
    this.#table.place(inode, parent, name);
    this.seen.set(inode, stats);
    return inode;
  }

  /** Likewise for a file that we have just created and that is open as `fd`. */
  #meetCreated(fd: number): DirInode {
    let inode: DirInode;
    let stats: Stat;
    try {
      stats = this.#anchor.statOf(fd);
      this.#table.retire(stats);
      inode = this.#know(stats, -1);
    } catch (error) {
      this.#anchor.close(fd);
      throw error;
    }
    this.#data.adopt(inode, fd);
    this.seen.set(inode, stats);
    return inode;
  }

  /** Returns the inode of the object, and gives it the descriptor if it has none; −1 = there is none to give. */
  #know(stats: Stat, fd: number): DirInode {
    const inode = this.#table.find(stats) ?? this.#table.insert(stats);
    if (fd < 0) return inode;
    if (inode.node === undefined) this.#anchor.adopt(inode, fd);
    else this.#anchor.close(fd);
    return inode;
  }

  /** A link's text never changes, and its name may be gone when somebody asks: so it is read now. */
  #readTarget(inode: DirInode, parent: DirInode, name: ByteString): void {
    const target = readlinkSync(this.#anchor.child(parent, name), AS_BUFFER);
    if (this.#isAt(inode, parent, name)) {
      inode.target = bytesOfBuffer(target);
      return;
    }
    this.#table.collect(inode);
    throw new DirError(ESTALE, 'a symbolic link changed while it was read');
  }

  #isAt(inode: DirInode, parent: DirInode, name: ByteString): boolean {
    const stats = this.#anchor.find(parent, name);
    return stats !== undefined && this.#table.isSame(inode, stats);
  }

  #isTaken(parent: DirInode, name: ByteString): boolean {
    return this.#anchor.find(parent, name) !== undefined;
  }

  #missingOr(parent: DirInode, name: ByteString): Errno {
    return this.#isTaken(parent, name) ? EEXIST : ENOENT;
  }

  #finish(inode: DirInode, parent: DirInode, mode: number, caller: Caller): void {
    this.#setOwner(inode, parent, caller);
    const had = this.#statOf(inode).mode & 0o7777;
    // A directory in a set-group-id directory inherits the bit.
    const want = (mode & 0o7777) | (inode.type === S_IFDIR ? had & S_ISGID : 0);
    if (had === want) return;
    this.seen.forget();
    this.#attributes.chmod(inode, want);
  }

  /** Of an object that we have just made. */
  #statOf(inode: DirInode): Stat {
    return this.seen.of(inode) ?? this.#anchor.stat(inode);
  }

  /** The system has set our own ids, and the directory's group where that is inherited. */
  #setOwner(inode: DirInode, parent: DirInode, caller: Caller): void {
    if (!this.#isRoot) return;
    const stats = this.#statOf(inode);
    if (stats.uid === caller.uid && stats.gid === caller.gid) return;
    const inherits = (this.#anchor.stat(parent).mode & S_ISGID) !== 0;
    const gid = inherits ? stats.gid : caller.gid;
    if (stats.uid === caller.uid && stats.gid === gid) return;
    this.seen.forget();
    this.#attributes.chown(inode, caller.uid, gid);
  }

  #undo(type: number, parent: DirInode, name: ByteString): void {
    try {
      if (type === S_IFDIR) rmdirSync(this.#anchor.child(parent, name));
      else this.#anchor.unlink(parent, name);
    } catch (error) {
      this.#log('error', `cannot remove the incomplete '${name}': ${errnoName(errnoOf(error))}`);
    }
    const inode = parent.children?.get(name);
    if (inode === undefined) return;
    this.#table.displace(inode);
    this.#table.collect(inode);
  }

  /**
   * The name by which we know the inode is about to go: it must be reachable without. Returns undefined if it is stale,
   * because then the name is another object's.
   */
  #hold(inode: DirInode | undefined): DirInode | undefined {
    if (inode === undefined) return undefined;
    try {
      this.#data.before(inode);
      if (inode.shown && !this.#anchor.hold(inode)) this.#data.hold(inode);
      return inode;
    } catch (error) {
      if (!isErrno(error, ESTALE)) throw error;
      this.#table.displace(inode);
      this.#table.collect(inode);
      return undefined;
    }
  }

  #lost(inode: DirInode): void {
    this.#table.displace(inode);
    this.#data.after(inode);
    this.#table.collect(inode);
  }

  #moved(inode: DirInode, parent: DirInode, name: ByteString): void {
    this.#table.place(inode, parent, name);
    this.#data.after(inode);
  }
}

function isNeeded(inode: DirInode | undefined): inode is DirInode {
  return inode !== undefined && (inode.shown || (inode.children?.size ?? 0) > 0);
}
