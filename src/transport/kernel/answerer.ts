/**
 * Answers requests that lie in the host's memory, one at a time, straight to the device. Writing a reply never blocks.
 * The reply is built in one place: header and arguments, or the header and READ's payload, which starts on a page
 * boundary if `replyAt` is a header's size before one.
 * SPEC: Linux, fs/fuse/dev.c, fuse_dev_do_write.
 */
import type { Call, Deferred } from '../../host/call.ts';
import type { Log } from '../../host/log.ts';
import type { Session } from '../../host/session.ts';
import { SegmentList } from '../../virtio/chain.ts';
import { EIO, ENODEV, ENOENT, EPROTO, type Errno, errnoName } from '../../wire/errno.ts';
import { InHeader, InitIn, OutHeader, WriteIn } from '../../wire/fuse.ts';
import { FUSE_KERNEL_VERSION, IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../wire/ids.ts';
import { OPS } from '../../wire/ops.ts';
import { sizeOf } from '../../wire/struct.ts';
import type { FuseDevice } from './device.ts';

export interface AnswererOptions {
  readonly device: FuseDevice;
  readonly session: Session;
  /** The host's memory, and where in it replies are built. */
  readonly buffer: ArrayBufferLike;
  readonly replyAt: number;
  readonly replySize: number;
  readonly log: Log;
  /** Called once, when INIT was agreed on. */
  readonly onReady: () => void;
}

/** What comes before a WRITE's payload. */
export const WRITE_HEAD = IN_HEADER_SIZE + sizeOf(WriteIn);
/** A kernel older than Linux 5.4, which nobody tries any more, is told so. */
const KERNEL_MINOR_MIN = 31;

export class Answerer {
  readonly #options: AnswererOptions;
  readonly #call: MutableCall;
  readonly #replyBytes: Uint8Array;

  constructor(options: AnswererOptions) {
    this.#options = options;
    const { buffer, replyAt, replySize } = options;
    this.#replyBytes = new Uint8Array(buffer, replyAt, replySize);
    this.#call = {
      request: new DataView(buffer, replyAt, 0),
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

  /** Answers the request of `size` bytes that starts at address `at`; `request` shows the memory from there. */
  answer(request: DataView, at: number, size: number): void {
    const call = this.#call;
    call.request = request;
    const opcode = size < IN_HEADER_SIZE ? 0 : InHeader.opcode.get(call.request, 0);
    const head = opcode === OPS.WRITE.code ? Math.min(size, WRITE_HEAD) : size;
    call.requestSize = head;
    call.messageSize = size;
    call.dataIn.clear();
    call.dataIn.push(at + head, size - head);
    if (opcode === OPS.INIT.code) this.#init(call);
    else this.#options.session.handle(call);
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
}

type MutableCall = { -readonly [K in keyof Call]: Call[K] };
