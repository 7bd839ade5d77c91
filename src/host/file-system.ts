/**
 * The seam between the FUSE server and whatever holds the files. A file system knows inodes, names and bytes; it knows
 * no nodeid, lookup count, handle or message. All calls are synchronous; expected failures are returned as an errno.
 *
 * Results: `Errno` where there is nothing to return; `X | Errno` told apart by `typeof`; `Outcome` where the answer is
 * a count: ≥ 0 the count, < 0 an errno negated.
 *
 * The server has already checked: names (1 … 255 bytes, no '/', no NUL, not "." or ".."), that parents are directories,
 * that handles exist, that offsets are exact numbers. The file system checks existence, types, emptiness, space,
 * limits, and everything a rename must check.
 */
import type { ByteString } from '../base/bytes.ts';
import type { SegmentList } from '../virtio/chain.ts';
import type { Errno } from '../wire/errno.ts';
import type { Attr, AttrChange, Caller, Inode, StatFs } from './inode.ts';

/** A count ≥ 0, or an errno negated. */
export type Outcome = number;

/** An open directory: a position-independent way to list entries while others come and go. */
export interface DirStream {
  /**
   * Offers the entries after the one whose cookie is `offset` (0 = from the start) to `sink`, in order, until the sink
   * is full or the directory ends. Includes "." and "..". A cookie stays valid until the stream is closed, and an
   * entry that exists during the whole listing is offered exactly once.
   */
  read(offset: number, sink: DirSink): Errno;
  close(): void;
}

export interface DirSink {
  /** The sink looks each name up and so learns the number: what costs something to find may be left 0. */
  readonly knowsIno: boolean;
  /** Takes one entry; `cookie` resumes after it; `type` is S_IFMT bits. Returns false when the entry did not fit. */
  add(name: ByteString, ino: number, type: number, cookie: number): boolean;
}

/** What access control lists mean beyond the mode bits. Asked where the server masks and checks for the client. */
export interface AclRules<N extends Inode = Inode> {
  /** What is created in the directory follows its default list; the umask does not count. */
  inheritsDefault(directory: N): boolean;
  /** Whether the inode's list lets the caller, not the superuser, do all of R_OK, W_OK, X_OK; undefined: no list. */
  allows(inode: N, caller: Caller, wanted: number): boolean | undefined;
}

export interface FileSystem<N extends Inode = Inode> {
  readonly root: N;
  /** True when nothing here may change: the server answers EROFS for every writing operation. */
  readonly readOnly: boolean;
  /** Present where system.posix_acl_* attributes are kept and followed. */
  readonly acls?: AclRules<N> | undefined;

  lookup(parent: N, name: ByteString): N | Errno;
  /** The last hold is gone: no client knows the inode, no handle or mapping uses it. */
  forget(inode: N): void;
  getattr(inode: N, out: Attr): Errno;
  /** As getattr, just after the call that returned the inode: what that call saw may be told again. */
  entryAttr?(inode: N, out: Attr): Errno;
  setattr(inode: N, change: AttrChange, caller: Caller): Errno;

  readlink(inode: N): ByteString | Errno;
  /** Creates a regular file, fifo, socket or device; EEXIST if the name is taken. `mode` is masked already. */
  mknod(parent: N, name: ByteString, mode: number, rdev: number, caller: Caller): N | Errno;
  mkdir(parent: N, name: ByteString, mode: number, caller: Caller): N | Errno;
  symlink(parent: N, name: ByteString, target: ByteString, caller: Caller): N | Errno;
  link(inode: N, parent: N, name: ByteString): Errno;
  unlink(parent: N, name: ByteString): Errno;
  rmdir(parent: N, name: ByteString): Errno;
  /** `flags`: 0, RENAME_NOREPLACE or RENAME_EXCHANGE. */
  rename(parent: N, name: ByteString, newParent: N, newName: ByteString, flags: number): Errno;

  /** Called for each OPEN and CREATE of a regular file with the open(2) flags; `release` balances it. */
  open(inode: N, flags: number): Errno;
  release(inode: N, flags: number): void;
  /**
   * Just after `open`, with its flags: the content is as the `open` before found it, so what the client has of it still
   * holds, and nobody needs to hear that it is read again.
   */
  keepsCache?(inode: N, flags: number): boolean;
  /**
   * Copies up to `size` bytes from `pos` into `into` (addresses in the host's memory); short only at end of file.
   * `isUnseen`: for O_NOATIME, whoever keeps the time of access itself leaves it.
   */
  read(inode: N, pos: number, size: number, into: SegmentList, isUnseen?: boolean): Outcome;
  /** Copies `from.size` bytes to `pos`, growing the file; fewer only when space ends in the middle. */
  write(inode: N, pos: number, from: SegmentList, killSuidgid: boolean, caller?: Caller): Outcome;
  /** `mode` is FALLOC_FL_* bits. */
  fallocate(inode: N, mode: number, pos: number, size: number, caller: Caller): Errno;
  /** SEEK_DATA or SEEK_HOLE: the position found, or −ENXIO. */
  seek(inode: N, pos: number, whence: number): Outcome;
  /** Writes back everything of this file that the backing does not have, and makes it durable. */
  fsync(inode: N, dataOnly: boolean): Errno;

  opendir(inode: N): DirStream | Errno;
  /** The directory that holds this directory (the root: itself). Only then does LOOKUP of ".." work. */
  parent?(directory: N): N | Errno;
  /** Creates a regular file without a name; `link` may give it one. Absent: TMPFILE is ENOSYS. */
  tmpfile?(parent: N, mode: number, caller: Caller): N | Errno;
  /**
   * Extended attributes; all four or none. Absent: ENOSYS, which clients take for ENOTSUP. Flags:
   * XATTR_CREATE/REPLACE.
   */
  getxattr?(inode: N, name: ByteString, caller: Caller): Uint8Array | Errno;
  setxattr?(
    inode: N,
    name: ByteString,
    value: Uint8Array,
    flags: number,
    caller: Caller,
    /** Who sets an access list is not in the file's group: it loses its set-group-ID bit. */
    killSgid?: boolean,
  ): Errno;
  listxattr?(inode: N, caller: Caller): readonly ByteString[] | Errno;
  removexattr?(inode: N, name: ByteString, caller: Caller): Errno;
  statfs(out: StatFs): Errno;
  /** Writes back everything that is dirty anywhere; `nowMs` lets a timer do it in portions. */
  sync(): Errno;
  /** The last client is gone and the host stops: write back, close everything. */
  destroy(): void;
}
