/**
 * The FUSE session of one mount: INIT, what it settled, DESTROY, and the one place through which every request goes.
 *
 *   created → ready:     INIT was agreed on
 *   created → refused:   INIT failed; `why` says how
 *   ready   → destroyed: DESTROY was sent, or the device is gone
 *
 * SPEC: fuse.h 7.45; the treatment of the INIT reply is that of Linux, process_init_reply.
 */
import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import { ECONNREFUSED, ENOSYS, ENOTCONN, type Errno, errnoName, OK } from '../wire/errno.ts';
import { InitIn, InitOut } from '../wire/fuse.ts';
import { FUSE_KERNEL_MINOR_VERSION, FUSE_KERNEL_VERSION, type NodeId } from '../wire/ids.ts';
import { OPS } from '../wire/ops.ts';
import { INIT_BITS, type InitFlag, OP_ROOM, opIndex } from '../wire/private.ts';
import { sizeOf } from '../wire/struct.ts';
import type { U16, U32 } from '../wire/types.ts';
import type { Channel } from './channel.ts';
import { ARGS_ROOM } from './channel.ts';
import type { Counters } from './counters.ts';
import type { Credentials } from './credentials.ts';
import type { Allocation } from './options.ts';

/** What this guest can do; nothing is used that the host did not take. */
const INIT_OFFERED: readonly InitFlag[] = [
  'FUSE_ASYNC_READ',
  'FUSE_POSIX_LOCKS',
  'FUSE_ATOMIC_O_TRUNC',
  'FUSE_BIG_WRITES',
  'FUSE_FLOCK_LOCKS',
  'FUSE_DONT_MASK',
  'FUSE_DO_READDIRPLUS',
  'FUSE_READDIRPLUS_AUTO',
  'FUSE_NO_OPEN_SUPPORT',
  'FUSE_PARALLEL_DIROPS',
  'FUSE_MAX_PAGES',
  'FUSE_CACHE_SYMLINKS',
  'FUSE_NO_OPENDIR_SUPPORT',
  'FUSE_HANDLE_KILLPRIV_V2',
  'FUSE_INIT_EXT',
];
const MAX_READAHEAD = 128 * 1024;
const MIN_MAX_WRITE = 4096;
const PAGE_SIZE = 4096;
const PAGES_WITHOUT_MAX_PAGES = 32;
const MAX_PAGES = 65535;
/** Our ranges are 2 MiB: a host that aligns to more cannot serve them. */
const MAX_MAP_ALIGNMENT = 21;
const NSEC_PER_SEC = 1_000_000_000;

export type SessionState = 'created' | 'ready' | 'refused' | 'destroyed';

export interface SessionOptions {
  /** Offers MAP_ALIGNMENT. */
  readonly hasWindow: boolean;
  /** Offers HAS_INODE_DAX. */
  readonly daxPerInode: boolean;
  /** Offers WRITEBACK_CACHE. */
  readonly writeback?: boolean;
  /** Offers AUTO_INVAL_DATA. */
  readonly hasPages?: boolean;
  /** Who chooses where a mapping goes; all but `client` need a host of ours. */
  readonly allocation: Allocation;
}

export class Session {
  readonly channel: Channel;
  readonly counters: Counters;
  /** Who asks; replaced when another process runs. */
  credentials: Credentials;
  /** Largest payload of one WRITE and of one READ. */
  maxWrite = MIN_MAX_WRITE;
  maxRead = PAGES_WITHOUT_MAX_PAGES * PAGE_SIZE;
  minor = 0;
  /** Granularity of times in nanoseconds. */
  timeGran = 1;
  /** Why INIT was refused. */
  why = '';
  readonly #options: SessionOptions;
  /** Operations that were answered with ENOSYS once: never sent again. */
  readonly #lacking = new Uint8Array(OP_ROOM);
  #state: SessionState = 'created';
  #hasPosted = false;
  #flags = 0;
  #flags2 = 0;

