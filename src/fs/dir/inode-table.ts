/**
 * Which objects are known, by identity, and where they are. Hard links are one inode. An inode stays while a client
 * holds it, or while inodes below it may need it to find their place again.
 *
 * INVARIANT: every inode in the table is shown, idle, or has children, or is the root.
 * INVARIANT: no two inodes in the table have the same number or the same identity.
 */
import { assert } from '../../base/assert.ts';
import type { ByteString } from '../../base/bytes.ts';
import { S_IFMT } from '../../wire/mode.ts';
import { DirInode, type SpaceMaker } from './inode.ts';
import type { Stat } from './stat.ts';

/** Numbers from here on are ours: for objects of other devices, and for real numbers that are too large. */
export const FIRST_MIXED = 2 ** 52;

export interface TableHooks {
  readonly makeSpace: SpaceMaker;
  /** Hears of each inode that nobody needs any more. */
  readonly dropped: (inode: DirInode) => void;
}

export class InodeTable {
  readonly #rootDev: number;
  readonly #hooks: TableHooks;
  readonly #byIno = new Map<number, DirInode>();
  /** Inodes with a mixed number, by identity. */
  readonly #mixed = new Map<string, DirInode>();
  /** A time of birth that is not the time of change has been seen: so the system really keeps them. */
  #birthIsReal = false;

  readonly root: DirInode;

  constructor(rootStats: Stat, hooks: TableHooks) {
    this.#rootDev = rootStats.dev;
    this.#hooks = hooks;
    this.root = this.insert(rootStats);
    this.root.shown = true;
  }

  get count(): number {
    return this.#byIno.size;
  }

  /** Returns the known inode of the object. An inode whose number was given to another object leaves the table. */
  find(stats: Stat): DirInode | undefined {
    const inode = this.#numbered(stats);
    if (inode === undefined || this.isSame(inode, stats)) return inode;
    this.#supersede(inode);
    return undefined;
  }

  /** The object was made just now: what we know by its number is another one, which is no more. */
  retire(stats: Stat): void {
    const inode = this.#numbered(stats);
    if (inode !== undefined) this.#supersede(inode);
  }

  /** Tells whether the stats are of this very object. */
  isSame(inode: DirInode, stats: Stat): boolean {
    const { met } = inode;
    if (stats.inoLow !== met.inoLow || stats.inoHigh !== met.inoHigh || stats.dev !== met.dev) return false;
    if ((stats.mode & S_IFMT) !== inode.type) return false;
    if (stats.wasBornWith(met)) return true;
    this.#learnBirth(stats);
    return !this.#birthIsReal || stats.hasNoBirth || met.hasNoBirth;
  }

  insert(stats: Stat): DirInode {
    this.#learnBirth(stats);
    const mixed = this.#isMixed(stats);
    const inode = new DirInode(stats, mixed ? this.#mix(stats) : stats.ino, this.#hooks.makeSpace);
    assert(!this.#byIno.has(inode.ino), 'an inode number is in use');
    this.#byIno.set(inode.ino, inode);
    if (mixed) this.#mixed.set(identityOf(stats), inode);
    return inode;
  }

  /** Notes that the object is `name` in `parent` now; what was known under that name is not there any more. */
  place(inode: DirInode, parent: DirInode, name: ByteString): void {
    if (inode.parent === parent && inode.name === name) return;
    if (inode === this.root) return;
    // Nor can it be in itself: what was moved there was something else, and the place that we knew is old.
    if (inode === parent) {
      this.displace(inode);
      return;
    }
    if (inode.children !== undefined) this.#breakLoop(inode, parent);
    parent.children ??= new Map();
    const other = parent.children.get(name);
    parent.children.set(name, inode);
    if (other !== undefined) other.parent = undefined;
    const before = inode.parent;
    if (before !== undefined) before.children?.delete(inode.name);
    inode.parent = parent;
    inode.name = name;
    if (other !== undefined) this.wake(other);
    if (before !== undefined) this.collect(before);
  }

  /** Notes that the name is gone; the object may have others that we do not know. */
  displace(inode: DirInode): void {
    const parent = inode.parent;
    if (parent === undefined) return;
    assert(parent.children?.get(inode.name) === inode, 'an inode is not where it thinks');
    parent.children.delete(inode.name);
    inode.parent = undefined;
    this.collect(parent);
    if (inode.idle) this.wake(inode);
  }

  /** Ends an inode's idleness: it is dropped, unless somebody needs it. */
  wake(inode: DirInode): void {
    inode.idle = false;
    this.collect(inode);
  }

  /** Drops the inode if nobody needs it, and then perhaps its parent, and so on. */
  collect(inode: DirInode): void {
    if (inode.shown || inode.idle || inode === this.root || (inode.children?.size ?? 0) > 0) return;
    if (this.#byIno.get(inode.ino) === inode) this.#remove(inode);
    this.#hooks.dropped(inode);
    this.displace(inode);
  }

  checkInvariants(): void {
    for (const [ino, inode] of this.#byIno) {
      assert(inode.ino === ino, `inode ${inode.ino} is stored as ${ino}`);
      assert(inode.shown || inode.idle || (inode.children?.size ?? 0) > 0, `inode ${ino} is kept for nobody`);
      for (const [name, child] of inode.children ?? []) {
        assert(child.parent === inode, `child ${child.ino} of ${ino} has another parent`);
        assert(child.name === name, `child ${child.ino} of ${ino} has another name`);
      }
    }
  }

  #numbered(stats: Stat): DirInode | undefined {
    if (!this.#isMixed(stats)) return this.#byIno.get(stats.ino);
    return this.#mixed.get(identityOf(stats));
  }

  /** An object cannot be below itself: if our places say so, somebody moved directories and one of them is old. */
  #breakLoop(inode: DirInode, parent: DirInode): void {
    for (let at: DirInode | undefined = parent; at !== undefined; at = at.parent) {
      if (at.parent === inode) this.displace(at);
    }
  }

  /** Its number is another object's now: nobody will ask for its pages again. */
  #supersede(inode: DirInode): void {
    this.#remove(inode);
    if (inode.idle) this.wake(inode);
  }

  #remove(inode: DirInode): void {
    this.#byIno.delete(inode.ino);
    if (this.#isMixed(inode.met)) this.#mixed.delete(identityOf(inode.met));
  }

  /** Node answers 0 or ctime where no time of birth is kept, and systems other than Linux let programs set it. */
  #learnBirth(stats: Stat): void {
    if (this.#birthIsReal || process.platform !== 'linux') return;
    this.#birthIsReal = !stats.hasNoBirth && !stats.wasBornWhenChanged;
  }

  #isMixed(stats: Stat): boolean {
    return stats.dev !== this.#rootDev || stats.ino >= FIRST_MIXED || stats.ino === 0;
  }

  /** A number from the identity, so that it is the same next time; the next free one if another object has it. */
  #mix(stats: Stat): number {
    const real = (BigInt(stats.inoHigh) << 32n) | BigInt(stats.inoLow);
    const hash = BigInt.asUintN(52, (BigInt(stats.dev) * 0x9e3779b97f4a7n) ^ (real * 0xd6e8feb86659fd93n));
    let ino = FIRST_MIXED + Number(hash);
    while (this.#byIno.has(ino)) ino = ino === Number.MAX_SAFE_INTEGER ? FIRST_MIXED : ino + 1;
    return ino;
  }
}

function identityOf(stats: Stat): string {
  return `${stats.dev}:${stats.inoHigh}:${stats.inoLow}`;
}
