/**
 * nodeid ↔ inode, and the two counts that keep an inode in core.
 *
 * *Holds* are the host's own: one per session that knows the inode, per open handle, per mapping. *Lookup counts* are
 * the protocol's: every entry reply adds one, FORGET subtracts; they are kept per session, so that a session that ends
 * takes all of its own with it and nobody else's.
 *
 * Nodeids only grow. An inode that is forgotten and then shown again may keep its number, because it is the same
 * object; no other object ever gets it, so `generation` is always 0.
 *
 * INVARIANT: an inode is in the store exactly while holds > 0, under its own nodeid; the root always is.
 * INVARIANT: a session's count for a nodeid is ≥ 1 exactly while the session holds that inode once.
 */
import { assert } from '../base/assert.ts';
import { FUSE_ROOT_ID, type NodeId } from '../wire/ids.ts';
import type { FileSystem } from './file-system.ts';
import type { Inode } from './inode.ts';
import type { InodeHolder } from './mapper-types.ts';

export class InodeStore implements InodeHolder {
  readonly #fs: FileSystem;
  readonly #inodes = new Map<NodeId, Inode>();
  #nextNodeid: number = FUSE_ROOT_ID;

  constructor(fs: FileSystem) {
    this.#fs = fs;
    this.hold(fs.root);
  }

  /** Inodes in core. */
  get count(): number {
    return this.#inodes.size;
  }

  inodes(): IterableIterator<Inode> {
    return this.#inodes.values();
  }

  get(nodeid: NodeId): Inode | undefined {
    return this.#inodes.get(nodeid);
  }

  /** Adds one hold; the first one puts the inode into the store. */
  hold(inode: Inode): void {
    if (inode.holds === 0) {
      if (inode.nodeid === 0) inode.nodeid = this.#nextNodeid++ as NodeId;
      this.#inodes.set(inode.nodeid, inode);
    }
    inode.holds++;
  }

  /** Takes one hold back; the last one makes the file system forget the inode. */
  release(inode: Inode): void {
    assert(inode.holds > 0, 'an inode is released more often than held');
    inode.holds--;
    if (inode.holds > 0) return;
    this.#inodes.delete(inode.nodeid);
    this.#fs.forget(inode);
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    assert(this.#inodes.get(FUSE_ROOT_ID) === this.#fs.root, 'the root is not in the store');
    for (const [nodeid, inode] of this.#inodes) {
      assert(inode.nodeid === nodeid, `inode ${inode.nodeid} is stored as ${nodeid}`);
      assert(inode.holds > 0, `inode ${nodeid} is in the store without a hold`);
      assert(nodeid < this.#nextNodeid, `nodeid ${nodeid} was never given out`);
    }
  }
}

/** What one session knows: its lookup count of each inode. */
export class LookupCounts {
  readonly #store: InodeStore;
  readonly #counts = new Map<NodeId, number>();

  constructor(store: InodeStore) {
    this.#store = store;
  }

  /** Inodes this session knows. */
  get size(): number {
    return this.#counts.size;
  }

  /** The inodes that this session may name; whoever walks them meets what comes meanwhile, and not what goes. */
  *nodeids(): Iterable<NodeId> {
    yield FUSE_ROOT_ID;
    yield* this.#counts.keys();
  }

  /** Returns the inode if this session may name it: the root, or one it has looked up and not forgotten. */
  resolve(nodeid: NodeId): Inode | undefined {
    if (nodeid !== FUSE_ROOT_ID && !this.#counts.has(nodeid)) return undefined;
    return this.#store.get(nodeid);
  }

  count(nodeid: NodeId): number {
    return this.#counts.get(nodeid) ?? 0;
  }

  /** Counts one lookup: the reply that goes out names this inode. */
  add(inode: Inode): void {
    const count = this.#counts.get(inode.nodeid) ?? 0;
    if (count === 0) this.#store.hold(inode);
    this.#counts.set(inode.nodeid, count + 1);
  }

  /**
   * Subtracts `count` lookups. Returns false if there were fewer: they are then 0, never negative. The root's are not
   * missed: clients count one for it that no reply ever gave them.
   */
  forget(nodeid: NodeId, count: number): boolean {
    const have = this.#counts.get(nodeid) ?? 0;
    if (count < have) {
      this.#counts.set(nodeid, have - count);
      return true;
    }
    if (have > 0) {
      this.#counts.delete(nodeid);
      this.#releaseKnown(nodeid);
    }
    return count === have || nodeid === FUSE_ROOT_ID;
  }

  /** Drops every lookup: the session is over. */
  clear(): void {
    const nodeids = [...this.#counts.keys()];
    this.#counts.clear();
    for (const nodeid of nodeids) this.#releaseKnown(nodeid);
  }

  checkInvariants(): void {
    for (const [nodeid, count] of this.#counts) {
      assert(count >= 1, `a lookup count of ${nodeid} is below one`);
      assert(this.#store.get(nodeid) !== undefined, `a session knows ${nodeid} but the store does not`);
    }
  }

  #releaseKnown(nodeid: NodeId): void {
    const inode = this.#store.get(nodeid);
    assert(inode !== undefined, 'a counted inode is not in the store');
    this.#store.release(inode);
  }
}