  constructor(channel: Channel, credentials: Credentials, counters: Counters, options: SessionOptions) {
    this.channel = channel;
    this.credentials = credentials;
    this.counters = counters;
    this.#options = options;
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Whether the host took a flag. */
  has(flag: InitFlag): boolean {
    const bit = INIT_BITS[flag];
    return bit < 32 ? (this.#flags & (1 << bit)) !== 0 : (this.#flags2 & (1 << (bit - 32))) !== 0;
  }

  /** Whether the host does not know an operation. */
  lacks(opcode: number): boolean {
    return this.#lacking[opIndex(opcode)] === 1;
  }

  /** Starts a request: header fields set, `fixedSize` zeroed bytes of arguments; returns their address. */
  begin(opcode: number, nodeid: NodeId, fixedSize: number, replySize: number): number {
    const { request } = this.channel;
    const { credentials } = this;
    request.opcode = opcode;
    request.nodeid = nodeid;
    request.uid = credentials.uid;
    request.gid = credentials.gid;
    request.pid = credentials.pid;
    request.argSize = fixedSize;
    request.replySize = replySize;
    request.dataInSize = 0;
    request.dataOutSize = 0;
    request.timeoutMs = Number.POSITIVE_INFINITY;
    const at = this.channel.args;
    this.channel.bytes.fill(0, at, at + fixedSize);
    return at;
  }

  /** Appends a NUL-terminated string to the arguments. */
  putName(name: ByteString): void {
    const { request, bytes } = this.channel;
    assert(request.argSize + name.length + 1 <= ARGS_ROOM, 'the names fit the arguments');
    let at = this.channel.args + request.argSize;
    for (let i = 0; i < name.length; i++) bytes[at++] = name.charCodeAt(i);
    bytes[at] = 0;
    request.argSize += name.length + 1;
  }

  /** Sends the request and waits for its answer. */
  call(): Errno {
    if (this.#state !== 'ready') return ENOTCONN;
    return this.#send();
  }

  /** Sends the request and does not wait. */
  post(): void {
    if (this.#state !== 'ready') return;
    this.#count();
    this.#hasPosted = true;
    this.channel.post();
  }

  /** Waits until the host has taken what was posted. */
  drain(): void {
    if (this.#hasPosted) this.channel.drain();
    this.#hasPosted = false;
  }

  /** Agrees on the protocol. OK, or ECONNREFUSED with `why` set. */
  init(): Errno {
    assert(this.#state === 'created', 'INIT is sent once');
    this.#writeInit();
    const errno = this.#send();
    this.why = errno === OK ? this.#takeReply() : `INIT was answered with ${errnoName(errno)}`;
    this.#enter(this.why === '' ? 'ready' : 'refused');
    return this.why === '' ? OK : ECONNREFUSED;
  }

  /** Ends the session: the host drops everything it keeps for us. */
  destroy(): void {
    if (this.#state !== 'ready') return;
    this.begin(OPS.DESTROY.code, 0 as NodeId, 0, 0);
    this.#send();
    this.#enter('destroyed');
  }

  #send(): Errno {
    this.#count();
    const errno = this.channel.call();
    if (errno === ENOSYS) this.#lacking[opIndex(this.channel.request.opcode)] = 1;
    return errno;
  }

  #count(): void {
    const index = opIndex(this.channel.request.opcode);
    this.counters.requests[index] = (this.counters.requests[index] ?? 0) + 1;
  }

  #writeInit(): void {
    const { view } = this.channel;
    const at = this.begin(OPS.INIT.code, 0 as NodeId, sizeOf(InitIn), sizeOf(InitOut));
    InitIn.major.set(view, at, FUSE_KERNEL_VERSION);
    InitIn.minor.set(view, at, FUSE_KERNEL_MINOR_VERSION);
    InitIn.max_readahead.set(view, at, MAX_READAHEAD);
    for (const flag of this.#offered()) {
      const bit = INIT_BITS[flag];
      const field = bit < 32 ? InitIn.flags : InitIn.flags2;
      field.set(view, at, field.get(view, at) | (1 << (bit & 31)));
    }
  }

  #offered(): readonly InitFlag[] {
    const offered = [...INIT_OFFERED];
    if (this.#options.hasWindow) offered.push('FUSE_MAP_ALIGNMENT');
    if (this.#options.daxPerInode) offered.push('FUSE_HAS_INODE_DAX');
    if (this.#options.hasPages === true) offered.push('FUSE_AUTO_INVAL_DATA');
    if (this.#options.writeback === true) offered.push('FUSE_WRITEBACK_CACHE');
    if (this.#options.hasWindow) {
      offered.push(this.#options.allocation === 'client' ? 'PRIVATE_MAPPED_LENGTH' : 'PRIVATE_MAP');
    }
    return offered;
  }

  /** Returns why the reply cannot be accepted, or '' when it was. */
  #takeReply(): string {
    const major = this.#initField(InitOut.major);
    if (major !== FUSE_KERNEL_VERSION) return `the host speaks FUSE ${major}, this guest ${FUSE_KERNEL_VERSION}`;
    this.minor = this.#initField(InitOut.minor);
    this.#takeFlags();
    // SPEC: before 7.5 the reply had no max_write.
    this.maxWrite = this.minor < 5 ? MIN_MAX_WRITE : Math.max(MIN_MAX_WRITE, this.#initField(InitOut.max_write));
    this.#takePages();
    const gran = this.#initField(InitOut.time_gran);
    if (gran >= 1 && gran <= NSEC_PER_SEC) this.timeGran = gran;
    const alignment = this.has('FUSE_MAP_ALIGNMENT') ? this.#initField(InitOut.map_alignment) : 0;
    if (alignment <= MAX_MAP_ALIGNMENT) return '';
    return `the host wants mappings aligned to 2^${alignment} bytes, but ranges are 2^${MAX_MAP_ALIGNMENT}`;
  }

  #takeFlags(): void {
    const flags = this.minor >= 6 ? this.#initField(InitOut.flags) : 0;
    // SPEC: flags2 counts only with INIT_EXT in the reply.
    const hasFlags2 = (flags & (1 << INIT_BITS.FUSE_INIT_EXT)) !== 0;
    const flags2 = hasFlags2 ? this.#initField(InitOut.flags2) : 0;
    for (const flag of this.#offered()) {
      const bit = INIT_BITS[flag];
      if (bit < 32) this.#flags |= flags & (1 << bit);
      else this.#flags2 |= flags2 & (1 << (bit - 32));
    }
  }

  #takePages(): void {
    const pages = this.has('FUSE_MAX_PAGES')
      ? Math.min(MAX_PAGES, Math.max(1, this.#initField(InitOut.max_pages)))
      : PAGES_WITHOUT_MAX_PAGES;
    this.maxRead = pages * PAGE_SIZE;
    this.maxWrite = Math.min(this.maxWrite, this.maxRead);
  }

  /** Reads a field of the INIT reply; what an older host left out is 0. */
  #initField(field: U16 | U32): number {
    const { view, reply, received } = this.channel;
    return field.offset + field.size <= received ? field.get(view, reply) : 0;
  }

  #enter(next: SessionState): void {
    const isEdge = next === 'destroyed' ? this.#state === 'ready' : this.#state === 'created';
    assert(isEdge, `a session does not go from ${this.#state} to ${next}`);
    this.#state = next;
  }
}
