/** Talks FUSE to a session directly: each call is one message, built in memory and answered in place. No virtio. */
import type { ByteString } from '../../src/base/bytes.ts';
import { arrayOfBytes, bytesOfText, getBytes, textOfBytes } from '../../src/base/bytes.ts';
import { type Call, type Deferred, REPLY_ROOM, REQUEST_ROOM } from '../../src/host/call.ts';
import type { Session } from '../../src/host/session.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import * as fuse from '../../src/wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../src/wire/ids.ts';
import { OPS, type OpName } from '../../src/wire/ops.ts';
import { type AnyStruct, type DeepPartial, decode, encode, sizeOf, type Values } from '../../src/wire/struct.ts';

/** A piece of a request: the bytes of a struct, a NUL-terminated name, or raw bytes. */
export type Piece = Uint8Array | string;

export interface SendOptions {
  readonly nodeid?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** WRITE's payload. */
  readonly data?: Uint8Array;
  /** Bytes of reply the peer makes room for. */
  readonly room?: number;
  /** Sends only this many bytes of the message, and says so in its length. */
  readonly cut?: number;
}

export interface Reply {
  readonly errno: number;
  /** Whether there was a reply at all. */
  readonly isAnswered: boolean;
  /** The reply after its header, built part and payload together. */
  readonly body: DataView;
  readonly unique: bigint;
}

export interface Dirent {
  readonly name: string;
  readonly ino: number;
  readonly type: number;
  readonly off: bigint;
  /** READDIRPLUS only. */
  readonly nodeid: number;
}

/** The bytes of a struct. */
export function bytes<S extends AnyStruct>(struct: S, values: DeepPartial<Values<S>>): Uint8Array {
  const array = new Uint8Array(sizeOf(struct));
  encode(struct, new DataView(array.buffer), 0, values);
  return array;
}

export class Client {
  uid = 0;
  gid = 0;
  readonly session: Session;
  /** Answers that came later: `unique` and errno, in the order they came. */
  readonly answers: { readonly unique: bigint; readonly errno: number }[] = [];
  readonly #memory: Uint8Array;
  readonly #dataInAt: number;
  readonly #dataOutAt: number;
  readonly #dataRoom: number;
  readonly #call: Call;
  #unique = 1n;

