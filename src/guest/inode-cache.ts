/**
 * nodeid ↔ inode. An inode stays exactly as long as a cached name, an open file, a mapping or a working directory needs
 * it; then its window ranges are unmapped and its lookups are given back, in that order.
 *
 * INVARIANT: every inode here has nlookup ≥ 1 and names + uses ≥ 1; the root has a use of its own and no lookups, and a
 * borrowed one may have none: an open file of the guest, or another of its CPUs, keeps it at the host.
 * INVARIANT: a directory that is not the root has a parent, and uses it once.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { EIO, type Errno, OK } from '../wire/errno.ts';
import { FUSE_ATTR_FLAGS } from '../wire/flags.ts';
import { AttrOut, EntryOut } from '../wire/fuse.ts';
import { type Fh, FUSE_ROOT_ID, type NodeId } from '../wire/ids.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../wire/mode.ts';
import type { Forgets } from './forget.ts';
import { type AttrFields, EXPIRED, Inode } from './inode.ts';
import type { Notifications } from './notifications.ts';
import type { DaxMode } from './options.ts';
import type { AttrRequests } from './request-attrs.ts';
import type { Session } from './session.ts';

/** What must happen before an inode's lookups are given back. */
export interface EvictionHook {
  evict(inode: Inode): void;
}

/** The file data that this guest keeps to itself. */
export interface PageHook {
  hasDirty(inode: Inode): boolean;
  /** Where gathered writes end; 0 = there are none. */
  gatheredEnd(inode: Inode): number;
  /** Writes what is dirty to the host; an error is kept. */
  write(inode: Inode): void;
  pagesInvalid(inode: Inode): void;
  /** The file will be longer. */
  grows(inode: Inode): void;
  forget(inode: Inode): void;
}

export class InodeCache {
  readonly root: Inode;
  /** Grows with every change of attributes; take it before a request whose reply brings some. */
  version = 1;
  readonly #session: Session;
  readonly #attrs: AttrRequests;
  readonly #forgets: Forgets;
  readonly #notifications: Notifications;
  readonly #clock: Clock;
  readonly #dax: DaxMode;
  readonly #inodes = new Map<NodeId, Inode>();
  #hook: EvictionHook | undefined;
  #pages: PageHook | undefined;

  constructor(
    session: Session,
    attrs: AttrRequests,
    forgets: Forgets,
    notifications: Notifications,
    clock: Clock,
    dax: DaxMode,
  ) {
    this.#session = session;
    this.#notifications = notifications;
    this.#attrs = attrs;
    this.#forgets = forgets;
    this.#clock = clock;
    this.#dax = dax;
    this.root = new Inode(FUSE_ROOT_ID, 0, S_IFDIR, false);
    this.root.uses = 1;
    this.#inodes.set(FUSE_ROOT_ID, this.root);
  }

  get count(): number {
    return this.#inodes.size;
  }

  /** Sets who unmaps an inode's ranges. */
  onEvict(hook: EvictionHook): void {
    this.#hook = hook;
  }

  onPages(hook: PageHook): void {
    this.#pages = hook;
  }

  all(): IterableIterator<Inode> {
    return this.#inodes.values();
  }

  get(nodeid: NodeId): Inode | undefined {
    return this.#inodes.get(nodeid);
  }

  /**
   * Takes over a fuse_entry_out at `at`: counts its lookup and returns its inode. The caller names it or holds it, or
   * calls `settle`. Undefined when the entry is malformed.
   */
  accept(at: number, version: number): Inode | undefined {
    const { view } = this.#session.channel;
    const nodeid = EntryOut.nodeid.get(view, at) as NodeId;
    const type = EntryOut.attr.mode.get(view, at) & S_IFMT;
    // SPEC: fuse_lookup_name: such a reply is EIO, and its lookup is given back at once.
    if (type === 0 || nodeid === FUSE_ROOT_ID) {
      if (nodeid !== FUSE_ROOT_ID && nodeid !== 0) this.#forgets.add(nodeid, 1);
      return undefined;
    }
    const inode = this.#find(nodeid, EntryOut.generation.get(view, at), type, EntryOut.attr.flags.get(view, at));
    inode.nlookup++;
    this.#apply(inode, EntryOut.attr, at, this.#expiry(EntryOut.attr_valid, EntryOut.attr_valid_nsec, at), version);
    return inode;
  }

