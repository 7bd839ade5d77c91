/** A client that writes whatever bytes a test wants to a Unix socket, and cuts what comes back into replies. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Framer } from '../../src/transport/stream/framer.ts';
import { INIT_FLAG_BITS } from '../../src/wire/flags.ts';
import { InHeader, InitIn, OutHeader } from '../../src/wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../src/wire/ids.ts';
import { OPS } from '../../src/wire/ops.ts';
import { decode, encode } from '../../src/wire/struct.ts';
import { bytes, type Piece } from '../host/client.ts';

const MAX_PAGES = 1 << INIT_FLAG_BITS.FUSE_MAX_PAGES;

export interface RawReply {
  readonly unique: number;
  /** Of a notification: its code. */
  readonly errno: number;
  readonly body: DataView;
}

/** One request, header and all. */
export function message(opcode: number, unique: number, pieces: readonly Piece[] = [], nodeid = 1): Uint8Array {
  const parts = pieces.map((piece) => (typeof piece === 'string' ? new TextEncoder().encode(`${piece}\0`) : piece));
  const size = parts.reduce((sum, part) => sum + part.length, IN_HEADER_SIZE);
  const out = new Uint8Array(size);
  encode(InHeader, new DataView(out.buffer), 0, { len: size, opcode, unique: BigInt(unique), nodeid });
  let at = IN_HEADER_SIZE;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export class RawClient {
  readonly socket: Socket;
  readonly replies: RawReply[] = [];
  isClosed = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    const buffer = new Uint8Array(4 << 20);
    const framer = new Framer(buffer, OUT_HEADER_SIZE);
    socket.on('data', (chunk: Uint8Array) => {
      framer.feed(chunk);
      for (let size = framer.next(); size > 0; size = framer.next()) this.#take(buffer.slice(0, size));
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  static async connect(path: string): Promise<RawClient> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Connects and agrees on the protocol, large writes included. */
  static async start(path: string): Promise<RawClient> {
    const client = await RawClient.connect(path);
    await client.ask(OPS.INIT.code, 1, [bytes(InitIn, { major: 7, minor: 45, flags: MAX_PAGES })]);
    return client;
  }

  write(...parts: readonly Uint8Array[]): void {
    for (const part of parts) this.socket.write(part);
  }

  /** Sends a request and waits for its reply. */
  async ask(opcode: number, unique: number, pieces: readonly Piece[] = [], nodeid = 1): Promise<RawReply> {
    this.write(message(opcode, unique, pieces, nodeid));
    return this.reply(unique);
  }

  async reply(unique: number): Promise<RawReply> {
    for (;;) {
      const index = this.replies.findIndex((one) => one.unique === unique);
      if (index >= 0) return this.replies.splice(index, 1)[0] as RawReply;
      if (this.isClosed) throw new Error('the connection is closed');
      await this.#woken();
    }
  }

  /** Waits until the server has closed the connection. */
  async closed(): Promise<void> {
    while (!this.isClosed) await this.#woken();
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #take(reply: Uint8Array): void {
    const view = new DataView(reply.buffer);
    const { unique, error } = decode(OutHeader, view, 0);
    this.replies.push({
      unique: Number(unique),
      errno: Math.abs(error),
      body: new DataView(reply.buffer, OUT_HEADER_SIZE),
    });
    this.#wake();
  }
}
