/**
 * One client of ours on a stream: requests come in, the session answers them, replies go out.
 *
 * Request and reply lie in the host's memory, so that payloads move straight between there and the frames. The next
 * request is looked at only when the reply has left: a client that does not read its replies is not read from either,
 * and costs no memory.
 *
 *   at │ request │ reply │
 *
 *   serving → waiting: the socket did not take a reply at once
 *   waiting → serving: now it did
 *   any     → closed:  either end let go; the session is closed with it
 */
import type { Socket } from 'node:net';
import { assert } from '../../base/assert.ts';
import type { Call, Deferred } from '../../host/call.ts';
import type { Log } from '../../host/log.ts';
import type { Session } from '../../host/session.ts';
import { SegmentList } from '../../virtio/chain.ts';
import { InHeader, OutHeader, WriteIn } from '../../wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../wire/ids.ts';
import { OPS } from '../../wire/ops.ts';
import { sizeOf } from '../../wire/struct.ts';
import { BROKEN, Framer, messageRoom, NEEDS_MORE } from './framer.ts';

export interface ConnectionOptions {
  readonly socket: Socket;
  readonly session: Session;
  /** The host's memory, and where in it `connectionRoom(maxWrite)` bytes are ours. */
  readonly buffer: ArrayBufferLike;
  readonly at: number;
  readonly log: Log;
  /** Called once, after the session was closed. */
  readonly onClosed: () => void;
}

export type ConnectionState = 'serving' | 'waiting' | 'closed';

const WRITE_HEAD = IN_HEADER_SIZE + sizeOf(WriteIn);

/** Bytes of host memory that one connection needs. */
export function connectionRoom(maxWrite: number): number {
  return 2 * roundUp(messageRoom(maxWrite));
}

export class StreamConnection {
  /** Requests read. */
  requests = 0;
  readonly session: Session;
  readonly #options: ConnectionOptions;
  readonly #framer: Framer;
  readonly #call: Call;
  readonly #requestAt: number;
  readonly #replyBytes: Uint8Array;
  readonly #onSent = (): void => this.#continue();
  #state: ConnectionState = 'serving';

  constructor(options: ConnectionOptions) {
    const { buffer, at, session, socket } = options;
    this.#options = options;
    this.session = session;
    const room = messageRoom(session.options.maxWrite);
    const replyAt = at + roundUp(room);
    this.#requestAt = at;
    this.#replyBytes = new Uint8Array(buffer, replyAt, room);
    this.#framer = new Framer(new Uint8Array(buffer, at, room), IN_HEADER_SIZE);
    this.#call = {
      request: new DataView(buffer, at, room),
      requestSize: 0,
      messageSize: 0,
      dataIn: new SegmentList(),
      reply: new DataView(buffer, replyAt, room),
      dataOut: new SegmentList(),
      replyRoom: room,
      replySize: 0,
      dataOutSize: 0,
      defer: () => this.#defer(),
    };
    this.#call.dataOut.push(replyAt + OUT_HEADER_SIZE, room - OUT_HEADER_SIZE);
    socket.on('data', (chunk: Uint8Array) => this.#take(chunk));
    socket.on('error', (error) => options.log('debug', `${session.options.name}: ${error.message}`));
    socket.on('close', () => this.#afterClose());
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Sends a notification: a whole message whose `unique` is 0. It may overtake no reply, and none overtakes it. */
  notify(message: Uint8Array): void {
    if (this.#state === 'closed') return;
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    assert(OutHeader.len.get(view, 0) === message.length, 'a notification has another length than it says');
    // The socket keeps what it cannot send at once.
    this.#options.socket.write(message.slice());
  }

  /** Lets go of the client, after what was answered has left; one that does not read its replies is not waited for. */
  close(): void {
    const { socket } = this.#options;
    if (this.#state === 'waiting') socket.destroy();
    else socket.destroySoon();
  }

  #take(chunk: Uint8Array): void {
    if (this.#state === 'closed') return;
    this.#framer.feed(chunk);
    this.#serve();
  }

  #serve(): void {
    while (this.#state === 'serving') {
      const size = this.#framer.next();
      if (size === NEEDS_MORE) return;
      if (size === BROKEN) this.#breakOff();
      else this.#answer(size);
    }
  }

  #answer(size: number): void {
    const call = this.#call;
    this.requests++;
    const isWrite = InHeader.opcode.get(call.request, 0) === OPS.WRITE.code;
    const head = isWrite ? Math.min(size, WRITE_HEAD) : size;
    call.requestSize = head;
    call.messageSize = size;
    call.dataIn.clear();
    call.dataIn.push(this.#requestAt + head, size - head);
    this.session.handle(call);
    if (call.replySize > 0) this.#send(call.replySize + call.dataOutSize);
  }

  #send(size: number): void {
    const { socket } = this.#options;
    socket.write(this.#replyBytes.subarray(0, size), this.#onSent);
    if (socket.writableLength === 0 || this.#state === 'closed') return;
    this.#state = 'waiting';
    socket.pause();
  }

  #continue(): void {
    const { socket } = this.#options;
    if (this.#state !== 'waiting' || socket.writableLength > 0) return;
    this.#state = 'serving';
    this.#serve();
    if (this.#state === 'serving') socket.resume();
  }

  /** A lock that waits: its answer goes out whenever it comes, between other replies. */
  #defer(): Deferred {
    const { request } = this.#call;
    const low = InHeader.unique.low(request, 0);
    const high = InHeader.unique.high(request, 0);
    return {
      complete: (errno) => {
        if (this.#state === 'closed') return;
        const reply = new DataView(new ArrayBuffer(OUT_HEADER_SIZE));
        OutHeader.len.set(reply, 0, OUT_HEADER_SIZE);
        OutHeader.error.set(reply, 0, -errno);
        OutHeader.unique.setWords(reply, 0, low, high);
        this.#options.socket.write(new Uint8Array(reply.buffer));
      },
    };
  }

  #breakOff(): void {
    const { socket, log } = this.#options;
    log('error', `${this.session.options.name}: no message has ${this.#framer.announced} bytes: connection closed`);
    this.#enterClosed();
    socket.destroy();
  }

  #afterClose(): void {
    const { session, log } = this.#options;
    if (this.#state !== 'closed' && this.#framer.isInMessage) {
      log('warn', `${session.options.name}: the client left in the middle of a message`);
    }
    this.#enterClosed();
    this.#options.onClosed();
  }

  #enterClosed(): void {
    this.#state = 'closed';
    this.session.close();
  }
}

/** Whole pages, so that payloads do not share one with another connection's. */
function roundUp(size: number): number {
  return Math.ceil(size / 4096) * 4096;
}
