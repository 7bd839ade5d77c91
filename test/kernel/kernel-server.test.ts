/** The loop of a kernel mount over a device that is an array: what it does when the kernel is not as it should be. */
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { MemoryFileSystem } from '../../src/fs/memory.ts';
import { Server } from '../../src/host/server.ts';
import type { FuseDevice } from '../../src/transport/kernel/device.ts';
import { KernelServer, kernelRoom } from '../../src/transport/kernel/kernel-server.ts';
import { EAGAIN, EINTR, EINVAL, EIO, ENODEV, ENOENT, EPERM, EPROTO } from '../../src/wire/errno.ts';
import * as fuse from '../../src/wire/fuse.ts';
import { OPS, type OpName } from '../../src/wire/ops.ts';
import { decode, encode, sizeOf } from '../../src/wire/struct.ts';
import { createTestPages } from '../fakes/pages.ts';
import { bytes } from '../host/client.ts';

const MAX_WRITE = 64 * 1024;
const INIT = { major: 7, minor: 45, max_readahead: 131072, flags: 0xffffffff, flags2: 0xffffffff };

/** What one read returns: a whole request, or an errno. */
type Read = Uint8Array | number;

function request(name: OpName, parts: readonly Uint8Array[], nodeid = 1, unique = 2n): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length, 40);
  const message = new Uint8Array(size);
  encode(fuse.InHeader, new DataView(message.buffer), 0, { len: size, opcode: OPS[name].code, unique, nodeid });
  let at = 40;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  return message;
}

const init = (values = {}) => request('INIT', [bytes(fuse.InitIn, { ...INIT, ...values })], 0, 1n);
const name = (text: string) => new TextEncoder().encode(`${text}\0`);

function world(reads: Read[], writeResult: (size: number, count: number) => number = (size) => size) {
  const pages = createTestPages({ frames: 1024 });
  const lines: string[] = [];
  const replies: Uint8Array[] = [];
  const log = (level: string, text: string) => lines.push(`${level} ${text}`);
  const clock = new ManualClock();
  const memory = new MemoryFileSystem({ pageCache: pages.pageCache, clock, sizeLimit: 2 << 20 });
  const host = new Server({ fs: memory, clock, log });
  const session = host.openSession({ maxWrite: MAX_WRITE });
  const device: FuseDevice = {
    read(into) {
      const next = reads.shift() ?? ENODEV;
      if (typeof next === 'number') return -next;
      into.set(next);
      return next.length;
    },
    write(from, size) {
      replies.push(from.slice(0, size));
      return writeResult(size, replies.length);
    },
  };
  const seen = { pauses: 0, ready: 0, isStopping: false };
  const at = Math.ceil(pages.room / 4096) * 4096;
  expect(kernelRoom(MAX_WRITE)).toBeLessThan(1 << 20);
  const server = new KernelServer({
    device,
    session,
    buffer: pages.pageCache.bytes.buffer as ArrayBuffer,
    at,
    log,
    pause: () => {
      seen.pauses++;
    },
    isStopping: () => seen.isStopping,
    onReady: () => {
      seen.ready++;
    },
  });
  const headers = () => replies.map((reply) => decode(fuse.OutHeader, new DataView(reply.buffer), 0));
  return { server, session, replies, headers, lines, seen, host };
}

describe('a kernel mount', () => {
  test('waits for the mount, negotiates, serves, and ends when the device is gone', () => {
    const { server, seen, headers, host } = world([EPERM, EPERM, init(), request('STATFS', [])]);
    server.run();
    expect([server.state, server.requests, seen.pauses, seen.ready]).toEqual(['ended', 2, 2, 1]);
    expect(headers().map(({ error, len }) => [error, len])).toEqual([
      [0, 80],
      [0, 16 + sizeOf(fuse.StatfsOut)],
    ]);
    host.close();
  });

  test('that nobody mounts ends when it is told to', () => {
    const { server, seen } = world([EPERM, EPERM]);
    seen.isStopping = true;
    server.run();
    expect([server.state, seen.pauses]).toEqual(['ended', 0]);
  });

  test('goes on after interrupted reads', () => {
    const { server } = world([EINTR, init(), EAGAIN, ENOENT, request('STATFS', [])]);
    server.run();
    expect(server.requests).toBe(2);
  });

  test('of a kernel older than 7.31 is refused with one line', () => {
    const { server, headers, lines, seen } = world([init({ minor: 30 })]);
    server.run();
    expect([headers()[0]?.error, seen.ready]).toEqual([-EPROTO, 0]);
    expect(lines).toEqual(['error this kernel speaks FUSE 7.30: Linux 5.4 (7.31) or newer is needed']);
  });

  test('gets written bytes from the request and read bytes in one reply, in place', () => {
    const data = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
    const create = request('CREATE', [bytes(fuse.CreateIn, { flags: 2, mode: 0o644 }), name('a')]);
    const write = request('WRITE', [bytes(fuse.WriteIn, { fh: 1, offset: 3, size: 5000 }), data], 2);
    const read = request('READ', [bytes(fuse.ReadIn, { fh: 1, offset: 0, size: 8192 })], 2);
    const { server, replies, headers } = world([init(), create, write, read]);
    server.run();
    expect(headers().map(({ error }) => error)).toEqual([0, 0, 0, 0]);
    expect(replies[3]?.length).toBe(16 + 5003);
    expect(replies[3]?.slice(19)).toEqual(data);
  });

  test('answers no FORGET and no INTERRUPT', () => {
    const forget = request('FORGET', [bytes(fuse.ForgetIn, { nlookup: 1 })]);
    const interrupt = request('INTERRUPT', [bytes(fuse.InterruptIn, { unique: 9n })], 0);
    const { server, replies } = world([init(), forget, interrupt]);
    server.run();
    expect([server.requests, replies.length]).toEqual([3, 1]);
  });

  test('minds no reply that came too late, and replaces one that the kernel refuses', () => {
    const late = world([init(), request('STATFS', [])], (size, count) => (count === 2 ? -ENOENT : size));
    late.server.run();
    expect([late.replies.length, late.lines]).toEqual([2, []]);
    const bad = world([init(), request('STATFS', [])], (size, count) => (count === 2 ? -EINVAL : size));
    bad.server.run();
    expect(bad.headers().map(({ error, unique }) => [error, unique])).toEqual([
      [0, 1n],
      [0, 2n],
      [-EIO, 2n],
    ]);
    expect(bad.lines).toEqual(['error the kernel refuses our reply to opcode 17: EINVAL']);
  });

  test('says so when reading fails for a reason that nobody knows', () => {
    const { server, lines } = world([init(), EINVAL]);
    server.run();
    expect([server.state, lines]).toEqual(['ended', ['error reading from the kernel failed: EINVAL']]);
  });
});
