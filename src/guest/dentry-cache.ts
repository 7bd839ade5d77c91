/**
 * (directory, name) → inode, or "no such name", each believed until its time is over and then asked for again.
 *
 * A dentry that expired stays: it keeps its inode (and that inode's mappings) until the host says otherwise. The number
 * of dentries is capped; the least recently used one goes first, except directories in which something is cached or
 * open.
 *
 * INVARIANT: a dentry is in its parent's `entries` and in the list, uses its parent once and names its child once.
 * INVARIANT: a cached directory has at most one dentry, and `parent` and `name` say where.
 */
import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { EIO, ELOOP, ENAMETOOLONG, ENOENT, type Errno, OK } from '../wire/errno.ts';
import { EntryOut } from '../wire/fuse.ts';
import { NAME_MAX, type NodeId } from '../wire/ids.ts';
import { EXPIRED, type Inode } from './inode.ts';
import type { InodeCache } from './inode-cache.ts';
import type { Notifications } from './notifications.ts';
import type { NameRequests } from './request-names.ts';
import type { Session } from './session.ts';

/** How many used directories one insertion steps over before it lets the cache grow instead. */
const EVICTION_TRIES = 16;

export class Dentry {
  readonly parent: Inode;
  readonly name: ByteString;
  /** Undefined: there is no such name. */
  child: Inode | undefined;
  expiresMs: number;
  newer: Dentry | undefined;
  older: Dentry | undefined;

  constructor(parent: Inode, name: ByteString, child: Inode | undefined, expiresMs: number) {
    this.parent = parent;
    this.name = name;
    this.child = child;
    this.expiresMs = expiresMs;
  }
}

export class DentryCache {
  /** What the last `lookup` or `adopt` found. */
  found: Inode | undefined;
  readonly #session: Session;
  readonly #names: NameRequests;
  readonly #inodes: InodeCache;
  readonly #notifications: Notifications;
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #condemned: { readonly dentry: Dentry; readonly child: Inode }[] = [];
  #newest: Dentry | undefined;
  #oldest: Dentry | undefined;
  #count = 0;

  constructor(
    session: Session,
    names: NameRequests,
    inodes: InodeCache,
    notifications: Notifications,
    clock: Clock,
    limit: number,
  ) {
    this.#session = session;
    this.#notifications = notifications;
    this.#names = names;
    this.#inodes = inodes;
    this.#clock = clock;
    this.#limit = limit;
  }

  get count(): number {
    return this.#count;
  }

  /** Finds `name` in `parent`: OK with `found`, or ENOENT, or another errno. `mustAsk` distrusts what is cached. */
  lookup(parent: Inode, name: ByteString, mustAsk = false): Errno {
    this.found = undefined;
    if (name.length > NAME_MAX) return ENAMETOOLONG;
    // Even if nothing is cached: what was told by now shall not fall on the answer.
    this.#notifications.hear();
    const dentry = (parent.entries as Map<ByteString, Dentry>).get(name);
    if (dentry === undefined) return this.#ask(parent, name);
    if (!mustAsk && this.#clock.monotonicMs() < dentry.expiresMs && dentry.child?.isOutdated !== true) {
      this.#touch(dentry);
      this.found = dentry.child;
      return dentry.child === undefined ? ENOENT : OK;
    }
    // The host decides about DAX when an inode is created: let this one go, so that the lookup makes a new one.
    if (dentry.child?.isOutdated === true && dentry.child.uses === 0) this.drop(dentry);
    return this.#ask(parent, name);
  }