  /**
   * Returns the inode of what another thread of a process has opened, for the caller to hold. It is asked for its
   * attributes when they matter. The directory that a borrowed directory is in is not known: it counts as the root's.
   */
  borrow(nodeid: NodeId, generation: number, type: number, wantsDax: boolean): Inode {
    if (nodeid === FUSE_ROOT_ID) return this.root;
    const known = this.#inodes.get(nodeid);
    if (known !== undefined && known.type === type && known.generation === generation) return known;
    if (known !== undefined) this.#makeStale(known);
    const isDax = type === S_IFREG && this.#wantsDax(wantsDax ? FUSE_ATTR_FLAGS.FUSE_ATTR_DAX : 0);
    const inode = new Inode(nodeid, generation, type, isDax);
    inode.isBorrowed = true;
    inode.isDoubtful = true;
    this.#inodes.set(nodeid, inode);
    if (!inode.isDirectory) return inode;
    inode.parent = this.root;
    this.hold(this.root);
    return inode;
  }

  /** Returns until when the name in a fuse_entry_out at `at` may be believed. */
  entryExpiry(at: number): number {
    return this.#expiry(EntryOut.entry_valid, EntryOut.entry_valid_nsec, at);
  }

  /** Makes sure that the attributes may be believed now: asks the host only if they have expired. */
  refresh(inode: Inode, fh?: Fh): Errno {
    this.#notifications.hear();
    if (this.#clock.monotonicMs() < inode.attrExpiresMs) return OK;
    return this.fetch(inode, fh);
  }

  /** Makes sure of what our own changes leave alone or keep up to date by themselves: size and mode. */
  refreshSize(inode: Inode, fh?: Fh): Errno {
    this.#notifications.hear();
    return inode.isDoubtful ? this.fetch(inode, fh) : OK;
  }

  /** Asks the host for the attributes. What only we know of the file goes there first; its error waits for fsync. */
  fetch(inode: Inode, fh?: Fh): Errno {
    this.#pages?.write(inode);
    const { version } = this;
    const errno = this.#attrs.getattr(inode.nodeid, fh);
    return errno === OK ? this.#takeAttrOut(inode, version) : errno;
  }

  /** Sends `attrs.change` and takes over the attributes in the reply. */
  change(inode: Inode, fh?: Fh): Errno {
    this.#pages?.write(inode);
    const { version } = this;
    const errno = this.#attrs.setattr(inode.nodeid, fh);
    if (errno !== OK) return errno;
    inode.isChangeKnown = true;
    return this.#takeAttrOut(inode, version);
  }

  /** We changed something about it: ask the host before believing the attributes again. */
  expire(inode: Inode): void {
    inode.isChangeKnown = true;
    inode.attrExpiresMs = EXPIRED;
  }

  /** We read it by a request: the host may have changed its atime, as `relatime` does. */
  wasRead(inode: Inode): void {
    if (inode.isAtimeDue) inode.attrExpiresMs = EXPIRED;
  }

  /** Somebody else changed something about it. What is on its way to us may be older than that. */
  distrust(inode: Inode): void {
    inode.isDoubtful = true;
    inode.isChangeKnown = true;
    inode.attrVersion = ++this.version;
    inode.attrExpiresMs = EXPIRED;
  }

  /** The file was written up to `end` by us. */
  grow(inode: Inode, end: number): void {
    if (end > inode.size) {
      this.#pages?.grows(inode);
      inode.size = end;
    }
    inode.isChangeKnown = true;
    inode.attrVersion = ++this.version;
    inode.attrExpiresMs = EXPIRED;
  }

  hold(inode: Inode): void {
    inode.uses++;
  }

  release(inode: Inode): void {
    assert(inode.uses > 0, 'an inode is released more often than held');
    inode.uses--;
    this.settle(inode);
  }

  /** Forgets the inode if nobody names or uses it, and then its parent likewise. */
  settle(inode: Inode): void {
    let next: Inode | undefined = inode;
    while (next !== undefined && next.names + next.uses === 0 && next.state !== 'forgotten') next = this.#evict(next);
  }

  /** Gives every inode's lookups back, used or not: the mount ends. */
  evictAll(): void {
    for (const inode of [...this.#inodes.values()]) {
      if (inode.nodeid !== FUSE_ROOT_ID && inode.state !== 'forgotten') this.#giveBack(inode);
    }
  }

  checkInvariants(): void {
    for (const [nodeid, inode] of this.#inodes) {
      assert(inode.nodeid === nodeid, `inode ${inode.nodeid} is cached as ${nodeid}`);
      assert(inode.state === 'live', `inode ${nodeid} is cached but ${inode.state}`);
      assert(inode.names + inode.uses > 0, `inode ${nodeid} is cached but nobody needs it`);
      assert(
        inode.nlookup > 0 || inode.isBorrowed || nodeid === FUSE_ROOT_ID,
        `inode ${nodeid} is cached without a lookup`,
      );
      assert(!inode.isDirectory || nodeid === FUSE_ROOT_ID || inode.parent !== undefined, `${nodeid} has no parent`);
    }
  }

  #find(nodeid: NodeId, generation: number, type: number, flags: number): Inode {
    const isDax = type === S_IFREG && this.#wantsDax(flags);
    const known = this.#inodes.get(nodeid);
    if (known !== undefined && known.type === type && known.generation === generation) {
      if (known.isDax !== isDax) known.isOutdated = true;
      return known;
    }
    if (known !== undefined) this.#makeStale(known);
    const inode = new Inode(nodeid, generation, type, isDax);
    this.#inodes.set(nodeid, inode);
    return inode;
  }

  #wantsDax(flags: number): boolean {
    if (this.#dax !== 'inode') return this.#dax === 'always';
    return this.#session.has('FUSE_HAS_INODE_DAX') && (flags & FUSE_ATTR_FLAGS.FUSE_ATTR_DAX) !== 0;
  }

  #takeAttrOut(inode: Inode, version: number): Errno {
    const { view, reply } = this.#session.channel;
    if ((AttrOut.attr.mode.get(view, reply) & S_IFMT) !== inode.type) {
      if (inode.nodeid !== FUSE_ROOT_ID) this.#makeStale(inode);
      return EIO;
    }
    const expires = this.#expiry(AttrOut.attr_valid, AttrOut.attr_valid_nsec, reply);
    this.#apply(inode, AttrOut.attr, reply, expires, version);
    return OK;
  }

