/** A channel without a host: a function answers each request; what was sent is kept for the test to look at. */
import { ARGS_ROOM, type Channel, REPLY_ROOM, Request } from '../../src/guest/channel.ts';
import { type Errno, OK } from '../../src/wire/errno.ts';
import { type AnyStruct, type DeepPartial, encode, sizeOf, type Values } from '../../src/wire/struct.ts';

const ARGS_AT = 4096;
const REPLY_AT = ARGS_AT + ARGS_ROOM;
const DATA_AT = 65536;

export interface Sent {
  readonly opcode: number;
  readonly nodeid: number;
  /** The arguments' bytes. */
  readonly args: DataView;
  /** The payload's bytes. */
  readonly data: Uint8Array;
}

/** Answers one request: writes the reply with `channel.answer…`, returns its errno. */
export type Answer = (sent: Sent, channel: StubChannel) => Errno;

export class StubChannel implements Channel {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly request = new Request();
  readonly args = ARGS_AT;
  readonly reply = REPLY_AT;
  readonly data = DATA_AT;
  readonly dataSize: number;
  readonly sent: Sent[] = [];
  received = 0;
  /** What becomes of a posted request; by default it is answered at once. */
  onPost: ((sent: Sent) => void) | undefined;
  hasWindow = true;
  isClosed = false;
  readonly #answer: Answer;

  constructor(answer: Answer, dataSize = 256 * 1024) {
    this.#answer = answer;
    this.dataSize = dataSize;
    this.bytes = new Uint8Array(DATA_AT + dataSize);
    this.view = new DataView(this.bytes.buffer);
  }

  call(): Errno {
    const sent = this.#keep();
    this.received = 0;
    this.bytes.fill(0, REPLY_AT, REPLY_AT + REPLY_ROOM);
    return this.#answer(sent, this);
  }

  post(): void {
    const sent = this.#keep();
    if (this.onPost === undefined) this.#answer(sent, this);
    else this.onPost(sent);
  }

  /** Posted requests that count as not answered yet. */
  pending = 0;

  drain(): void {
    this.pending = 0;
  }

  close(): void {
    this.isClosed = true;
  }

  /** Writes a struct as the reply's fixed arguments. */
  answer<S extends AnyStruct>(struct: S, values: DeepPartial<Values<S>>): Errno {
    encode(struct, this.view, REPLY_AT, values);
    this.received = sizeOf(struct);
    return OK;
  }

  /** The requests of one operation. */
  of(opcode: number): readonly Sent[] {
    return this.sent.filter((sent) => sent.opcode === opcode);
  }

  #keep(): Sent {
    const { opcode, nodeid, argSize, dataIn, dataInSize } = this.request;
    const args = new DataView(this.bytes.slice(ARGS_AT, ARGS_AT + argSize).buffer);
    const sent = { opcode, nodeid, args, data: this.bytes.slice(dataIn, dataIn + dataInSize) };
    this.sent.push(sent);
    return sent;
  }
}
