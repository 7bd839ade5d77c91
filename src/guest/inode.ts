/**
 * A file as this guest knows it: the host's nodeid, how many lookups it owes, who needs it, and its attributes.
 *
 *   live  → stale:     the host showed another object under the nodeid (type or generation differ)
 *   live  → forgotten: nobody names or uses it: its lookups are given back
 *   stale → forgotten: likewise
 */
import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import type { AttrOut } from '../wire/fuse.ts';
import type { NodeId } from '../wire/ids.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../wire/mode.ts';
import type { DaxRange } from './dax-ranges.ts';
import type { Dentry } from './dentry-cache.ts';

export type InodeState = 'live' | 'stale' | 'forgotten';
export type AttrFields = typeof AttrOut.attr;

/** Expiry of attributes that must be asked for. */
export const EXPIRED = Number.NEGATIVE_INFINITY;

export class Inode {
  readonly nodeid: NodeId;
  readonly generation: number;
  /** S_IFMT bits. */
  readonly type: number;
  /** Whether data goes through the window. Decided once, as in Linux. */
  readonly isDax: boolean;
  /** Lookups that the host counted for us. */
  nlookup = 0;
  /** Another CPU of the guest looked it up; we may have, too. */
  isBorrowed = false;
  /** Cached dentries that name it. Owner: DentryCache. */
  names = 0;
  /** Open files, mappings, working directories, cached names inside it, directories whose parent it is. */
  uses = 0;
  /** Set when the host changed its mind about DAX: forget the inode as soon as nobody uses it. */
  isOutdated = false;

  ino = 0;
  size = 0;
  blocks = 0;
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  rdev = 0;
  blksize = 0;
  atime = 0;
  atimensec = 0;
  mtime = 0;
  mtimensec = 0;
  ctime = 0;
  ctimensec = 0;
  /** Monotonic time until which the attributes may be believed. */
  attrExpiresMs = EXPIRED;
  /** Somebody else changed it since its attributes came: not even its size and mode may be believed. */
  isDoubtful = false;
  /** We changed it since its attributes came, or were told that somebody did: other times are no news then. */
  isChangeKnown = true;
  /** When the attributes were last changed, in the cache's own count: an older reply does not overwrite them. */
  attrVersion = 0;

  /** Directories: cached names inside. */
  readonly entries: Map<ByteString, Dentry> | undefined;
  /** Directories: where it was last seen; undefined for the root. */
  parent: Inode | undefined;
  name = '' as ByteString;
  /** Symlinks: the target, when the host allows to keep it. */
  target: ByteString | undefined;
  /** DAX: chunk (2 MiB of the file) → range of the window that shows it. */
  readonly ranges: Map<number, DaxRange> | undefined;
  #state: InodeState = 'live';

  constructor(nodeid: NodeId, generation: number, type: number, isDax: boolean) {
    this.nodeid = nodeid;
    this.generation = generation;
    this.type = type;
    this.isDax = isDax;
    this.entries = type === S_IFDIR ? new Map() : undefined;
    this.ranges = isDax ? new Map() : undefined;
  }

  get state(): InodeState {
    return this.#state;
  }
  get isDirectory(): boolean {
    return this.type === S_IFDIR;
  }
  get isRegular(): boolean {
    return this.type === S_IFREG;
  }
  get isSymlink(): boolean {
    return this.type === S_IFLNK;
  }

  enter(next: InodeState): void {
    assert(this.#state !== 'forgotten', 'a forgotten inode stays forgotten');
    this.#state = next;
  }

  /**
   * Whether reading it by a request may change its atime. SPEC: mount(8), relatime: only if it is not newer than the
   * last change, or a day old, which is not looked at here.
   */
  get isAtimeDue(): boolean {
    return (
      isNotAfter(this.atime, this.atimensec, this.mtime, this.mtimensec) ||
      isNotAfter(this.atime, this.atimensec, this.ctime, this.ctimensec)
    );
  }

  /** Takes over attributes from a reply. */
  setAttr(fields: AttrFields, view: DataView, at: number): void {
    this.isDoubtful = false;
    this.ino = fields.ino.get(view, at);
    this.size = fields.size.get(view, at);
    this.blocks = fields.blocks.get(view, at);
    this.mode = fields.mode.get(view, at);
    this.nlink = fields.nlink.get(view, at);
    this.uid = fields.uid.get(view, at);
    this.gid = fields.gid.get(view, at);
    this.rdev = fields.rdev.get(view, at);
    this.blksize = fields.blksize.get(view, at);
    this.atime = fields.atime.get(view, at);
    this.atimensec = fields.atimensec.get(view, at);
    this.mtime = fields.mtime.get(view, at);
    this.mtimensec = fields.mtimensec.get(view, at);
    this.ctime = fields.ctime.get(view, at);
    this.ctimensec = fields.ctimensec.get(view, at);
  }
}

function isNotAfter(sec: number, nsec: number, otherSec: number, otherNsec: number): boolean {
  return sec < otherSec || (sec === otherSec && nsec <= otherNsec);
}