  #apply(inode: Inode, fields: AttrFields, at: number, expiresMs: number, version: number): void {
    if (inode.attrVersion > version) return;
    const { size, mtime, mtimensec } = inode;
    if (fields.size.get(this.#session.channel.view, at) > size) this.#pages?.grows(inode);
    inode.setAttr(fields, this.#session.channel.view, at);
    if (this.#pages !== undefined && inode.isRegular) this.#applyToPages(inode, size, mtime, mtimensec);
    inode.isChangeKnown = false;
    inode.attrVersion = ++this.version;
    // The host does not know yet when it was changed last: nor do we, until it does.
    inode.attrExpiresMs = this.#pages?.hasDirty(inode) === true ? EXPIRED : expiresMs;
  }

  /**
   * SPEC: fuse_change_attributes, FUSE_AUTO_INVAL_DATA: another size or mtime than we knew says that the data may be
   * another too, unless we made the change or were told of it. With gathered writes the size is ours.
   */
  #applyToPages(inode: Inode, size: number, mtime: number, mtimensec: number): void {
    const hasOtherTime =
      this.#session.has('FUSE_AUTO_INVAL_DATA') && (inode.mtime !== mtime || inode.mtimensec !== mtimensec);
    const isOther = hasOtherTime || inode.size !== size;
    inode.size = Math.max(inode.size, this.#pages?.gatheredEnd(inode) ?? 0);
    if (isOther && !(inode.isChangeKnown && this.#notifications.isTold)) this.#pages?.pagesInvalid(inode);
  }

  #expiry(seconds: typeof AttrOut.attr_valid, nanoseconds: typeof AttrOut.attr_valid_nsec, at: number): number {
    const { view } = this.#session.channel;
    const validMs = seconds.get(view, at) * 1000 + nanoseconds.get(view, at) / 1e6;
    return validMs === 0 ? EXPIRED : this.#clock.monotonicMs() + validMs;
  }

  #makeStale(inode: Inode): void {
    if (inode.state !== 'live') return;
    inode.enter('stale');
    inode.isOutdated = true;
    this.#inodes.delete(inode.nodeid);
  }

  /** Returns the parent, which may be next. */
  #evict(inode: Inode): Inode | undefined {
    this.#giveBack(inode);
    const { parent } = inode;
    inode.parent = undefined;
    if (parent !== undefined) parent.uses--;
    return parent;
  }

  #giveBack(inode: Inode): void {
    if (inode.state === 'live') this.#inodes.delete(inode.nodeid);
    // ORDER: the ranges are unmapped before the host hears that we do not know the inode any more.
    this.#hook?.evict(inode);
    this.#pages?.forget(inode);
    inode.enter('forgotten');
    if (inode.nlookup > 0) this.#forgets.add(inode.nodeid, inode.nlookup);
    // A file without a name lives on the host only for us: do not keep its space waiting for a batch.
    if (inode.nlink === 0) this.#forgets.flush();
  }
}