  /** Takes over the fuse_entry_out at `at` as the answer for `name`: OK with `found`, or an errno. */
  adopt(parent: Inode, name: ByteString, at: number, version: number): Errno {
    this.found = undefined;
    const inode = this.#inodes.accept(at, version);
    if (inode === undefined) return EIO;
    const errno = this.insert(parent, name, inode, this.#inodes.entryExpiry(at));
    if (errno !== OK) this.#inodes.settle(inode);
    else this.found = inode;
    return errno;
  }

  /** Caches what `name` means. ELOOP: a directory would become its own ancestor, because our picture is out of date. */
  insert(parent: Inode, name: ByteString, child: Inode | undefined, expiresMs: number): Errno {
    assert(parent.entries !== undefined, 'only directories have entries');
    if (child?.isDirectory) {
      if (isAncestor(child, parent)) return ELOOP;
      this.#moveDirectory(child, parent, name);
    }
    const dentry = parent.entries.get(name);
    if (dentry === undefined) this.#add(new Dentry(parent, name, child, expiresMs));
    else this.#replace(dentry, child, expiresMs);
    return OK;
  }

  /** Removes a name that is gone, or about which nothing is known any more. */
  remove(parent: Inode, name: ByteString): void {
    const dentry = parent.entries?.get(name);
    if (dentry !== undefined) this.drop(dentry);
  }

  /** Makes the next lookup of a name ask the host. */
  expire(parent: Inode, name: ByteString): void {
    const dentry = parent.entries?.get(name);
    if (dentry !== undefined) dentry.expiresMs = EXPIRED;
  }

  /** Makes the next lookup of any name ask the host. */
  expireAll(): void {
    for (let d = this.#oldest; d !== undefined; d = d.newer) d.expiresMs = EXPIRED;
  }

  /** The host says that the name is gone, and `child` with it: it goes with the next `sweep`. */
  condemn(parent: Inode, name: ByteString, child: NodeId): void {
    const dentry = parent.entries?.get(name);
    if (dentry === undefined) return;
    dentry.expiresMs = EXPIRED;
    if (dentry.child?.nodeid === child) this.#condemned.push({ dentry, child: dentry.child });
  }

  /** Drops what was condemned, unless the name means something else by now. Only where nobody is amid a path. */
  sweep(): void {
    for (let last = this.#condemned.pop(); last !== undefined; last = this.#condemned.pop()) {
      const { dentry, child } = last;
      const isThere = dentry.parent.entries?.get(dentry.name) === dentry && dentry.child === child;
      if (isThere) this.#bury(dentry, child);
    }
  }

  /** After a rename: the new name means what the old one meant. */
  move(parent: Inode, name: ByteString, newParent: Inode, newName: ByteString): void {
    const dentry = parent.entries?.get(name);
    this.remove(newParent, newName);
    if (dentry?.child === undefined) return;
    const { child, expiresMs } = dentry;
    this.#inodes.hold(child);
    this.drop(dentry);
    this.insert(newParent, newName, child, expiresMs);
    this.#inodes.release(child);
  }

  /** Forgets every name that no open directory or file below needs. */
  dropAll(): void {
    for (let before = -1; before !== this.#count; ) {
      before = this.#count;
      for (let d = this.#oldest; d !== undefined; ) {
        const next: Dentry | undefined = d.newer;
        if (!isNeeded(d)) this.drop(d);
        d = next;
      }
    }
  }

  /** Removes one dentry; its inode goes if nothing else needs it. */
  drop(dentry: Dentry): void {
    this.#unlink(dentry);
    this.#count--;
    dentry.parent.entries?.delete(dentry.name);
    this.#unname(dentry.child);
    this.#inodes.release(dentry.parent);
  }

  checkInvariants(): void {
    let count = 0;
    for (let d = this.#oldest; d !== undefined; d = d.newer) {
      count++;
      assert(d.parent.entries?.get(d.name) === d, `dentry "${d.name}" is not in its parent`);
      assert(d.parent.state !== 'forgotten', `dentry "${d.name}" is in a forgotten directory`);
      assert(d.child === undefined || d.child.names > 0, `dentry "${d.name}" does not count as a name`);
    }
    assert(count === this.#count, 'the dentry count is wrong');
  }

  /** The child has no name left; names cached in a directory that is gone mean nothing. */
  #bury(dentry: Dentry, child: Inode): void {
    child.nlink = 0;
    this.#inodes.hold(child);
    for (const inside of [...(child.entries?.values() ?? [])]) this.drop(inside);
    if (dentry.parent.entries?.get(dentry.name) === dentry) this.drop(dentry);
    this.#inodes.release(child);
  }

  #ask(parent: Inode, name: ByteString): Errno {
    const { version } = this.#inodes;
    const errno = this.#names.lookup(parent.nodeid, name);
    if (errno === OK) return this.#takeEntry(parent, name, version);
    if (errno === ENOENT) this.remove(parent, name);
    return errno;
  }

  #takeEntry(parent: Inode, name: ByteString, version: number): Errno {
    const { view, reply } = this.#session.channel;
    if (EntryOut.nodeid.get(view, reply) !== 0) return this.adopt(parent, name, reply, version);
    // SPEC: nodeid 0 with a validity is a negative entry.
    const expiresMs = this.#inodes.entryExpiry(reply);
    if (expiresMs === EXPIRED) this.remove(parent, name);
    else this.insert(parent, name, undefined, expiresMs);
    return ENOENT;
  }

