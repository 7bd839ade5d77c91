/** SETUPMAPPING and REMOVEMAPPING. */
import { assert } from '../base/assert.ts';
import { EIO, ENOSYS, type Errno, OK } from '../wire/errno.ts';
import { SETUPMAPPING_FLAGS } from '../wire/flags.ts';
import { RemovemappingIn, RemovemappingOne, SetupmappingIn } from '../wire/fuse.ts';
import type { NodeId } from '../wire/ids.ts';
import { OPS } from '../wire/ops.ts';
import { SetupmappingOut } from '../wire/private.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Session } from './session.ts';

/** SPEC: Linux sends at most one page of entries. */
export const REMOVE_BATCH = 256;
const SETUP_IN_SIZE = sizeOf(SetupmappingIn);
const REMOVE_IN_SIZE = sizeOf(RemovemappingIn);
const REMOVE_ONE_SIZE = sizeOf(RemovemappingOne);
const ALL_ONES = 0xffff_ffff;
const { FUSE_SETUPMAPPING_FLAG_READ: READ, FUSE_SETUPMAPPING_FLAG_WRITE: WRITE } = SETUPMAPPING_FLAGS;

export class DaxRequests {
  /** Bytes that the last `setup` mapped, from the start of what it asked for. */
  mapped = 0;
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Whether the host does not know SETUPMAPPING. */
  get isMissing(): boolean {
    return this.#session.lacks(OPS.SETUPMAPPING.code);
  }

  /** Whether the host says how much it mapped, and may map less than it was asked to. */
  get mayMapLess(): boolean {
    return this.#session.has('PRIVATE_MAPPED_LENGTH');
  }

  /** Maps [foffset, foffset + len) of a file at `moffset` of the window. No handle: the nodeid decides. */
  setup(nodeid: NodeId, foffset: number, len: number, moffset: number, writable: boolean): Errno {
    const session = this.#session;
    if (this.isMissing) return ENOSYS;
    const { view } = session.channel;
    const hasLength = this.mayMapLess;
    const replySize = hasLength ? sizeOf(SetupmappingOut) : 0;
    const at = session.begin(OPS.SETUPMAPPING.code, nodeid, SETUP_IN_SIZE, replySize);
    SetupmappingIn.fh.setWords(view, at, ALL_ONES, ALL_ONES);
    SetupmappingIn.foffset.set(view, at, foffset);
    SetupmappingIn.len.set(view, at, len);
    SetupmappingIn.flags.set(view, at, writable ? READ | WRITE : READ);
    SetupmappingIn.moffset.set(view, at, moffset);
    const errno = session.call();
    this.mapped = len;
    if (errno !== OK || !hasLength) return errno;
    // SPEC: what is mapped starts where it was asked for and is not nothing.
    this.mapped = SetupmappingOut.len.get(view, session.channel.reply);
    return this.mapped > 0 && this.mapped <= len ? OK : EIO;
  }

  /** Starts a REMOVEMAPPING; `addRemoval` adds entries, `remove` sends it. */
  beginRemove(nodeid: NodeId): void {
    this.#session.begin(OPS.REMOVEMAPPING.code, nodeid, REMOVE_IN_SIZE, 0);
  }

  /** SPEC: the entries follow the 4-byte count, so their 64-bit fields are only 4-byte aligned. */
  addRemoval(moffset: number, len: number): void {
    const { view, request, args } = this.#session.channel;
    const count = RemovemappingIn.count.get(view, args);
    assert(count < REMOVE_BATCH, 'a REMOVEMAPPING holds at most one batch');
    const at = args + REMOVE_IN_SIZE + count * REMOVE_ONE_SIZE;
    RemovemappingOne.moffset.set(view, at, moffset);
    RemovemappingOne.len.set(view, at, len);
    RemovemappingIn.count.set(view, args, count + 1);
    request.argSize = REMOVE_IN_SIZE + (count + 1) * REMOVE_ONE_SIZE;
  }

  remove(): Errno {
    return this.#session.call();
  }

  /** Sends it without waiting. The entries are in use until `pending` was 0 once. */
  postRemove(): void {
    this.#session.post();
  }

  /** Requests on their way that nobody waits for. */
  get pending(): number {
    return this.#session.channel.pending;
  }

  drain(): void {
    this.#session.drain();
  }
}
