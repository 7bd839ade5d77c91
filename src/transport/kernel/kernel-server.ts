/**
 * Serves one mount of the real Linux kernel: reads a request, lets the session answer it, writes the reply, and so on.
 *
 * Both buffers lie in the host's memory. A request cannot change once it is read, so its arguments are looked at in
 * place; WRITE's payload is copied from there into the frames, READ's payload from the frames to just behind the
 * reply's header: each byte moves once, and the reply is one contiguous write. Payloads start on page boundaries.
 *
 *   at │ … request header and arguments │ payload … │ … reply header │ payload …
 *
 *   waiting → serving: the first request was read: somebody has mounted the device
 *   any     → ended:   the kernel has let go of the connection, or we are told to stop before it was mounted
 * SPEC: Linux, Documentation/filesystems/fuse/fuse.rst; fs/fuse/dev.c, fuse_dev_do_read and fuse_dev_do_write.
 */
import { assert } from '../../base/assert.ts';
import { type Call, type Deferred, REPLY_ROOM } from '../../host/call.ts';
import type { Log } from '../../host/log.ts';
import type { Session } from '../../host/session.ts';
import { SegmentList } from '../../virtio/chain.ts';
import {
  EAGAIN,
  ECONNABORTED,
  EINTR,
  EIO,
  ENODEV,
  ENOENT,
  EPERM,
  EPROTO,
  type Errno,
  errnoName,
} from '../../wire/errno.ts';
import { InHeader, InitIn, OutHeader, WriteIn } from '../../wire/fuse.ts';
import { FUSE_KERNEL_VERSION, IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../wire/ids.ts';
import { OPS } from '../../wire/ops.ts';
import { sizeOf } from '../../wire/struct.ts';
import type { FuseDevice } from './device.ts';

export interface KernelServerOptions {
  readonly device: FuseDevice;
  readonly session: Session;
  /** The host's memory, and where in it `kernelRoom(maxWrite)` bytes are ours; a multiple of the page size. */
  readonly buffer: ArrayBufferLike;
  readonly at: number;
  readonly log: Log;
  /** Called between two looks at a device that nobody has mounted yet. */
  readonly pause: () => void;
  /** Ends the wait for a mount that does not come. */
  readonly isStopping: () => boolean;
  /** Called once, when INIT was agreed on. */
  readonly onReady: () => void;
}

export type KernelServerState = 'waiting' | 'serving' | 'ended';

const PAGE_SIZE = 4096;
const WRITE_HEAD = IN_HEADER_SIZE + sizeOf(WriteIn);
/** A kernel older than Linux 5.4, which nobody tries any more, is told so. */
const KERNEL_MINOR_MIN = 31;

/** Bytes of host memory that a server needs for requests and replies of at most `maxWrite` payload bytes. */
export function kernelRoom(maxWrite: number): number {
  return requestRoom(maxWrite) + replyRoom(maxWrite) + 2 * PAGE_SIZE;
}

export class KernelServer {
  /** Requests read. */
  requests = 0;
  readonly #options: KernelServerOptions;
  readonly #session: Session;
  readonly #call: MutableCall;
  readonly #requestBytes: Uint8Array;
  readonly #replyBytes: Uint8Array;
  readonly #requestAt: number;
  #state: KernelServerState = 'waiting';

  constructor(options: KernelServerOptions) {
    this.#options = options;
    this.#session = options.session;
    const { buffer, at } = options;
    const { maxWrite } = options.session.options;
    assert(at % PAGE_SIZE === 0, 'the room does not start on a page boundary');
    this.#requestAt = at + PAGE_SIZE - WRITE_HEAD;
    const requestSize = requestRoom(maxWrite) - PAGE_SIZE + WRITE_HEAD;
    const replyAt = at + requestRoom(maxWrite) + PAGE_SIZE - OUT_HEADER_SIZE;
    const replySize = replyRoom(maxWrite) - PAGE_SIZE + OUT_HEADER_SIZE;
    this.#requestBytes = new Uint8Array(buffer, this.#requestAt, requestSize);
    this.#replyBytes = new Uint8Array(buffer, replyAt, replySize);
    this.#call = {
      request: new DataView(buffer, this.#requestAt, requestSize),
      requestSize: 0,
      messageSize: 0,
      dataIn: new SegmentList(),
      reply: new DataView(buffer, replyAt, replySize),
      dataOut: new SegmentList(),
      replyRoom: replySize,
      replySize: 0,
      dataOutSize: 0,
      defer: () => this.#defer(),
    };
    this.#call.dataOut.push(replyAt + OUT_HEADER_SIZE, replySize - OUT_HEADER_SIZE);
  }

  get state(): KernelServerState {
    return this.#state;
  }

  /** Serves until the mount is gone. Blocks the thread. */
  run(): void {
    while (this.step());
  }

  /** Waits for one request and answers it; false when there will be no more. */
  step(): boolean {
    const size = this.#options.device.read(this.#requestBytes);
    if (size < 0) return this.#afterFailedRead(-size as Errno);
    if (this.#state === 'waiting') this.#enter('serving');
    this.requests++;
    this.#answer(size);
    return true;
  }

  #answer(size: number): void {
    const call = this.#call;
    const opcode = size < IN_HEADER_SIZE ? 0 : InHeader.opcode.get(call.request, 0);
    const head = opcode === OPS.WRITE.code ? Math.min(size, WRITE_HEAD) : size;
    call.requestSize = head;
    call.messageSize = size;
    call.dataIn.clear();
    call.dataIn.push(this.#requestAt + head, size - head);
    if (opcode === OPS.INIT.code) this.#init(call);
    else this.#session.handle(call);
    if (call.replySize > 0) this.#send(call.replySize + call.dataOutSize);
  }

  #init(call: MutableCall): void {
    const { session, log, onReady } = this.#options;
    const minor = InitIn.minor.get(call.request, IN_HEADER_SIZE);
    if (InitIn.major.get(call.request, IN_HEADER_SIZE) === FUSE_KERNEL_VERSION && minor < KERNEL_MINOR_MIN) {
      log('error', `this kernel speaks FUSE 7.${minor}: Linux 5.4 (7.${KERNEL_MINOR_MIN}) or newer is needed`);
      this.#refuse(call, EPROTO);
      return;
    }
    session.handle(call);
    if (session.state === 'ready') onReady();
  }

  #refuse(call: MutableCall, errno: Errno): void {
    call.replySize = OUT_HEADER_SIZE;
    call.dataOutSize = 0;
    OutHeader.len.set(call.reply, 0, OUT_HEADER_SIZE);
    OutHeader.error.set(call.reply, 0, -errno);
    OutHeader.unique.setWords(
      call.reply,
      0,
      InHeader.unique.low(call.request, 0),
      InHeader.unique.high(call.request, 0),
    );
  }

  #send(size: number): void {
    const sent = this.#options.device.write(this.#replyBytes, size);
    // ENOENT: a signal ended the request before its answer. ENODEV: unmounted; the next read says so too.
    if (sent === size || sent === -ENOENT || sent === -ENODEV) return;
    const opcode = InHeader.opcode.get(this.#call.request, 0);
    this.#options.log('error', `the kernel refuses our reply to opcode ${opcode}: ${errnoName(-sent as Errno)}`);
    // A reply that was refused as a whole leaves its caller waiting for ever.
    this.#refuse(this.#call, EIO);
    this.#options.device.write(this.#replyBytes, OUT_HEADER_SIZE);
  }

  /** A lock that is waited for: only who asked is kept. The kernel takes replies in any order. */
  #defer(): Deferred {
    const { device } = this.#options;
    const { request } = this.#call;
    const low = InHeader.unique.low(request, 0);
    const high = InHeader.unique.high(request, 0);
    return {
      complete: (errno) => {
        const reply = new Uint8Array(OUT_HEADER_SIZE);
        const view = new DataView(reply.buffer);
        OutHeader.len.set(view, 0, OUT_HEADER_SIZE);
        OutHeader.error.set(view, 0, -errno);
        OutHeader.unique.setWords(view, 0, low, high);
        // Whoever does not wait any more has heard from the kernel itself.
        device.write(reply, OUT_HEADER_SIZE);
      },
    };
  }

  #afterFailedRead(errno: Errno): boolean {
    // ENOENT: the request was interrupted while it was handed over.
    if (errno === EINTR || errno === EAGAIN || errno === ENOENT) return true;
    if (errno === EPERM && this.#state === 'waiting' && !this.#options.isStopping()) {
      this.#options.pause();
      return true;
    }
    const isOver = errno === ENODEV || errno === ECONNABORTED || this.#state === 'waiting';
    if (!isOver) this.#options.log('error', `reading from the kernel failed: ${errnoName(errno)}`);
    this.#enter('ended');
    return false;
  }

  #enter(next: KernelServerState): void {
    assert(this.#state !== 'ended', 'an ended server changes its state');
    this.#state = next;
  }
}

type MutableCall = { -readonly [K in keyof Call]: Call[K] };

/** The kernel refuses to hand anything to a buffer that a full WRITE would not fit into. */
function requestRoom(maxWrite: number): number {
  return PAGE_SIZE + roundUp(Math.max(maxWrite, REPLY_ROOM)) + PAGE_SIZE;
}

function replyRoom(maxWrite: number): number {
  return PAGE_SIZE + roundUp(Math.max(maxWrite, REPLY_ROOM));
}

function roundUp(size: number): number {
  return Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
}
