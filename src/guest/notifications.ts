/**
 * What the host tells without being asked: which names and files others have changed.
 *
 * `hear` is called before anything cached is believed, and nowhere else: never between sending a request and taking its
 * reply over. So what a reply brings is at least as new as every message heard before it, and what a message says falls
 * on everything that replies brought before it; an old reply cannot cover a newer message.
 *
 * Hearing only marks what is doubtful. Nothing is dropped, because whoever asks may be in the middle of a path.
 */
import { type ByteString, getBytes } from '../base/bytes.ts';
import { NotifyDeleteOut, NotifyInvalEntryOut, NotifyInvalInodeOut, OutHeader } from '../wire/fuse.ts';
import { type NodeId, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { NOTIFIES } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';

/** Where messages come from. */
export interface NotifySource {
  /** Nothing to take, and the host is there: a look or two at shared memory, for it is asked all the time. */
  readonly isQuiet: boolean;
  /** The host is gone, or confused: nothing will be told any more. */
  readonly isOver: boolean;
  /** The message that was taken last. */
  readonly message: DataView;
  /** Takes the next message and returns its size; −1 if there is none. */
  take(): number;
}

/** Who marks what is doubtful. */
export interface NotifyListener {
  /** Positions: below 0 = attributes alone; size 0 = to the end. */
  inodeChanged(nodeid: NodeId, pos: number, size: number): void;
  nameChanged(parent: NodeId, name: ByteString): void;
  /** The name is gone, and `child` has no other. */
  nameDeleted(parent: NodeId, name: ByteString, child: NodeId): void;
  everythingChanged(): void;
}

const ARGS = OUT_HEADER_SIZE;

export class Notifications {
  #source: NotifySource | undefined;
  #listener: NotifyListener | undefined;

  constructor(source: NotifySource | undefined) {
    this.#source = source;
  }

  /** Whether the host tells us anything. */
  get isTold(): boolean {
    return this.#source !== undefined;
  }

  /** Sets who acts on what is heard. */
  onChange(listener: NotifyListener): void {
    this.#listener = listener;
  }

  /** Takes in what the host has told since the last time. */
  hear(): void {
    const source = this.#source;
    if (source === undefined || source.isQuiet) return;
    this.#hearAll(source);
  }

  #hearAll(source: NotifySource): void {
    for (let size = source.take(); size >= 0; size = source.take()) {
      if (!this.#act(source.message, size)) this.#listener?.everythingChanged();
    }
    // Nobody tells any more: what is cached is doubtful now, and no reply will come that brings anything new.
    if (!source.isOver) return;
    this.#source = undefined;
    this.#listener?.everythingChanged();
  }

  /** False when the message says "everything", or nothing that is understood. */
  #act(message: DataView, size: number): boolean {
    if (size < ARGS || OutHeader.len.get(message, 0) !== size) return false;
    const code = OutHeader.error.get(message, 0);
    if (code === NOTIFIES.INVAL_INODE.code) return this.#actOnInode(message, size);
    if (code === NOTIFIES.INVAL_ENTRY.code) return this.#actOnEntry(message, size);
    return code === NOTIFIES.DELETE.code && this.#actOnDelete(message, size);
  }

  #actOnInode(message: DataView, size: number): boolean {
    if (size < ARGS + sizeOf(NotifyInvalInodeOut)) return false;
    const nodeid = NotifyInvalInodeOut.ino.get(message, ARGS) as NodeId;
    const length = NotifyInvalInodeOut.len.get(message, ARGS);
    this.#listener?.inodeChanged(nodeid, NotifyInvalInodeOut.off.get(message, ARGS), Math.max(0, length));
    return true;
  }

  #actOnEntry(message: DataView, size: number): boolean {
    const nameAt = ARGS + sizeOf(NotifyInvalEntryOut);
    if (size < nameAt || size < nameAt + NotifyInvalEntryOut.namelen.get(message, ARGS)) return false;
    const name = getBytes(message, nameAt, NotifyInvalEntryOut.namelen.get(message, ARGS));
    this.#listener?.nameChanged(NotifyInvalEntryOut.parent.get(message, ARGS) as NodeId, name);
    return true;
  }

  #actOnDelete(message: DataView, size: number): boolean {
    const nameAt = ARGS + sizeOf(NotifyDeleteOut);
    if (size < nameAt || size < nameAt + NotifyDeleteOut.namelen.get(message, ARGS)) return false;
    const parent = NotifyDeleteOut.parent.get(message, ARGS) as NodeId;
    const name = getBytes(message, nameAt, NotifyDeleteOut.namelen.get(message, ARGS));
    this.#listener?.nameDeleted(parent, name, NotifyDeleteOut.child.get(message, ARGS) as NodeId);
    return true;
  }
}
