/** An open file description that several threads of a process have: its words in the process's tables. */
import { type ByteString, getBytes, setBytes } from '../base/bytes.ts';
import type { Fh, NodeId } from '../wire/ids.ts';
import { S_IFDIR, S_IFMT } from '../wire/mode.ts';
import { OPS } from '../wire/ops.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';
import type { ProcessTable } from './process-table.ts';
import * as w from './process-words.ts';

const WORD = 0x1_0000_0000;

export class SharedDescription {
  readonly index: number;
  readonly generation: number;
  readonly #table: ProcessTable;
  readonly #at: number;

  /** Of what is there now, and is counted by the caller. */
  constructor(table: ProcessTable, index: number) {
    this.#table = table;
    this.index = index;
    this.#at = w.descriptionAt(index);
    this.generation = this.#get(w.GENERATION);
  }

  /** The description is the one it was made for, and somebody needs it. */
  get isThere(): boolean {
    return Atomics.load(this.#table.words, this.#at + w.COUNT) > 0 && this.generation === this.#get(w.GENERATION);
  }

  /** Takes the position. False: the process is over. */
  lock(): boolean {
    return this.#table.lockPosition(this.index);
  }

  unlock(): void {
    this.#table.unlockPosition(this.index);
  }

  /** Counts it once more; false if it is gone. */
  hold(): boolean {
    return this.#table.hold(this.index);
  }

  /** Gives a count back. */
  drop(mount: Mount): void {
    if (this.#table.drop(this.index)) releaseShared(mount, this.#table, this.index);
  }

  get pos(): number {
    return this.#getWide(w.POSITION);
  }
  set pos(pos: number) {
    this.#setWide(w.POSITION, pos);
  }
  get isAtEnd(): boolean {
    return this.#get(w.AT_END) !== 0;
  }
  set isAtEnd(isAtEnd: boolean) {
    this.#set(w.AT_END, isAtEnd ? 1 : 0);
  }
  get flags(): number {
    return Atomics.load(this.#table.words, this.#at + w.FLAGS);
  }
  get openFlags(): number {
    return this.#get(w.OPEN_FLAGS);
  }
  get fh(): Fh {
    return this.#getWide(w.FH) as Fh;
  }
  get nodeid(): NodeId {
    return this.#getWide(w.NODEID) as NodeId;
  }
  get inodeGeneration(): number {
    return this.#getWide(w.INODE_GENERATION);
  }
  /** S_IFMT bits. */
  get type(): number {
    return this.#get(w.KIND) & S_IFMT;
  }
  get hasHandle(): boolean {
    return (this.#get(w.KIND) & w.KIND_HANDLE) !== 0;
  }
  get isDax(): boolean {
    return (this.#get(w.KIND) & w.KIND_DAX) !== 0;
  }
  get lockOwner(): number {
    return this.#getWide(w.FLOCK_OWNER);
  }
  get hasFlock(): boolean {
    return Atomics.load(this.#table.words, this.#at + w.HAS_FLOCK) !== 0;
  }

  /** It may have a flock lock from here on. */
  useFlock(): void {
    // ORDER: before the lock is asked for: who releases the handle gives it up.
    Atomics.store(this.#table.words, this.#at + w.HAS_FLOCK, 1);
  }

  /** fcntl(F_SETFL) */
  setFlags(flags: number): void {
    // ORDER: a call that begins after this one ended, in whatever thread, goes by the new flags.
    Atomics.store(this.#table.words, this.#at + w.FLAGS, flags);
  }

  get rewinds(): number {
    return this.#get(w.REWINDS);
  }
  set rewinds(count: number) {
    this.#set(w.REWINDS, count | 0);
  }
  get cookie(): readonly [low: number, high: number] {
    return [this.#get(w.POSITION) >>> 0, this.#get(w.POSITION + 1) >>> 0];
  }
  isAtCookie(low: number, high: number): boolean {
    return this.#get(w.POSITION) === (low | 0) && this.#get(w.POSITION + 1) === (high | 0);
  }
  setCookie(low: number, high: number): void {
    this.#set(w.POSITION, low | 0);
    this.#set(w.POSITION + 1, high | 0);
  }

  /** Where a directory was when it was opened; empty: nobody knows. */
  get path(): ByteString {
    const at = this.#pathAt();
    return getBytes(this.#table.view, at, this.#get(w.PATH_SIZE));
  }
  set path(path: ByteString) {
    const size = path.length <= w.PATH_ROOM ? path.length : 0;
    if (size > 0) setBytes(this.#table.view, this.#pathAt(), path);
    this.#set(w.PATH_SIZE, size);
  }

  /** Writes what never changes; before it is published. */
  describe(fh: Fh, inode: Inode, hasHandle: boolean, flags: number, openFlags: number, lockOwner: number): void {
    const handle = hasHandle ? w.KIND_HANDLE : 0;
    this.#set(w.KIND, inode.type | handle | (inode.isDax ? w.KIND_DAX : 0));
    this.#set(w.FLAGS, flags);
    this.#set(w.OPEN_FLAGS, openFlags);
    this.#setWide(w.FH, fh);
    this.#setWide(w.NODEID, inode.nodeid);
    this.#setWide(w.INODE_GENERATION, inode.generation);
    this.#setWide(w.FLOCK_OWNER, lockOwner);
  }

  #pathAt(): number {
    return w.PATHS * 4 + this.index * w.PATH_ROOM;
  }

  #get(word: number): number {
    return this.#table.words[this.#at + word] as number;
  }

  #set(word: number, value: number): void {
    this.#table.words[this.#at + word] = value;
  }

  #getWide(word: number): number {
    return (this.#get(word) >>> 0) + (this.#get(word + 1) >>> 0) * WORD;
  }

  #setWide(word: number, value: number): void {
    this.#set(word, value | 0);
    this.#set(word + 1, Math.floor(value / WORD) | 0);
  }
}

/** The last count was given back: releases the handle at the host, and frees the place. */
export function releaseShared(mount: Mount, table: ProcessTable, index: number): void {
  const { type, nodeid, fh, flags, hasFlock, lockOwner, hasHandle } = new SharedDescription(table, index);
  const opcode = type === S_IFDIR ? OPS.RELEASEDIR.code : OPS.RELEASE.code;
  if (hasHandle) {
    mount.files.release(opcode, nodeid, fh, flags, hasFlock ? lockOwner : 0);
    // Until the host has it, it is lost if this thread dies: then who cleans up must find the place still taken.
    mount.session.drain();
  }
  table.free(index);
}
