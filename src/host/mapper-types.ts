/**
 * The seam between the FUSE server and a DAX window: what SETUPMAPPING and REMOVEMAPPING come down to once their
 * arguments are known to be good. One mapper serves one session's window.
 */
import type { Errno } from '../wire/errno.ts';
import type { Inode } from './inode.ts';

/** log2 of the granularity of mappings, negotiated as `map_alignment`: one mapping entry of the window is 2 MiB. */
export const MAP_ALIGNMENT = 21;
export const MAP_UNIT = 2 ** MAP_ALIGNMENT;

export interface Mapper {
  /** Bytes of the window; a multiple of MAP_UNIT. */
  readonly windowSize: number;
  /**
   * Makes the window at `moffset` show the file from `foffset`, replacing atomically whatever was there. All three
   * numbers are multiples of MAP_UNIT, the range lies in the window, `inode` is a regular file; it may end anywhere.
   * A mapping holds its inode (`InodeHolder.hold`) until it is replaced or removed. ENOMEM: no slot left.
   */
  setup(inode: Inode, foffset: number, len: number, writable: boolean, moffset: number): Errno;
  /** Removes what is mapped in the range; unmapped parts are no error. */
  remove(moffset: number, len: number): Errno;
  /**
   * Whether the pages that the range at `moffset` shows were used since this was asked last. A page table entry says
   * that somebody used a page, not who: another guest's use of the same chunk counts as well.
   */
  takeUsed(moffset: number): boolean;
  /** Called when a writable mapping was replaced or removed: what was stored through it may be news to others. */
  onStored?: (inode: Inode) => void;
  /** Removes every mapping, and tells nobody: DESTROY, a second INIT, reset, a guest that died. */
  clear(): void;
}

/** Keeps inodes in core. The mapper holds each inode once per mapping. */
export interface InodeHolder {
  hold(inode: Inode): void;
  release(inode: Inode): void;
}
