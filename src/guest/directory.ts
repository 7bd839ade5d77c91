/**
 * An open directory: lists entries in chunks. The first chunk comes with attributes (READDIRPLUS), because who lists
 * usually wants to know more; the rest does so only if somebody did look, as Linux does with READDIRPLUS_AUTO.
 */
import { type ByteString, getBytes } from '../base/bytes.ts';
import { EBADF, EIO, ENOSYS, type Errno, OK } from '../wire/errno.ts';
import { Dirent, EntryOut } from '../wire/fuse.ts';
import type { Fh } from '../wire/ids.ts';
import { NAME_MAX } from '../wire/ids.ts';
import { OPS } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';

const DIRENT_SIZE = sizeOf(Dirent);
const ENTRY_SIZE = sizeOf(EntryOut);
/** Some ninety entries with attributes: more would fill the caches with what nobody asked for. */
const PLUS_CHUNK = 16 * 1024;
const PLAIN_CHUNK = 64 * 1024;

export class OpenDirectory {
  /** The current entry, after `next` returned 1. */
  name = '' as ByteString;
  ino = 0;
  /** DT_* */
  type = 0;
  readonly inode: Inode;
  readonly #mount: Mount;
  readonly #fh: Fh;
  readonly #hasHandle: boolean;
  /** A copy of the last reply: requests made while listing reuse the channel's buffer. */
  #chunk = new Uint8Array(0);
  #view = new DataView(this.#chunk.buffer);
  #at = 0;
  #isPlus = false;
  #cookieLow = 0;
  #cookieHigh = 0;
  #isFirst = true;
  #isOpen = true;

  constructor(mount: Mount, inode: Inode, fh: Fh, hasHandle: boolean) {
    this.#mount = mount;
    this.inode = inode;
    this.#fh = fh;
    this.#hasHandle = hasHandle;
    mount.inodes.hold(inode);
  }

  /** Steps to the next entry, "." and ".." included: 1, 0 at the end, or −errno. */
  next(): number {
    if (!this.#isOpen) return -EBADF;
    if (this.#at >= this.#chunk.length) {
      const errno = this.#fill();
      if (errno !== OK) return -errno;
      if (this.#chunk.length === 0) return 0;
    }
    return this.#take();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.#hasHandle) this.#mount.files.release(OPS.RELEASEDIR.code, this.inode.nodeid, this.#fh, 0);
    this.#mount.inodes.release(this.inode);
  }

  #take(): number {
    const start = this.#at;
    const at = this.#isPlus ? start + ENTRY_SIZE : start;
    const view = this.#view;
    if (at + DIRENT_SIZE > this.#chunk.length) return -EIO;
    const size = Dirent.namelen.get(view, at);
    if (size === 0 || size > NAME_MAX || at + DIRENT_SIZE + size > this.#chunk.length) return -EIO;
    this.name = getBytes(view, at + DIRENT_SIZE, size);
    this.ino = Dirent.ino.get(view, at);
    this.type = Dirent.type.get(view, at);
    this.#cookieLow = Dirent.off.low(view, at);
    this.#cookieHigh = Dirent.off.high(view, at);
    this.#at = start + align8(at - start + DIRENT_SIZE + size);
    return 1;
  }

  #fill(): Errno {
    const { session } = this.#mount;
    const isPlus = this.#wantsPlus() && !session.lacks(OPS.READDIRPLUS.code);
    this.#isFirst = false;
    const errno = this.#ask(isPlus);
    if (errno === ENOSYS && isPlus) return this.#ask(false);
    return errno;
  }

  #wantsPlus(): boolean {
    const { session } = this.#mount;
    return session.has('FUSE_DO_READDIRPLUS') && (this.#isFirst || !session.has('FUSE_READDIRPLUS_AUTO'));
  }

  #ask(isPlus: boolean): Errno {
    const { channel, files, inodes } = this.#mount;
    const opcode = isPlus ? OPS.READDIRPLUS.code : OPS.READDIR.code;
    const size = Math.min(channel.dataSize, isPlus ? PLUS_CHUNK : PLAIN_CHUNK);
    const { version } = inodes;
    const errno = files.readdir(opcode, this.inode.nodeid, this.#fh, this.#cookieLow, this.#cookieHigh, size);
    if (errno !== OK) return errno;
    this.#chunk = channel.bytes.slice(channel.data, channel.data + channel.received);
    this.#view = new DataView(this.#chunk.buffer);
    this.#at = 0;
    this.#isPlus = isPlus;
    if (isPlus) this.#adoptAll(channel.data, version);
    return OK;
  }

  /** Every entry with a nodeid counted a lookup on the host, whether or not the program reads that far. */
  #adoptAll(base: number, version: number): void {
    const { view } = this.#mount.channel;
    const end = this.#chunk.length;
    for (let at = 0; at + ENTRY_SIZE + DIRENT_SIZE <= end; ) {
      const direntAt = at + ENTRY_SIZE;
      const size = Dirent.namelen.get(this.#view, direntAt);
      if (size > NAME_MAX || direntAt + DIRENT_SIZE + size > end) return;
      if (EntryOut.nodeid.get(view, base + at) !== 0) {
        const name = getBytes(this.#view, direntAt + DIRENT_SIZE, size);
        this.#mount.dentries.adopt(this.inode, name, base + at, version);
      }
      at += align8(ENTRY_SIZE + DIRENT_SIZE + size);
    }
  }
}

function align8(size: number): number {
  return (size + 7) & ~7;
}
