/**
 * An open directory: lists entries in chunks. The first chunk comes with attributes (READDIRPLUS), because who lists
 * usually wants to know more; the rest does so only if somebody did look, as Linux does with READDIRPLUS_AUTO.
 */
import type { ByteString } from '../base/bytes.ts';
import { DirentReader } from '../wire/dirent.ts';
import { EBADF, ENOSYS, type Errno, ESRCH, OK } from '../wire/errno.ts';
import { EntryOut } from '../wire/fuse.ts';
import type { Fh } from '../wire/ids.ts';
import { O_DIRECTORY } from '../wire/mode.ts';
import { OPS } from '../wire/ops.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';
import { pathOf } from './namei.ts';
import type { SharedDescription } from './shared-description.ts';

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
  /** open(2) flags. */
  readonly flags: number;
  /** Descriptors that name it. */
  refs = 1;
  /** Other threads of the process have it, too: position and handle are theirs as well. */
  shared: SharedDescription | undefined;
  readonly #mount: Mount;
  readonly #fh: Fh;
  readonly #hasHandle: boolean;
  /** Reads a copy of the last reply: requests made while listing reuse the channel's buffer. */
  #reader = new DirentReader('plain');
  #cookieLow = 0;
  #cookieHigh = 0;
  #isFirst = true;
  /** How often the shared position had been set when this thread last looked. */
  #rewinds = 0;
  #isOpen = true;

  constructor(mount: Mount, inode: Inode, fh: Fh, hasHandle: boolean, flags = O_DIRECTORY) {
    this.#mount = mount;
    this.flags = flags;
    this.inode = inode;
    this.#fh = fh;
    this.#hasHandle = hasHandle;
    mount.inodes.hold(inode);
  }

  /** Steps to the next entry, "." and ".." included: 1, 0 at the end, or −errno. */
  next(): number {
    const { shared } = this;
    if (shared === undefined) return this.#next();
    if (!shared.lock()) return -ESRCH;
    try {
      // Somebody else read on or went elsewhere: what was read ahead here is of no use.
      if (!shared.isAtCookie(this.#cookieLow, this.#cookieHigh) || shared.rewinds !== this.#rewinds)
        this.#follow(shared);
      const outcome = this.#next();
      shared.setCookie(this.#cookieLow, this.#cookieHigh);
      return outcome;
    } finally {
      shared.unlock();
    }
  }

  #follow(shared: SharedDescription): void {
    this.#rewinds = shared.rewinds;
    this.#seek(...shared.cookie);
  }

  #next(): number {
    if (!this.#isOpen) return -EBADF;
    if (this.#reader.isDone) {
      const errno = this.#fill();
      if (errno !== OK) return -errno;
      if (this.#reader.isDone) return 0;
    }
    return this.#take();
  }

  /** Where the next entry is, as the host's own cookie: two words, 0 and 0 at the start. */
  get cookie(): readonly [low: number, high: number] {
    return this.shared?.cookie ?? [this.#cookieLow, this.#cookieHigh];
  }

  /** seekdir(3), rewinddir(3): the next entry is read anew from the host. */
  seek(low: number, high: number): void {
    const { shared } = this;
    if (shared === undefined) this.#seek(low, high);
    if (shared?.lock() !== true) return;
    shared.setCookie(low, high);
    shared.rewinds++;
    shared.unlock();
  }

  #seek(low: number, high: number): void {
    this.#reader = new DirentReader('plain');
    this.#cookieLow = low;
    this.#cookieHigh = high;
    this.#isFirst = low === 0 && high === 0;
  }

  fsync(dataOnly: boolean): Errno {
    if (!this.#isOpen) return EBADF;
    return this.#mount.files.fsync(OPS.FSYNCDIR.code, this.inode.nodeid, this.#fh, dataOnly);
  }

  /** This thread has no more to do with it; what is left is the others'. */
  forget(): void {
    this.#isOpen = false;
    this.#mount.inodes.release(this.inode);
  }

  /** Lets other threads of the process have it. */
  share(shared: SharedDescription): void {
    shared.describe(this.#fh, this.inode, this.#hasHandle, this.flags, 0, 0);
    shared.setCookie(this.#cookieLow, this.#cookieHigh);
    shared.path = pathOf(this.inode, this.#mount.inodes.root) ?? ('' as ByteString);
    this.shared = shared;
  }

  close(): Errno {
    if (!this.#isOpen) return EBADF;
    this.#isOpen = false;
    if (this.#hasHandle) this.#mount.files.release(OPS.RELEASEDIR.code, this.inode.nodeid, this.#fh, 0);
    this.#mount.inodes.release(this.inode);
    return OK;
  }

  #take(): number {
    const reader = this.#reader;
    const errno = reader.next();
    if (errno !== OK) return -errno;
    this.name = reader.name;
    this.ino = reader.ino;
    this.type = reader.type;
    this.#cookieLow = reader.offLow;
    this.#cookieHigh = reader.offHigh;
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
    const { data, received } = channel;
    const chunk = channel.bytes.slice(data, data + received);
    this.#reader = new DirentReader(isPlus ? 'plus' : 'plain');
    this.#reader.reset(new DataView(chunk.buffer), 0, received);
    inodes.wasRead(this.inode);
    if (isPlus) this.#adoptAll(data, received, version);
    return OK;
  }

  /**
   * Every entry with a nodeid counted a lookup on the host, whether or not the program reads that far.
   * SPEC: fs/fuse/readdir.c, fuse_direntplus_link: "." and ".." never do, whatever their nodeid.
   */
  #adoptAll(data: number, size: number, version: number): void {
    const { channel, dentries } = this.#mount;
    const reader = new DirentReader('plus');
    reader.reset(channel.view, data, size);
    while (!reader.isDone && reader.next() === OK) {
      if (reader.name === '.' || reader.name === '..') continue;
      const isNamed = EntryOut.nodeid.get(channel.view, reader.entryAt) !== 0;
      if (isNamed) dentries.adopt(this.inode, reader.name, reader.entryAt, version);
    }
  }
}
