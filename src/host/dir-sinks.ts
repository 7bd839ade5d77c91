/**
 * Where directory entries are packed into a reply. Records are padded to 8 bytes; what does not fit is offered again
 * by the next request. One of each kind per session, reused.
 */
import type { ByteString } from '../base/bytes.ts';
import { writeDirent, writeDirentPlus } from '../wire/dirent.ts';
import { OK } from '../wire/errno.ts';
import { Direntplus, EntryOut } from '../wire/fuse.ts';
import { modeToType } from '../wire/mode.ts';
import { sizeOf } from '../wire/struct.ts';
import type { DirSink } from './file-system.ts';
import type { Inode } from './inode.ts';
import { writeEntry } from './reply.ts';
import type { Session } from './session.ts';

const EMPTY = new DataView(new ArrayBuffer(0));

abstract class RecordSink implements DirSink {
  abstract readonly knowsIno: boolean;
  /** Where the next record goes. */
  at = 0;
  /** An entry was offered and did not fit. */
  isFull = false;
  protected view: DataView = EMPTY;
  protected limit = 0;

  /** Starts packing into view[at … limit − 1]. */
  begin(view: DataView, at: number, limit: number): void {
    this.view = view;
    this.at = at;
    this.limit = limit;
    this.isFull = false;
  }

  abstract add(name: ByteString, ino: number, type: number, cookie: number): boolean;

  /** Goes on after a record of `size` bytes; 0 = it did not fit. */
  protected advance(size: number): boolean {
    this.at += size;
    this.isFull = size === 0;
    return size > 0;
  }
}

export class DirentSink extends RecordSink {
  readonly knowsIno = false;

  add(name: ByteString, ino: number, type: number, cookie: number): boolean {
    return this.advance(writeDirent(this.view, this.at, this.limit, ino, cookie, modeToType(type), name));
  }
}

/** Each entry with its attributes and one lookup, "." and ".." excepted. */
export class DirentplusSink extends RecordSink {
  readonly knowsIno = true;
  readonly #session: Session;
  #directory: Inode | undefined;

  constructor(session: Session) {
    super();
    this.#session = session;
  }

  /** Says whose entries come: they are looked up there. */
  beginIn(directory: Inode, view: DataView, at: number, limit: number): void {
    this.#directory = directory;
    this.begin(view, at, limit);
  }

  add(name: ByteString, ino: number, type: number, cookie: number): boolean {
    const size = writeDirentPlus(this.view, this.at, this.limit, ino, cookie, modeToType(type), name);
    if (size > 0) this.#writeEntry(name);
    return this.advance(size);
  }

  /** An entry that has just gone, or is "." or "..", keeps nodeid 0: the client takes it for a plain dirent. */
  #writeEntry(name: ByteString): void {
    for (let i = 0; i < sizeOf(EntryOut); i += 4) this.view.setUint32(this.at + i, 0);
    if (name === '.' || name === '..') return;
    const child = this.#session.fs.lookup(this.#directory as Inode, name);
    if (typeof child === 'number' || writeEntry(this.#session, this.view, this.at, child) !== OK) return;
    Direntplus.dirent.ino.set(this.view, this.at, EntryOut.attr.ino.get(this.view, this.at));
  }
}