  #add(dentry: Dentry): void {
    dentry.parent.entries?.set(dentry.name, dentry);
    this.#inodes.hold(dentry.parent);
    if (dentry.child !== undefined) dentry.child.names++;
    this.#linkNewest(dentry);
    this.#count++;
    if (this.#count > this.#limit) this.#evictOne(dentry);
  }

  #replace(dentry: Dentry, child: Inode | undefined, expiresMs: number): void {
    const old = dentry.child;
    dentry.child = child;
    dentry.expiresMs = expiresMs;
    this.#touch(dentry);
    if (old === child) return;
    if (child !== undefined) child.names++;
    this.#unname(old);
  }

  #unname(child: Inode | undefined): void {
    if (child === undefined) return;
    child.names--;
    this.#inodes.settle(child);
  }

  /** A directory has one name: the one it was seen under last. */
  #moveDirectory(child: Inode, parent: Inode, name: ByteString): void {
    if (child.parent === parent && child.name === name) return;
    const old = child.parent;
    const dentry = old?.entries?.get(child.name);
    child.parent = parent;
    child.name = name;
    this.#inodes.hold(parent);
    if (old === undefined) return;
    this.#inodes.hold(child);
    if (dentry?.child === child) this.drop(dentry);
    child.uses--;
    this.#inodes.release(old);
  }

  #evictOne(kept: Dentry): void {
    for (let tries = 0; tries < EVICTION_TRIES; tries++) {
      const dentry = this.#oldest;
      if (dentry === undefined || dentry === kept) return;
      if (!isNeeded(dentry)) {
        this.drop(dentry);
        return;
      }
      this.#touch(dentry);
    }
  }

  #touch(dentry: Dentry): void {
    if (dentry === this.#newest) return;
    this.#unlink(dentry);
    this.#linkNewest(dentry);
  }

  #linkNewest(dentry: Dentry): void {
    dentry.older = this.#newest;
    dentry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = dentry;
    else this.#newest.newer = dentry;
    this.#newest = dentry;
  }

  #unlink(dentry: Dentry): void {
    if (dentry.newer === undefined) this.#newest = dentry.older;
    else dentry.newer.older = dentry.older;
    if (dentry.older === undefined) this.#oldest = dentry.newer;
    else dentry.older.newer = dentry.newer;
  }
}

/** Dropping the name of a directory in use would only make the next walk ask again: nothing would be freed. */
function isNeeded(dentry: Dentry): boolean {
  return dentry.child?.isDirectory === true && dentry.child.uses > 0;
}

/** Whether `inode` is `of` or above it, as far as is known. */
export function isAncestor(inode: Inode, of: Inode): boolean {
  for (let i: Inode | undefined = of; i !== undefined; i = i.parent) if (i === inode) return true;
  return false;
}
