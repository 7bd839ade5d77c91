/** Stand-in while the page cache is being written: the contract that file systems are written against. */
import type { SegmentList } from '../virtio/chain.ts';
import type { Errno } from '../wire/errno.ts';

export interface PageBacking {
  /** Copies `size` bytes of the file from `pos` to address `at` of the host's memory. Returns how many there were, or −errno. */
  read(pos: number, at: number, size: number): number;
  /** Copies `size` bytes from address `at` into the file at `pos`. Returns `size` or −errno. */
  write(pos: number, at: number, size: number): number;
}

/** How many pages the files of one file system may have in all (memory: the frames *are* the file). */
export interface Quota {
  readonly limitPages: number;
  usedPages: number;
}

export declare class AddressSpace {
  /** File size in bytes (i_size). Changed by write, resize. */
  readonly size: number;
  /** Pages that have a frame: for st_blocks of a memory file. */
  readonly residentPages: number;
  /** Copies min(size, this.size − pos) bytes into the addresses of `into`; returns that count or −errno. Fills pages. */
  read(pos: number, size: number, into: SegmentList): number;
  /** Copies from.size bytes to pos, growing the file; returns the count (short when space ran out after some), or −errno. */
  write(pos: number, from: SegmentList): number;
  /** Like write, but only into pages that are resident already and without marking them dirty: the backing has the bytes. */
  update(pos: number, from: SegmentList): void;
  /** Sets the size. Shrinking zeroes the tail of the last page and drops pages beyond; guests then fault (bus error) there. */
  resize(size: number): Errno;
  /** Gives every page of the range a frame (ENOSPC, EFBIG); does not change the size. */
  allocate(pos: number, size: number): Errno;
  /** Makes the range read as zeros; whole pages lose their frames. Does not change the size. */
  punch(pos: number, size: number): Errno;
  /** SEEK_DATA (3) / SEEK_HOLE (4) by resident pages: memory files only. Position or −ENXIO. */
  seek(pos: number, whence: number): number;
  /** Writes dirty pages (stored into by guests through the window) to the backing. */
  flush(): Errno;
  /** Drops all clean pages, because the backing changed behind us. */
  invalidate(): void;
  /** Gives all frames back; no mapping may be left. */
  destroy(): void;
}

export declare class PageCache {
  /** The host's whole memory: addresses in a SegmentList index it. */
  readonly bytes: Uint8Array;
  /** A file whose frames are the file. */
  createSpace(quota: Quota): AddressSpace;
  /** A file whose frames are copies of `backing`, written back and evicted as needed. */
  createBackedSpace(backing: PageBacking, size: number): AddressSpace;
}
