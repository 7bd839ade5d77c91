/**
 * The bytes of regular files: one data descriptor per inode, the pages over it, and who is right about them.
 *
 * WRITE goes straight to the file and then into resident pages, so the directory always has what was accepted. Stores
 * through a window make pages dirty; they are written back by `flush`. Somebody else may change the file at any time:
 * size, mtime and ctime are compared with what the pages belong to; on a difference the clean pages go, dirty stay.
 * A change within one tick of the system's file clock that keeps the size goes unnoticed.
 *
 * Each change of our own is framed by `before` and `after`, so that it is not taken for somebody else's.
 */
import { constants, fchmodSync, fstatSync, ftruncateSync } from 'node:fs';
import type { AddressSpace } from '../../host/address-space.ts';
import type { PageBacking } from '../../host/file-pages.ts';
import { type Caller, lostSetId } from '../../host/inode.ts';
import type { Log } from '../../host/log.ts';
import type { PageCache } from '../../host/page-cache.ts';
import { SegmentList, slice } from '../../virtio/chain.ts';
import { EACCES, ENFILE, EPERM, EROFS, type Errno, ETXTBSY, errnoName, OK } from '../../wire/errno.ts';
import { O_ACCMODE, O_RDONLY, O_WRONLY, S_IFREG } from '../../wire/mode.ts';
import type { Anchor } from './anchor.ts';
import { DescriptorSet } from './descriptors.ts';
import { DirError, errnoOf, isErrno } from './errors.ts';
import type { DirInode } from './inode.ts';
import { readAll, writeAll, writeSegments } from './io.ts';
import type { Stat } from './stat.ts';

export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;
const ACCESS_BOTH = ACCESS_READ | ACCESS_WRITE;
/** Open flags by ACCESS_* bits. */
const FLAGS = [0, constants.O_RDONLY, constants.O_WRONLY, constants.O_RDWR] as const;

export class FileData {
  readonly #cache: PageCache;
  readonly #log: Log;
  readonly #descriptors: DescriptorSet<DirInode>;
  readonly #openMax: number;
  /** Inodes that have pages, or had some. */
  readonly #cached = new Set<DirInode>();
  readonly #written = new SegmentList();
  #anchor: Anchor | undefined;

  /** `openMax`: how many may be in use. */
  constructor(cache: PageCache, log: Log, limit: number, openMax = Number.POSITIVE_INFINITY) {
    this.#openMax = openMax;
    this.#cache = cache;
    this.#log = log;
    this.#descriptors = new DescriptorSet<DirInode>(
      limit,
      (inode) => this.#mayClose(inode),
      (inode) => {
        inode.data = undefined;
      },
      (fd) => (this.#anchor as Anchor).close(fd),
    );
  }

  /** Open data descriptors. */
  get count(): number {
    return this.#descriptors.count;
  }

  connect(anchor: Anchor): void {
    this.#anchor = anchor;
  }

  makeSpace(inode: DirInode): AddressSpace | undefined {
    if (inode.type !== S_IFREG) return undefined;
    this.#look(inode);
    this.#cached.add(inode);
    inode.suspect = false;
    return this.#cache.createBackedSpace(new FileBacking(this, inode), inode.seen.size);
  }

  // ---- descriptors ---------------------------------------------------------------------------------------------

