/**
 * One guest of a foreign server. It looks like a session of our own server to the device; what it answers comes from
 * the relay. It keeps the ledger of what the guest holds, and passes nothing on that could hurt other guests: a nodeid
 * the guest has not looked up, a FORGET of more than it has, a RELEASE of what it did not open.
 *
 *   created   → ready:     INIT was agreed on
 *   ready     → ready:     another INIT: the guest started afresh, what it held is given back
 *   ready     → destroyed: DESTROY: what it held is given back; the server hears DESTROY when the host ends
 *   destroyed → ready:     INIT
 *   any       → closed:    the guest is gone, what it held is given back
 */
import { assert } from '../../base/assert.ts';
import type { Call, CallHandler } from '../../host/call.ts';
import { writeSegments } from '../../virtio/chain.ts';
import { DirentReader } from '../../wire/dirent.ts';
import { EBADF, EINVAL, EIO, ENOSYS, type Errno, ESTALE, errnoName, OK } from '../../wire/errno.ts';
import * as fuse from '../../wire/fuse.ts';
import { FUSE_ROOT_ID, IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../wire/ids.ts';
import { checkRequest, DEFAULT_SIZES, OP_BY_CODE, OP_NAME_BY_CODE } from '../../wire/message.ts';
import { OPS, type Op } from '../../wire/ops.ts';
import { sizeOf } from '../../wire/struct.ts';
import type { U64 } from '../../wire/types.ts';
import { WireRangeError } from '../../wire/types.ts';
import { Ledger, type Lookups, type Words64 } from './ledger.ts';
import { agreeOn, type Relay } from './relay.ts';

export type RelaySessionState = 'created' | 'ready' | 'destroyed' | 'closed';

const ARGS = IN_HEADER_SIZE;
const OPEN_OUT_SIZE = sizeOf(fuse.OpenOut);
/** 2^53 − 1, its high word: what a guest can name. */
const MAX_HIGH = 0x1f_ffff;
const NO_WORDS: Words64 = { low: 0, high: 0 };

/** Answered with an entry, each of which counts a lookup. */
const ENTRIES = codes('LOOKUP', 'SYMLINK', 'MKNOD', 'MKDIR', 'LINK', 'CREATE', 'TMPFILE');
/** Answered with a handle, alone or after an entry. */
const OPENS = codes('OPEN', 'OPENDIR', 'CREATE', 'TMPFILE');
const CREATES = codes('CREATE', 'TMPFILE');
/** Not passed on: a wait would stop every guest; a window would need the server's pages in our memory. */
const LACKING = codes('SETLKW', 'SETUPMAPPING', 'REMOVEMAPPING');
/** What they name has been answered by then, or was never asked. */
const POINTLESS = codes('INTERRUPT', 'NOTIFY_REPLY');
/** Requests that are about no inode. */
const WITHOUT_INODE = codes('INIT', 'DESTROY', 'STATFS', 'BATCH_FORGET', 'FORGET');
/** Where a request names a second inode. */
const SECOND_INODE: Readonly<Record<number, U64>> = {
  [OPS.RENAME.code]: fuse.RenameIn.newdir,
  [OPS.RENAME2.code]: fuse.Rename2In.newdir,
  [OPS.LINK.code]: fuse.LinkIn.oldnodeid,
  [OPS.COPY_FILE_RANGE.code]: fuse.CopyFileRangeIn.nodeid_out,
  [OPS.COPY_FILE_RANGE_64.code]: fuse.CopyFileRangeIn.nodeid_out,
};
/** Where a request says how much it wants. */
const WANTED_SIZE: Readonly<Record<number, { get(view: DataView, at: number): number }>> = {
  [OPS.READ.code]: fuse.ReadIn.size,
  [OPS.READDIR.code]: fuse.ReadIn.size,
  [OPS.READDIRPLUS.code]: fuse.ReadIn.size,
  [OPS.GETXATTR.code]: fuse.GetxattrIn.size,
  [OPS.LISTXATTR.code]: fuse.GetxattrIn.size,
  [OPS.IOCTL.code]: fuse.IoctlIn.out_size,
};

export class RelaySession implements CallHandler {
  readonly #relay: Relay;
  readonly #name: string;
  readonly #onClose: () => void;
  readonly #ledger = new Ledger();
  readonly #dirents = new DirentReader('plus');
  #state: RelaySessionState = 'created';

  /** Use relay.openSession. */
  constructor(relay: Relay, name: string, onClose: () => void) {
    this.#relay = relay;
    this.#name = name;
    this.#onClose = onClose;
  }

  get state(): RelaySessionState {
    return this.#state;
  }

  /** Inodes and handles that the guest holds. */
  get held(): number {
    return this.#ledger.size;
  }

  /** Answers one request: fills the call's reply. Never throws. */
  handle(call: Call): void {
    call.replySize = 0;
    call.dataOutSize = 0;
    if (call.requestSize < IN_HEADER_SIZE) {
      this.#refuse(EINVAL, `${call.requestSize} bytes are no request`);
      return;
    }
    const opcode = fuse.InHeader.opcode.get(call.request, 0);
    const op = OP_BY_CODE[opcode];
    const errno = op === undefined ? ENOSYS : this.#attempt(call, op);
    if (op?.reply !== 'none') finish(call, errno);
  }

  /** The guest is gone. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#relay.giveBack(this.#ledger);
    this.#enter('closed');
    this.#onClose();
  }

  #attempt(call: Call, op: Op): Errno {
    try {
      return this.#run(call, op);
    } catch (error) {
      const name = OP_NAME_BY_CODE[op.code];
      if (error instanceof WireRangeError) return this.#refuse(EINVAL, `${name}: ${error.message}`);
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#relay.log('error', `${this.#name}: ${name}: ${text}`);
      return EIO;
    }
  }

  #run(call: Call, op: Op): Errno {
    if (this.#state !== 'ready' && op.code !== OPS.INIT.code) return EIO;
    if (this.#state === 'closed') return EIO;
    const problem = checkRequest(op, call, op.code === OPS.INIT.code ? DEFAULT_SIZES : this.#relay.sizes);
    if (problem !== undefined) return this.#refuse(EINVAL, `${OP_NAME_BY_CODE[op.code]}: ${problem}`);
    if (op.code === OPS.INIT.code) return this.#init(call);
    if (op.code === OPS.DESTROY.code) return this.#destroy();
    if (op.code === OPS.FORGET.code) return this.#forget(call);
    if (op.code === OPS.BATCH_FORGET.code) return this.#forgetMany(call);
    if (POINTLESS.has(op.code)) return OK;
    if (LACKING.has(op.code)) return ENOSYS;
    const errno = this.#checkNames(call, op);
    return errno === OK ? this.#forward(call, op) : errno;
  }

  #init(call: Call): Errno {
    this.#relay.giveBack(this.#ledger);
    const errno = this.#relay.init(call);
    if (errno !== OK) return errno;
    const { initOut } = this.#relay;
    assert(initOut !== undefined, 'INIT was agreed on');
    const own = new Uint8Array(initOut.buffer.slice(0));
    agreeOn(new DataView(own.buffer), call.request);
    if (!this.#place(call, own, 0)) return EIO;
    this.#enter('ready');
    return OK;
  }

  #destroy(): Errno {
    this.#relay.giveBack(this.#ledger);
    this.#enter('destroyed');
    return OK;
  }

  #forget(call: Call): Errno {
    const nodeid = fuse.InHeader.nodeid.get(call.request, 0);
    this.#relay.forgetAll(this.#taken(nodeid, fuse.ForgetIn.nlookup.get(call.request, ARGS)));
    return OK;
  }

  #forgetMany(call: Call): Errno {
    const { request } = call;
    const count = fuse.BatchForgetIn.count.get(request, ARGS);
    const lookups: Lookups[] = [];
    let at = ARGS + sizeOf(fuse.BatchForgetIn);
    for (let i = 0; i < count; i++, at += sizeOf(fuse.ForgetOne)) {
      lookups.push(...this.#taken(fuse.ForgetOne.nodeid.get(request, at), fuse.ForgetOne.nlookup.get(request, at)));
    }
    this.#relay.forgetAll(lookups);
    return OK;
  }

  /** Servers trust a kernel not to forget what it never looked up. */
  #taken(nodeid: number, wanted: number): Lookups[] {
    const count = this.#ledger.takeLookups(nodeid, wanted);
    return count > 0 ? [[nodeid, count]] : [];
  }

  #checkNames(call: Call, op: Op): Errno {
    const { request } = call;
    if (!WITHOUT_INODE.has(op.code) && !this.#knows(fuse.InHeader.nodeid.get(request, 0))) return ESTALE;
    const second = SECOND_INODE[op.code];
    if (second !== undefined && !this.#knows(second.get(request, ARGS))) return ESTALE;
    const wanted = WANTED_SIZE[op.code]?.get(request, ARGS) ?? 0;
    if (wanted > call.replyRoom - OUT_HEADER_SIZE) return this.#refuse(EINVAL, `no room for ${wanted} bytes`);
    if (op.code !== OPS.RELEASE.code && op.code !== OPS.RELEASEDIR.code) return OK;
    const nodeid = wordsAt(request, fuse.InHeader.nodeid.offset);
    const fh = wordsAt(request, ARGS + fuse.ReleaseIn.fh.offset);
    return this.#ledger.takeHandle(op.code === OPS.RELEASEDIR.code, nodeid, fh) ? OK : EBADF;
  }

  #knows(nodeid: number): boolean {
    return nodeid === FUSE_ROOT_ID || this.#ledger.knows(nodeid);
  }

  #forward(call: Call, op: Op): Errno {
    const size = this.#relay.forward(call, op.reply !== 'none');
    if (size < 0) return -size as Errno;
    // The ledger first: whatever becomes of the reply, the server has counted.
    const errno = this.#note(call, op, size);
    if (errno !== OK) return errno;
    return this.#place(call, this.#relay.reply.subarray(0, OUT_HEADER_SIZE + size), OUT_HEADER_SIZE) ? OK : EIO;
  }

  /** Puts the arguments of a reply where the guest wants them. */
  #place(call: Call, reply: Uint8Array, from: number): boolean {
    const size = reply.length - from;
    if (call.replyRoom < OUT_HEADER_SIZE + size) {
      this.#refuse(EIO, `no room for a reply of ${size} bytes`);
      return false;
    }
    call.dataOutSize = writeSegments(this.#relay.memory, call.dataOut, 0, reply, from, size);
    return call.dataOutSize === size;
  }

  #note(call: Call, op: Op, size: number): Errno {
    if (op.code === OPS.READDIRPLUS.code) return this.#noteDirents(size);
    const isEntry = ENTRIES.has(op.code);
    const isOpen = OPENS.has(op.code);
    if (!isEntry && !isOpen) return OK;
    const entrySize = isEntry ? this.#relay.sizes.of(fuse.EntryOut) : 0;
    if (size < entrySize + (isOpen ? OPEN_OUT_SIZE : 0)) return this.#refuse(EIO, `a reply of ${size} bytes`);
    const reply = viewOf(this.#relay.reply);
    const entry = isEntry ? wordsAt(reply, OUT_HEADER_SIZE + fuse.EntryOut.nodeid.offset) : NO_WORDS;
    const fh = isOpen ? wordsAt(reply, OUT_HEADER_SIZE + entrySize + fuse.OpenOut.fh.offset) : NO_WORDS;
    const nodeid = isEntry ? entry : wordsAt(call.request, fuse.InHeader.nodeid.offset);
    const handle = { isDirectory: op.code === OPS.OPENDIR.code, nodeid, fh, flags: openFlagsOf(call, op) };
    if (entry.high > MAX_HIGH || fh.high > MAX_HIGH) {
      if (isOpen) this.#relay.release(handle);
      if (isEntry) this.#relay.forget(entry, 1);
      return this.#refuse(EIO, 'a nodeid or file handle above 2^53, which no guest can name');
    }
    if (isEntry) this.#addEntry(numberOf(entry));
    if (isOpen) this.#ledger.addHandle(handle);
    return OK;
  }

  #addEntry(nodeid: number): void {
    // 0: there is no such name. The root is never forgotten.
    if (nodeid !== 0 && nodeid !== FUSE_ROOT_ID) this.#ledger.addLookup(nodeid);
  }

  /** SPEC: fs/fuse/readdir.c, fuse_direntplus_link: neither nodeid 0 nor "." and ".." count a lookup. */
  #noteDirents(size: number): Errno {
    const reply = viewOf(this.#relay.reply);
    const reader = this.#dirents;
    reader.reset(reply, OUT_HEADER_SIZE, size);
    while (!reader.isDone && reader.next() === OK) {
      if (reader.name === '.' || reader.name === '..') continue;
      const nodeid = wordsAt(reply, reader.entryAt + fuse.EntryOut.nodeid.offset);
      if (nodeid.high <= MAX_HIGH) this.#addEntry(numberOf(nodeid));
      else {
        // No guest can name it: it becomes an entry that says no more than its name.
        this.#relay.forget(nodeid, 1);
        fuse.EntryOut.nodeid.set(reply, reader.entryAt, 0);
      }
    }
    return OK;
  }

  #refuse(errno: Errno, why: string): Errno {
    this.#relay.log('warn', `${this.#name}: ${errnoName(errno)}: ${why}`);
    return errno;
  }

  #enter(next: RelaySessionState): void {
    assert(this.#state !== 'closed', 'a closed session changes its state');
    this.#state = next;
  }
}

