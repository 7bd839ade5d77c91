/**
 * Guests over a relay, and the foreign server behind it, all in one thread: the link hands each request to a session of
 * our own server, with hooks to watch, to change and to break what goes through it.
 */
import { ManualClock } from '../../src/base/clock.ts';
import { MemoryFileSystem } from '../../src/fs/memory.ts';
import { type Guest, mountOver } from '../../src/guest/guest.ts';
import type { Call } from '../../src/host/call.ts';
import type { DirStream } from '../../src/host/file-system.ts';
import { Server } from '../../src/host/server.ts';
import type { Session } from '../../src/host/session.ts';
import { messageRoom } from '../../src/transport/stream/framer.ts';
import { type Link, Relay } from '../../src/transport/stream/relay.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { LocalMemory } from '../../src/virtio/memory.ts';
import type { Errno } from '../../src/wire/errno.ts';
import { InHeader, OutHeader, ReadIn, WriteIn } from '../../src/wire/fuse.ts';
import { IN_HEADER_SIZE, type NodeId, OUT_HEADER_SIZE } from '../../src/wire/ids.ts';
import { OP_NAME_BY_CODE } from '../../src/wire/message.ts';
import { O_RDWR, S_IFDIR } from '../../src/wire/mode.ts';
import { OPS, type OpName } from '../../src/wire/ops.ts';
import { sizeOf } from '../../src/wire/struct.ts';
import { createTestPages } from '../fakes/pages.ts';
import { CHANNEL_ROOM, DirectChannel } from '../guest/direct-channel.ts';
import { Client } from '../host/client.ts';

/** What the relay may move at once; the foreign server would take more. */
export const RELAY_MAX_WRITE = 64 * 1024;
const SERVER_MAX_WRITE = 1 << 20;
const LINK_ROOM = Math.ceil(messageRoom(RELAY_MAX_WRITE) / 4096) * 4096;
const CLIENT_ROOM = 512 * 1024;

/** All of them name it first. */
const NAMES: readonly OpName[] = ['READ', 'WRITE', 'LSEEK', 'FALLOCATE', 'FSYNC', 'READDIR', 'READDIRPLUS'];
const WITH_FH: ReadonlySet<number> = new Set(NAMES.map((name) => OPS[name].code));

class FakeLink implements Link {
  readonly name = 'fuse:fake';
  readonly why = 'it has left';
  readonly strays = 0;
  readonly request: Uint8Array;
  /** Names of what the server was sent, since the last look. */
  readonly sent: string[] = [];
  isGone = false;
  isClosed = false;
  /** Answers an opcode in the server's place. */
  intercept: (opcode: number, request: DataView) => Errno | undefined = () => undefined;
  /** Changes a reply before the relay sees it. */
  tamper: (opcode: number, reply: DataView, size: number) => number = (_opcode, _reply, size) => size;
  readonly #session: Session;
  readonly #at: number;
  readonly #call: Call;
  reply: Uint8Array;

  /** `at`: two LINK_ROOMs of the host's memory. */
  constructor(session: Session, buffer: ArrayBuffer, at: number) {
    this.#session = session;
    this.#at = at;
    this.request = new Uint8Array(buffer, at, LINK_ROOM);
    this.reply = new Uint8Array(buffer, at + LINK_ROOM, LINK_ROOM);
    this.#call = {
      request: new DataView(buffer, at, LINK_ROOM),
      requestSize: 0,
      messageSize: 0,
      dataIn: new SegmentList(),
      reply: new DataView(buffer, at + LINK_ROOM, LINK_ROOM),
      dataOut: new SegmentList(),
      replyRoom: LINK_ROOM,
      replySize: 0,
      dataOutSize: 0,
      // Locks are on offer; whether the relay takes them is the question.
      defer: () => undefined,
    };
    this.#call.dataOut.push(at + LINK_ROOM + OUT_HEADER_SIZE, LINK_ROOM - OUT_HEADER_SIZE);
  }

  exchange(size: number, hasReply: boolean): number {
    if (this.isGone) return -1;
    const call = this.#call;
    const opcode = InHeader.opcode.get(call.request, 0);
    this.sent.push(OP_NAME_BY_CODE[opcode] ?? `${opcode}`);
    const isWrite = opcode === OPS.WRITE.code;
    call.requestSize = isWrite ? Math.min(size, IN_HEADER_SIZE + sizeOf(WriteIn)) : size;
    call.messageSize = size;
    call.dataIn.clear();
    call.dataIn.push(this.#at + call.requestSize, size - call.requestSize);
    const errno = this.intercept(opcode, call.request);
    if (errno === undefined) this.#withHandle(opcode, () => this.#session.handle(call));
    else this.#answer(errno);
    return hasReply ? this.tamper(opcode, call.reply, call.replySize + call.dataOutSize) : 0;
  }

  close(): void {
    this.isClosed = true;
  }

  /** A server without OPEN or OPENDIR knows the file by its nodeid alone: fh 0 gets a handle for one request. */
  #withHandle(opcode: number, run: () => void): void {
    const { request } = this.#call;
    const fhAt = IN_HEADER_SIZE + ReadIn.fh.offset;
    const isNeeded = WITH_FH.has(opcode) && request.getUint32(fhAt, true) === 0;
    const inode = isNeeded ? this.#session.resolve(InHeader.nodeid.get(request, 0) as NodeId) : undefined;
    if (inode === undefined) {
      run();
      return;
    }
    const { handles, fs } = this.#session;
    const stream = inode.type === S_IFDIR ? (fs.opendir(inode) as DirStream) : undefined;
    const fh = stream === undefined ? handles.addFile(inode, O_RDWR) : handles.addDir(inode, 0, stream);
    request.setUint32(fhAt, fh, true);
    run();
    handles.release(fh);
  }

  #answer(errno: Errno): void {
    const call = this.#call;
    OutHeader.len.set(call.reply, 0, OUT_HEADER_SIZE);
    OutHeader.error.set(call.reply, 0, -errno);
    call.replySize = OUT_HEADER_SIZE;
    call.dataOutSize = 0;
  }
}

export function boot() {
  const pages = createTestPages({ frames: 4096, roomSize: 4 << 20 });
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = (level: string, text: string) => lines.push(`${level} ${text}`);
  const memory = new MemoryFileSystem({ pageCache: pages.pageCache, clock, sizeLimit: 12 << 20 });
  const server = new Server({ fs: memory, clock, log });
  const foreign = server.openSession({ name: 'foreign', maxWrite: SERVER_MAX_WRITE });
  const { buffer } = pages.memory;
  let room = pages.room;
  const take = (size: number): number => {
    room += size;
    return room - size;
  };
  const link = new FakeLink(foreign, buffer as ArrayBuffer, take(2 * LINK_ROOM));
  const relay = new Relay({ link, memory: new LocalMemory(buffer), maxWrite: RELAY_MAX_WRITE, log });
  /** A whole guest. */
  const mount = (): { guest: Guest; channel: DirectChannel; session: Session } => {
    const session = relay.openSession('guest') as unknown as Session;
    const channel = new DirectChannel(session, pages.pageCache.bytes, take(CHANNEL_ROOM), false);
    return { guest: mountOver(channel, undefined, { clock }), channel, session };
  };
  /** A guest that says just what a test makes it say; INIT was sent, with everything offered. */
  const attach = (): Client => {
    const session = relay.openSession('client') as unknown as Session;
    const client = new Client(session, pages.pageCache.bytes, take(CLIENT_ROOM), CLIENT_ROOM);
    client.init();
    return client;
  };
  return { server, foreign, link, relay, lines, mount, attach };
}