  /**
   * Before a descriptor for a new handle is opened; those that nobody uses give way. The limit is this process's, and
   * so is not who opens: ENFILE. Without one, the last descriptors would go to files, and no operation would work any
   * more, closing them included.
   */
  requireRoom(): void {
    if (this.count < this.#openMax) return;
    this.#descriptors.trim(this.#openMax - 1, 2 * this.count);
    if (this.count >= this.#openMax) throw new DirError(ENFILE, 'too many files are open');
  }

  /** Returns a descriptor that allows `need`. What it allowed before it still allows, if the file's mode lets us. */
  ensure(inode: DirInode, need: number): number {
    const { data } = inode;
    if (data === undefined || (data.access & need) !== need) return this.#open(inode, need);
    data.used = true;
    return data.fd;
  }

  /**
   * For one OPEN; tells whether the file is as the last one found it. If it is not, a descriptor that was kept does not
   * count: the mode may forbid now what it allowed then.
   */
  open(inode: DirInode, need: number): boolean {
    const kept = inode.data;
    if (kept === undefined) this.requireRoom();
    const fd = this.ensure(inode, need);
    const { isNew } = inode;
    inode.isNew = false;
    if (isNew && inode.data === kept && inode.cached === undefined) return false;
    let stats = this.#statOf(fd);
    const isSame = inode.opened !== undefined && stats.hasContentOf(inode.opened);
    if (!isSame && inode.data === kept && isIdle(inode)) stats = this.#statOf(this.#open(inode, need));
    inode.opened = stats;
    this.refresh(inode, stats);
    return isSame;
  }

  /** Takes over a descriptor that is open for reading and writing. */
  adopt(inode: DirInode, fd: number): void {
    inode.data = this.#descriptors.add(inode, fd, ACCESS_BOTH);
    inode.isNew = true;
  }

  /** Opens what can be opened, because the file's last name is about to go; nothing if the mode forbids it. */
  hold(inode: DirInode): void {
    if (inode.data !== undefined) return;
    try {
      this.#open(inode, ACCESS_BOTH);
    } catch (error) {
      if (!isForbidden(error)) throw error;
      this.#log('info', `'${inode.name}' cannot be opened: it will be stale once it is removed`);
    }
  }

  /** After a RELEASE. For reading the descriptor may stay; for writing it would keep others from running the file. */
  rest(inode: DirInode): void {
    const mayStay = inode.data?.access === ACCESS_READ && (this.#anchor as Anchor).keepsFilesOpen;
    if (!mayStay) this.closeIdle(inode);
  }

  /** Closes the data descriptor, unless somebody uses it or it is the last way to the file. */
  closeIdle(inode: DirInode): void {
    if (inode.data !== undefined && this.#mayClose(inode)) this.close(inode);
  }

  close(inode: DirInode): void {
    const { data } = inode;
    if (data === undefined) return;
    inode.data = undefined;
    this.#descriptors.close(data);
  }

  /** Closes descriptors that are too many; only between operations. */
  trim(): void {
    this.#descriptors.trim();
  }

  // ---- bytes ---------------------------------------------------------------------------------------------------

  /** Reads from the file itself. */
  read(inode: DirInode, pos: number, at: number, size: number): number {
    return readAll(this.ensure(inode, ACCESS_READ), this.#cache.bytes, at, size, pos);
  }

  /** Writes pages back. May not touch the pages itself: the page cache is in the middle of something. */
  writeBack(inode: DirInode, pos: number, at: number, size: number): number {
    const fd = this.ensure(inode, ACCESS_WRITE);
    this.#observe(inode, this.#statOf(fd));
    const done = writeAll(fd, this.#cache.bytes, at, size, pos);
    // The rest failed, and says why when it fails again.
    if (done < size) writeAll(fd, this.#cache.bytes, at + done, size - done, pos + done);
    inode.seen = this.#statOf(fd);
    return size;
  }

  /** Writes through to the file, then into the pages. */
  write(inode: DirInode, pos: number, from: SegmentList, killer: Caller | undefined): number {
    const fd = this.ensure(inode, ACCESS_WRITE);
    this.before(inode);
    if (killer !== undefined) dropSuidgid(fd, killer);
    const done = writeSegments(fd, this.#cache.bytes, from, pos);
    this.after(inode);
    const space = inode.cached;
    if (space === undefined) return done;
    if (done < from.size) slice(from, 0, this.#written, done);
    space.update(pos, done < from.size ? this.#written : from);
    return done;
  }

  resize(inode: DirInode, size: number, killer: Caller | undefined): Errno {
    const fd = this.ensure(inode, ACCESS_WRITE);
    this.before(inode);
    if (killer !== undefined) dropSuidgid(fd, killer);
    ftruncateSync(fd, size);
    this.after(inode);
    return inode.cached?.resize(size) ?? OK;
  }

  /** Writes dirty pages back. An error is kept for the next fsync, as Linux does, and logged. */
  flush(inode: DirInode): Errno {
    const failed = inode.cached?.flush() ?? OK;
    if (failed === OK) return OK;
    if (inode.writeError === OK) inode.writeError = failed;
    this.#log('error', `write-back of '${inode.name}' failed: ${errnoName(failed)}`);
    return failed;
  }

  flushAll(): Errno {
    let first: Errno = OK;
    for (const inode of this.#cached) {
      const failed = this.flush(inode);
      if (first === OK) first = failed;
    }
    return first;
  }

  /** The inode is gone: its pages and its descriptor go too. */
  drop(inode: DirInode): void {
    if (inode.cached !== undefined) {
      this.flush(inode);
      if (inode.writeError !== OK) this.#log('error', `'${inode.name}' is closed with writes lost`);
      inode.cached.destroy();
      inode.dropSpace();
      this.#cached.delete(inode);
    }
    this.close(inode);
  }

  /** Writes everything back, closes everything. */
  destroy(): void {
    for (const inode of [...this.#cached]) this.drop(inode);
    this.#descriptors.closeAll();
  }

  checkInvariants(): void {
    this.#descriptors.checkInvariants();
  }

  // ---- changes by others ---------------------------------------------------------------------------------------

  /** Compares with what the pages belong to, and drops them if somebody else has changed the file. */
  refresh(inode: DirInode, stats: Stat): void {
    this.#observe(inode, stats);
    if (!inode.suspect) return;
    inode.suspect = false;
    const space = inode.cached;
    if (space === undefined) return;
    space.invalidate();
    space.resize(inode.seen.size);
  }

  /** Call before a change of our own. */
  before(inode: DirInode): void {
    if (inode.cached !== undefined) this.refresh(inode, this.#stat(inode));
  }

  /** Call after it. */
  after(inode: DirInode): void {
    if (inode.cached !== undefined) inode.seen = this.#stat(inode);
  }

  #observe(inode: DirInode, stats: Stat): void {
    if (stats.hasContentOf(inode.seen)) return;
    inode.seen = stats;
    if (inode.cached !== undefined) inode.suspect = true;
  }

  /** As long as nothing is cached nobody keeps track of the size. */
  #look(inode: DirInode): void {
    try {
      inode.seen = this.#stat(inode);
    } catch (error) {
      // A stale file keeps the size it had; its pages cannot be filled, which is where its user hears of it.
      errnoOf(error);
    }
  }

  #statOf(fd: number): Stat {
    return (this.#anchor as Anchor).statOf(fd);
  }

  #stat(inode: DirInode): Stat {
    return (this.#anchor as Anchor).stat(inode);
  }

  /** What a window may still change must be written back, even if somebody moves the file meanwhile. */
  #mayClose(inode: DirInode): boolean {
    if (!isIdle(inode)) return false;
    if (inode.cached === undefined) return true;
    try {
      (this.#anchor as Anchor).hold(inode);
      return true;
    } catch (error) {
      // There are no descriptors left: then it keeps the one that it has.
      errnoOf(error);
      return false;
    }
  }

  #open(inode: DirInode, need: number): number {
    const fd = this.#openBest(inode, need | (inode.data?.access ?? ACCESS_READ), need);
    this.close(inode);
    inode.data = this.#descriptors.add(inode, fd.fd, fd.access);
    return fd.fd;
  }

  #openBest(inode: DirInode, wish: number, need: number): { fd: number; access: number } {
    const anchor = this.#anchor as Anchor;
    try {
      return { fd: anchor.open(inode, FLAGS[wish] as number), access: wish };
    } catch (error) {
      const least = need === ACCESS_BOTH ? ACCESS_READ : need;
      if (least === wish || !isForbidden(error)) throw error;
      return { fd: anchor.open(inode, FLAGS[least] as number), access: least };
    }
  }
}

/** What the page cache reads from and writes to. */
class FileBacking implements PageBacking {
  readonly #data: FileData;
  readonly #inode: DirInode;

  constructor(data: FileData, inode: DirInode) {
    this.#data = data;
    this.#inode = inode;
  }

  read(pos: number, at: number, size: number): number {
    try {
      return this.#data.read(this.#inode, pos, at, size);
    } catch (error) {
      return -errnoOf(error);
    }
  }

  write(pos: number, at: number, size: number): number {
    try {
      return this.#data.writeBack(this.#inode, pos, at, size);
    } catch (error) {
      return -errnoOf(error);
    }
  }
}

/** Drops the bits that let others run the file as its owner. As root the system does not do it for us. */
export function dropSuidgid(fd: number, killer: Caller): void {
  const stats = fstatSync(fd);
  const lost = lostSetId(stats.mode, stats.gid, killer);
  if (lost !== 0) fchmodSync(fd, stats.mode & 0o7777 & ~lost);
}

/** The client's other flags are not passed on: O_APPEND and O_TRUNC are done by the server, O_DIRECT by nobody. */
export function accessOf(flags: number): number {
  const mode = flags & O_ACCMODE;
  if (mode === O_RDONLY) return ACCESS_READ;
  return mode === O_WRONLY ? ACCESS_WRITE : ACCESS_READ | ACCESS_WRITE;
}

/** Nobody has the file open, and it can be found again. */
function isIdle(inode: DirInode): boolean {
  return inode.opens === 0 && inode.parent !== undefined;
}

function isForbidden(error: unknown): boolean {
  return isErrno(error, EACCES) || isErrno(error, EROFS) || isErrno(error, EPERM) || isErrno(error, ETXTBSY);
}