/** open(2) flags, which RELEASE repeats. */
function openFlagsOf(call: Call, op: Op): number {
  if (!OPENS.has(op.code)) return 0;
  const field = CREATES.has(op.code) ? fuse.CreateIn.flags : fuse.OpenIn.flags;
  return field.get(call.request, ARGS);
}

/** Writes the reply's header; its arguments, if any, are in `dataOut`. */
function finish(call: Call, errno: Errno): void {
  if (errno !== OK) call.dataOutSize = 0;
  if (call.replyRoom < OUT_HEADER_SIZE) return;
  const { request, reply } = call;
  call.replySize = OUT_HEADER_SIZE;
  fuse.OutHeader.len.set(reply, 0, OUT_HEADER_SIZE + call.dataOutSize);
  fuse.OutHeader.error.set(reply, 0, -errno);
  fuse.OutHeader.unique.setWords(reply, 0, fuse.InHeader.unique.low(request, 0), fuse.InHeader.unique.high(request, 0));
}

function codes(...names: readonly (keyof typeof OPS)[]): ReadonlySet<number> {
  return new Set(names.map((name) => OPS[name].code));
}

function wordsAt(view: DataView, at: number): Words64 {
  return { low: view.getUint32(at, true), high: view.getUint32(at + 4, true) };
}

function numberOf(words: Words64): number {
  return words.high * 0x1_0000_0000 + words.low;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
