/** A channel that hands each request to a host session in the same thread, with hooks to watch and to break things. */
import { ARGS_ROOM, type Channel, REPLY_ROOM, Request } from '../../src/guest/channel.ts';
import { type Call, type Deferred, REPLY_ROOM as HOST_REPLY, REQUEST_ROOM } from '../../src/host/call.ts';
import type { Session } from '../../src/host/session.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { ENOTCONN, type Errno, OK } from '../../src/wire/errno.ts';
import { InHeader, InterruptIn, OutHeader } from '../../src/wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../src/wire/ids.ts';
import { OPS } from '../../src/wire/ops.ts';
import { sizeOf } from '../../src/wire/struct.ts';

/** Decides about a request before the host sees it: an errno answers it, undefined lets it pass. */
export type Intercept = (request: Request) => Errno | undefined;

export const CHANNEL_ROOM = ARGS_ROOM + REPLY_ROOM + 256 * 1024;

export class DirectChannel implements Channel {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly request = new Request();
  readonly args: number;
  readonly reply: number;
  readonly data: number;
  readonly dataSize = 256 * 1024;
  readonly hasWindow: boolean;
  received = 0;
  intercept: Intercept = () => undefined;
  /** Runs while a call waits for its answer: whatever ends the wait. */
  whileWaiting: () => void = () => {};
  /** Opcodes in the order they were sent. */
  readonly sent: number[] = [];
  isClosed = false;
  readonly #session: Session;
  readonly #call: Call;
  #unique = 0;
  /** The late answer; undefined while there is none. */
  #late: Errno | undefined;

  /** `room` is CHANNEL_ROOM bytes of the host's memory. */
  constructor(session: Session, bytes: Uint8Array, room: number, hasWindow: boolean) {
    this.#session = session;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.args = room;
    this.reply = room + ARGS_ROOM;
    this.data = this.reply + REPLY_ROOM;
    this.hasWindow = hasWindow;
    this.#call = {
      request: new DataView(new ArrayBuffer(REQUEST_ROOM)),
      requestSize: 0,
      messageSize: 0,
      dataIn: new SegmentList(),
      reply: new DataView(new ArrayBuffer(HOST_REPLY)),
      dataOut: new SegmentList(),
      replyRoom: 0,
      replySize: 0,
      dataOutSize: 0,
      defer: () => this.#defer(),
    };
  }

  call(): Errno {
    this.received = 0;
    this.sent.push(this.request.opcode);
    if (this.isClosed) return ENOTCONN;
    const decided = this.intercept(this.request);
    if (decided !== undefined) return decided;
    this.#fill(OUT_HEADER_SIZE + this.request.replySize + this.request.dataOutSize);
    this.#session.handle(this.#call);
    return this.#call.replySize === 0 ? this.#wait() : this.#takeReply();
  }

  post(): void {
    this.sent.push(this.request.opcode);
    if (this.isClosed || this.intercept(this.request) !== undefined) return;
    this.#fill(OUT_HEADER_SIZE);
    this.#session.handle(this.#call);
  }

  readonly pending = 0;

  drain(): void {}

  close(): void {
    this.isClosed = true;
  }

  #defer(): Deferred {
    this.#late = undefined;
    return {
      complete: (errno) => {
        this.#late = errno;
      },
    };
  }

  /** The time is over as soon as `whileWaiting` has not brought the answer. */
  #wait(): Errno {
    this.whileWaiting();
    if (this.#late !== undefined) return this.#late;
    if (this.request.timeoutMs === Number.POSITIVE_INFINITY) throw new Error('waits for ever');
    this.sent.push(OPS.INTERRUPT.code);
    const { request } = this.#call;
    const size = IN_HEADER_SIZE + sizeOf(InterruptIn);
    InterruptIn.unique.setWords(request, IN_HEADER_SIZE, this.#unique, 0);
    InHeader.len.set(request, 0, size);
    InHeader.opcode.set(request, 0, OPS.INTERRUPT.code);
    InHeader.unique.setWords(request, 0, ++this.#unique, 0);
    this.#call.requestSize = size;
    this.#call.messageSize = size;
    this.#session.handle(this.#call);
    if (this.#late === undefined) throw new Error('an interrupted call has no answer');
    return this.#late;
  }

  #fill(replyRoom: number): void {
    const { request } = this;
    const call = this.#call;
    const size = IN_HEADER_SIZE + request.argSize;
    InHeader.len.set(call.request, 0, size + request.dataInSize);
    InHeader.opcode.set(call.request, 0, request.opcode);
    InHeader.unique.setWords(call.request, 0, ++this.#unique, 0);
    InHeader.nodeid.set(call.request, 0, request.nodeid);
    InHeader.uid.set(call.request, 0, request.uid);
    InHeader.gid.set(call.request, 0, request.gid);
    InHeader.pid.set(call.request, 0, request.pid);
    new Uint8Array(call.request.buffer).set(
      this.bytes.subarray(this.args, this.args + request.argSize),
      IN_HEADER_SIZE,
    );
    call.requestSize = size;
    call.messageSize = size + request.dataInSize;
    call.dataIn.clear();
    call.dataIn.push(request.dataIn, request.dataInSize);
    call.dataOut.clear();
    call.dataOut.push(this.reply, request.replySize);
    call.dataOut.push(request.dataOut, request.dataOutSize);
    call.replyRoom = replyRoom;
    call.replySize = 0;
    call.dataOutSize = 0;
  }

  #takeReply(): Errno {
    const call = this.#call;
    const error = -OutHeader.error.get(call.reply, 0);
    if (error !== 0) return error as Errno;
    const built = new Uint8Array(call.reply.buffer, OUT_HEADER_SIZE, call.replySize - OUT_HEADER_SIZE);
    const { replySize, dataOut } = this.request;
    this.bytes.set(built.subarray(0, replySize), this.reply);
    this.bytes.set(built.subarray(replySize), dataOut);
    this.received = built.length + call.dataOutSize;
    return OK;
  }
}
