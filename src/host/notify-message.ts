/**
 * Notifications as bytes: what the server tells a client without being asked. A reply's header whose `error` is the
 * code and whose `unique` is 0, then the arguments. One message at a time, in a buffer that is used again.
 * SPEC: fuse.h 7.45, enum fuse_notify_code and the structs named after it.
 */
import { type ByteString, setBytes } from '../base/bytes.ts';
import { NotifyDeleteOut, NotifyInvalEntryOut, NotifyInvalInodeOut, OutHeader } from '../wire/fuse.ts';
import { NAME_MAX, type NodeId, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { NOTIFIES } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';

const ARGS = OUT_HEADER_SIZE;

export class NotifyMessage {
  /** The message is the first `size` of these. */
  readonly bytes = new Uint8Array(ARGS + sizeOf(NotifyDeleteOut) + NAME_MAX + 1);
  size = 0;
  readonly #view = new DataView(this.bytes.buffer);

  /** Positions: −1 = attributes alone; size 0 = to the end. */
  inode(nodeid: NodeId, pos: number, size: number): void {
    NotifyInvalInodeOut.ino.set(this.#view, ARGS, nodeid);
    NotifyInvalInodeOut.off.set(this.#view, ARGS, pos);
    NotifyInvalInodeOut.len.set(this.#view, ARGS, size);
    this.#finish(NOTIFIES.INVAL_INODE.code, ARGS + sizeOf(NotifyInvalInodeOut));
  }

  entry(parent: NodeId, name: ByteString): void {
    NotifyInvalEntryOut.parent.set(this.#view, ARGS, parent);
    NotifyInvalEntryOut.namelen.set(this.#view, ARGS, name.length);
    NotifyInvalEntryOut.flags.set(this.#view, ARGS, 0);
    this.#finishNamed(NOTIFIES.INVAL_ENTRY.code, ARGS + sizeOf(NotifyInvalEntryOut), name);
  }

  removal(parent: NodeId, child: NodeId, name: ByteString): void {
    NotifyDeleteOut.parent.set(this.#view, ARGS, parent);
    NotifyDeleteOut.child.set(this.#view, ARGS, child);
    NotifyDeleteOut.namelen.set(this.#view, ARGS, name.length);
    NotifyDeleteOut.padding.set(this.#view, ARGS, 0);
    this.#finishNamed(NOTIFIES.DELETE.code, ARGS + sizeOf(NotifyDeleteOut), name);
  }

  /** Nothing that the client knows may be believed any more. */
  everything(): void {
    this.#finish(NOTIFIES.INC_EPOCH.code, ARGS);
  }

  #finishNamed(code: number, nameAt: number, name: ByteString): void {
    const end = setBytes(this.#view, nameAt, name);
    this.#view.setUint8(end, 0);
    this.#finish(code, end + 1);
  }

  #finish(code: number, size: number): void {
    OutHeader.len.set(this.#view, 0, size);
    OutHeader.error.set(this.#view, 0, code);
    OutHeader.unique.setWords(this.#view, 0, 0, 0);
    this.size = size;
  }
}
