/**
 * What the server knows of a file: one `Inode` per object of the served tree, subclassed by each file system.
 *
 * An inode is *held* by lookups of any session, open handles and live mappings. `InodeStore` counts the holds; when the
 * last one goes, the file system hears `forget` and may drop the object (if it has no name any more) or its descriptor.
 */
import type { NodeId } from '../wire/ids.ts';
import { S_IFDIR, S_IFMT, S_ISGID, S_ISUID, S_IXGRP } from '../wire/mode.ts';
import type { AddressSpace } from './address-space.ts';

export abstract class Inode {
  /** 0 until the inode is first shown to a client; never used for another object afterwards. Owner: InodeStore. */
  nodeid = 0 as NodeId;
  /** Lookup counts, handles and mappings that keep the inode in core. Owner: InodeStore. */
  holds = 0;
  /** The pages of a regular file; undefined for everything else. */
  abstract readonly space: AddressSpace | undefined;
  /** S_IFMT bits of the mode; they never change during an inode's life. */
  abstract readonly type: number;
}

/** Attributes as numbers, reused from call to call: `getattr` overwrites every field. */
export class Attr {
  ino = 0;
  size = 0;
  /** 512-byte blocks that are really allocated. */
  blocks = 0;
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  /** Linux encoding of a device number as FUSE carries it (new_encode_dev, 32 bit). */
  rdev = 0;
  blksize = 4096;
  /** FUSE_ATTR_* */
  flags = 0;
  atime = 0;
  atimensec = 0;
  mtime = 0;
  mtimensec = 0;
  ctime = 0;
  ctimensec = 0;
  btime = 0;
  btimensec = 0;
}

/** What SETATTR asks for; only the fields named by the FATTR_* bits in `valid` mean anything. Reused likewise. */
export class AttrChange {
  valid = 0;
  size = 0;
  mode = 0;
  uid = 0;
  gid = 0;
  atime = 0;
  atimensec = 0;
  mtime = 0;
  mtimensec = 0;
  ctime = 0;
  ctimensec = 0;
}

export class StatFs {
  blocks = 0;
  bfree = 0;
  bavail = 0;
  files = 0;
  ffree = 0;
  bsize = 4096;
  namelen = 255;
  frsize = 4096;
}

/** The supplementary groups of a client's process, as far as somebody knows them. */
export type GroupsOf = (pid: number) => readonly number[];

/** Who asks: from the request's header. `umask` is 0 unless the operation carries one. */
export class Caller {
  uid = 0;
  gid = 0;
  pid = 0;
  umask = 0;
  /** The group of the directory, if the caller is in it besides `gid`; −1 otherwise, or if nobody said so. */
  extraGid?: number = -1;
  /** Asked only where the groups decide. */
  groupsOf?: GroupsOf | undefined = undefined;

  isIn(gid: number): boolean {
    return gid === this.gid || gid === this.extraGid || this.groupsOf?.(this.pid).includes(gid) === true;
  }
}

/**
 * Which of the set-ID bits a file loses when the caller changes its content or its owner. Set-group-ID without group
 * execute is for members of the group. SPEC: Linux, setattr_should_drop_suidgid.
 */
export function lostSetId(mode: number, gid: number, caller: Caller): number {
  if ((mode & S_IFMT) === S_IFDIR) return 0;
  let lost = mode & S_ISUID;
  if ((mode & S_ISGID) !== 0 && ((mode & S_IXGRP) !== 0 || (caller.uid !== 0 && !caller.isIn(gid)))) lost |= S_ISGID;
  return lost;
}
