/**
 * How known objects are reached again without being led astray: whatever somebody else does to the tree meanwhile, a
 * system call acts on the object that was looked up or on one name directly in it, or it fails with ESTALE.
 *
 * Two ways: by descriptors through procfs (Linux, `anchor-linux.ts`), which nobody can redirect; by paths that are
 * checked before use (elsewhere, `anchor-path.ts`), where a change *between* check and use can still redirect a call.
 */
import type { ByteString } from '../../base/bytes.ts';
import type { DirInode } from './inode.ts';
import type { Listing } from './listing.ts';
import type { Path } from './path.ts';
import type { Stat } from './stat.ts';

/** What utimes takes: seconds, or a Date for times before 1970, which Node refuses as numbers. */
export type FileTime = number | Date;

export interface Anchor {
  /** Descriptors kept open. */
  readonly count: number;
  /** A file that nobody uses may stay open for reading: it keeps nobody from moving, removing or running it. */
  readonly keepsFilesOpen: boolean;
  /** The path of one name in a directory, for calls that do not follow a symbolic link in the last place. */
  child(parent: DirInode, name: ByteString): Path;
  /** The path of a directory itself, for calls that list it or ask about it. */
  reach(directory: DirInode): Path;
  /** Looks at one name in a directory; undefined if there is none. */
  find(parent: DirInode, name: ByteString): Stat | undefined;
  /** Opens what names the object at that name from now on; −1 if this anchor needs no descriptor. */
  pin(parent: DirInode, name: ByteString): number;
  /** Opens a file at a name for the first time. */
  create(parent: DirInode, name: ByteString, flags: number, mode: number): number;
  unlink(parent: DirInode, name: ByteString): void;
  /** Gives the descriptor that `pin` opened to the inode. */
  adopt(inode: DirInode, fd: number): void;
  stat(inode: DirInode): Stat;
  /** Of what is open; all stats are to come from the anchor, so that they compare. */
  statOf(fd: number): Stat;
  /** Opens the content of a regular file or a directory; nothing else may ever be opened. */
  open(inode: DirInode, flags: number): number;
  /** Opens a regular file without a name in a directory, for systems that have O_TMPFILE. */
  openNameless(directory: DirInode, flags: number, mode: number): number;
  /** Closes what `pin`, `create`, `open` or `openNameless` opened: nobody else may, see at.ts. */
  close(fd: number): void;
  /** Adds the directory's entries, "." and ".." excepted. */
  list(directory: DirInode, into: Listing): void;
  chmod(inode: DirInode, mode: number): void;
  chown(inode: DirInode, uid: number, gid: number): void;
  utimes(inode: DirInode, atime: FileTime, mtime: FileTime): void;
  /**
   * Makes sure that the inode can be reached when its last known name is gone. Returns false if that takes an open
   * data descriptor.
   */
  hold(inode: DirInode): boolean;
  /** The inode is gone. */
  drop(inode: DirInode): void;
  /** Closes descriptors that are too many beside `files` open files; only between operations. */
  trim(files: number): void;
  /** Closes all of them. */
  destroy(): void;
}

export const BIGINT = { bigint: true } as const;
export const PROBE = { bigint: true, throwIfNoEntry: false } as const;