  /** `room` is host memory of at least `roomSize` bytes for payloads, both ways; `canWait`: answers may come later. */
  constructor(session: Session, memory: Uint8Array, room: number, roomSize: number, canWait = true) {
    this.session = session;
    this.#memory = memory;
    this.#dataRoom = roomSize / 2;
    this.#dataInAt = room;
    this.#dataOutAt = room + this.#dataRoom;
    this.#call = {
      request: new DataView(new ArrayBuffer(REQUEST_ROOM)),
      requestSize: 0,
      messageSize: 0,
      dataIn: new SegmentList(),
      reply: new DataView(new ArrayBuffer(REPLY_ROOM)),
      dataOut: new SegmentList(),
      replyRoom: 0,
      replySize: 0,
      dataOutSize: 0,
      ...(canWait ? { defer: () => this.#defer() } : {}),
    };
  }

  /** Sends one message and returns the answer. Checks that the answer's header is right. */
  send(name: OpName, pieces: readonly Piece[], options: SendOptions = {}): Reply {
    return this.sendOpcode(OPS[name].code, pieces, options);
  }

  sendOpcode(opcode: number, pieces: readonly Piece[], options: SendOptions = {}): Reply {
    const call = this.#call;
    const unique = this.#unique++ | (1n << 40n);
    let end = IN_HEADER_SIZE;
    for (const piece of pieces) {
      const raw = typeof piece === 'string' ? arrayOfBytes(`${bytesOfText(piece)}\0` as ByteString) : piece;
      new Uint8Array(call.request.buffer).set(raw, end);
      end += raw.length;
    }
    const data = options.data ?? new Uint8Array(0);
    const size = Math.min(options.cut ?? end + data.length, end + data.length);
    encode(fuse.InHeader, call.request, 0, {
      len: size,
      opcode,
      unique,
      nodeid: options.nodeid ?? 1,
      uid: options.uid ?? this.uid,
      gid: options.gid ?? this.gid,
      pid: 42,
    });
    const dataSize = Math.max(0, size - end);
    call.requestSize = Math.min(size, end);
    call.messageSize = size;
    this.#memory.set(data.subarray(0, dataSize), this.#dataInAt);
    fill(call.dataIn, this.#dataInAt, dataSize);
    call.replyRoom = options.room ?? OUT_HEADER_SIZE + this.#dataRoom;
    fill(call.dataOut, this.#dataOutAt, Math.max(0, call.replyRoom - OUT_HEADER_SIZE));
    this.session.handle(call);
    return this.#readReply(unique);
  }

  #defer(): Deferred {
    const { unique } = decode(fuse.InHeader, this.#call.request, 0);
    return { complete: (errno) => this.answers.push({ unique, errno }) };
  }

  #readReply(unique: bigint): Reply {
    const call = this.#call;
    if (call.replySize === 0) {
      return { errno: 0, isAnswered: false, body: new DataView(new ArrayBuffer(0)), unique };
    }
    const total = call.replySize + call.dataOutSize;
    const header = decode(fuse.OutHeader, call.reply, 0);
    if (header.len !== total) throw new Error(`reply says ${header.len} bytes and has ${total}`);
    if (header.unique !== unique) throw new Error(`reply is to ${header.unique}, not to ${unique}`);
    if (total > call.replyRoom) throw new Error('reply is larger than its room');
    if (header.error > 0) throw new Error(`reply has a positive error ${header.error}`);
    if (header.error !== 0 && total !== OUT_HEADER_SIZE) throw new Error('an error reply has a body');
    const body = new Uint8Array(total - OUT_HEADER_SIZE);
    body.set(new Uint8Array(call.reply.buffer, OUT_HEADER_SIZE, call.replySize - OUT_HEADER_SIZE));
    const data = this.#memory.subarray(this.#dataOutAt, this.#dataOutAt + call.dataOutSize);
    body.set(data, call.replySize - OUT_HEADER_SIZE);
    return { errno: header.error === 0 ? 0 : -header.error, isAnswered: true, body: new DataView(body.buffer), unique };
  }

  // ---- one method per operation: an errno > 0, or what the operation returns ------------------------------------

  init(values: DeepPartial<Values<typeof fuse.InitIn>> = {}): Values<typeof fuse.InitOut> {
    const offer = { major: 7, minor: 45, max_readahead: 131072, flags: 0xffffffff, flags2: 0xffffffff, ...values };
    const reply = this.send('INIT', [bytes(fuse.InitIn, offer)], { nodeid: 0 });
    if (reply.errno !== 0) throw new Error(`INIT: errno ${reply.errno}`);
    return decode(fuse.InitOut, reply.body, 0);
  }

  lookup(parent: number, name: string): Entry | number {
    return entryOf(this.send('LOOKUP', [name], { nodeid: parent }));
  }

  forget(nodeid: number, nlookup: number): void {
    this.send('FORGET', [bytes(fuse.ForgetIn, { nlookup })], { nodeid });
  }

  getattr(nodeid: number): AttrValues | number {
    const reply = this.send('GETATTR', [bytes(fuse.GetattrIn, {})], { nodeid });
    return reply.errno || decode(fuse.AttrOut, reply.body, 0).attr;
  }

  setattr(nodeid: number, values: DeepPartial<Values<typeof fuse.SetattrIn>>): AttrValues | number {
    const reply = this.send('SETATTR', [bytes(fuse.SetattrIn, values)], { nodeid });
    return reply.errno || decode(fuse.AttrOut, reply.body, 0).attr;
  }

  mknod(parent: number, name: string, mode: number, rdev = 0, umask = 0): Entry | number {
    return entryOf(this.send('MKNOD', [bytes(fuse.MknodIn, { mode, rdev, umask }), name], { nodeid: parent }));
  }

  mkdir(parent: number, name: string, mode = 0o755, umask = 0): Entry | number {
    return entryOf(this.send('MKDIR', [bytes(fuse.MkdirIn, { mode, umask }), name], { nodeid: parent }));
  }

  symlink(parent: number, name: string, target: string): Entry | number {
    return entryOf(this.send('SYMLINK', [name, target], { nodeid: parent }));
  }

  readlink(nodeid: number): string | number {
    const { errno, body } = this.send('READLINK', [], { nodeid });
    return errno || textOfBytes(getBytes(body, 0, body.byteLength));
  }

  link(nodeid: number, parent: number, name: string): Entry | number {
    return entryOf(this.send('LINK', [bytes(fuse.LinkIn, { oldnodeid: nodeid }), name], { nodeid: parent }));
  }

  unlink(parent: number, name: string): number {
    return this.send('UNLINK', [name], { nodeid: parent }).errno;
  }

  rmdir(parent: number, name: string): number {
    return this.send('RMDIR', [name], { nodeid: parent }).errno;
  }

  rename(parent: number, name: string, newdir: number, newName: string, flags = 0): number {
    const args = bytes(fuse.Rename2In, { newdir, flags });
    return this.send('RENAME2', [args, name, newName], { nodeid: parent }).errno;
  }

  open(nodeid: number, flags: number): number {
    const { errno, body } = this.send('OPEN', [bytes(fuse.OpenIn, { flags })], { nodeid });
    return errno !== 0 ? -errno : decode(fuse.OpenOut, body, 0).fh;
  }

  create(parent: number, name: string, flags = 2, mode = 0o644, umask = 0): OpenedEntry | number {
    const args = bytes(fuse.CreateIn, { flags: flags | 0o100, mode, umask });
    const reply = this.send('CREATE', [args, name], { nodeid: parent });
    const entry = entryOf(reply);
    if (typeof entry === 'number') return entry;
    return { ...entry, fh: decode(fuse.OpenOut, reply.body, sizeOf(fuse.EntryOut)).fh };
  }

  release(nodeid: number, fh: number): number {
    return this.send('RELEASE', [bytes(fuse.ReleaseIn, { fh })], { nodeid }).errno;
  }

  /** Returns the bytes, or an errno. */
  read(nodeid: number, fh: number, offset: number, size: number): Uint8Array | number {
    const { errno, body } = this.send('READ', [bytes(fuse.ReadIn, { fh, offset, size })], { nodeid });
    return errno || new Uint8Array(body.buffer);
  }

  /** Returns the count, or an errno negated. */
  write(nodeid: number, fh: number, offset: number, data: Uint8Array | string, more: WriteOptions = {}): number {
    const raw = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    const args = bytes(fuse.WriteIn, { fh, offset, size: raw.length, ...more });
    const { errno, body } = this.send('WRITE', [args], { nodeid, data: raw });
    return errno !== 0 ? -errno : decode(fuse.WriteOut, body, 0).size;
  }

  opendir(nodeid: number): number {
    const { errno, body } = this.send('OPENDIR', [bytes(fuse.OpenIn, {})], { nodeid });
    return errno !== 0 ? -errno : decode(fuse.OpenOut, body, 0).fh;
  }

  /** One READDIR or READDIRPLUS; an empty list is the end. */
  readdir(nodeid: number, fh: number, offset: bigint | number, size = 4096, plus = false): readonly Dirent[] | number {
    const args = bytes(fuse.ReadIn, { fh, offset: Number(offset), size });
    const { errno, body } = this.send(plus ? 'READDIRPLUS' : 'READDIR', [args], { nodeid });
    return errno || parseDirents(body, plus);
  }

  releasedir(nodeid: number, fh: number): number {
    return this.send('RELEASEDIR', [bytes(fuse.ReleaseIn, { fh })], { nodeid }).errno;
  }

  /** All names of a directory but "." and "..", in the order listed. */
  names(nodeid: number): string[] {
    const fh = this.opendir(nodeid);
    const names: string[] = [];
    for (let offset = 0n; ; ) {
      const entries = this.readdir(nodeid, fh, offset);
      if (typeof entries === 'number') throw new Error(`READDIR: errno ${entries}`);
      if (entries.length === 0) break;
      for (const entry of entries) if (entry.name !== '.' && entry.name !== '..') names.push(entry.name);
      offset = (entries.at(-1) as Dirent).off;
    }
    this.releasedir(nodeid, fh);
    return names;
  }
}

export type AttrValues = Values<typeof fuse.AttrOut>['attr'];
export type WriteOptions = { readonly flags?: number; readonly write_flags?: number };

export interface Entry {
  readonly nodeid: number;
  readonly attr: AttrValues;
  readonly entryValidSec: number;
  readonly entryValidNsec: number;
}

export interface OpenedEntry extends Entry {
  readonly fh: number;
}

/** Fails the test unless the operation returned its result. */
export function ok<T>(result: T | number): T {
  if (typeof result === 'number') throw new Error(`errno ${result}`);
  return result;
}

function entryOf(reply: Reply): Entry | number {
  if (reply.errno !== 0) return reply.errno;
  const out = decode(fuse.EntryOut, reply.body, 0);
  return {
    nodeid: out.nodeid,
    attr: out.attr,
    entryValidSec: out.entry_valid,
    entryValidNsec: out.entry_valid_nsec,
  };
}

function parseDirents(body: DataView, plus: boolean): Dirent[] {
  const out: Dirent[] = [];
  for (let at = 0; at < body.byteLength; ) {
    const nodeid = plus ? decode(fuse.EntryOut, body, at).nodeid : 0;
    if (plus) at += sizeOf(fuse.EntryOut);
    const { ino, off, namelen, type } = decode(fuse.Dirent, body, at);
    at += sizeOf(fuse.Dirent);
    out.push({ name: textOfBytes(getBytes(body, at, namelen)), ino, type, off, nodeid });
    at += (namelen + 7) & ~7;
  }
  return out;
}

function fill(list: SegmentList, at: number, size: number): void {
  list.clear();
  // Two segments, so that scattered payloads are the normal case.
  const half = size >> 1;
  list.push(at, half);
  list.push(at + half, size - half);
}
