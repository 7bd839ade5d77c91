import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { serveStream } from '../../src/transport/stream/server.ts';
import { ENOSYS } from '../../src/wire/errno.ts';
import * as fuse from '../../src/wire/fuse.ts';
import { OPS } from '../../src/wire/ops.ts';
import { decode, sizeOf } from '../../src/wire/struct.ts';
import { bytes } from '../host/client.ts';
import { message, RawClient } from './raw-client.ts';
import { boot, type StreamWorld } from './world.ts';

const worlds: StreamWorld[] = [];
const O_RDWR = 2;

async function world(options: { connections?: number } = {}): Promise<StreamWorld> {
  const one = await boot(options);
  worlds.push(one);
  return one;
}

afterEach(async () => {
  for (const one of worlds.splice(0)) await one.close();
});

/** Creates an empty file and leaves it open. */
async function create(client: RawClient, unique: number, name: string): Promise<{ nodeid: number; fh: number }> {
  const { body } = await client.ask(OPS.CREATE.code, unique, [
    bytes(fuse.CreateIn, { flags: O_RDWR, mode: 0o644 }),
    name,
  ]);
  return { nodeid: decode(fuse.EntryOut, body, 0).nodeid, fh: decode(fuse.OpenOut, body, sizeOf(fuse.EntryOut)).fh };
}

test('requests glued together are answered one by one, in order', async () => {
  const { path } = await world();
  const client = await RawClient.start(path);
  const glued = [10, 11, 12, 13].map((unique) => message(OPS.GETATTR.code, unique, [bytes(fuse.GetattrIn, {})]));
  client.write(Buffer.concat(glued));
  await client.reply(13);
  expect(client.replies.map((reply) => reply.unique)).toEqual([10, 11, 12]);
});

test('a request that arrives byte by byte is answered once it is whole', async () => {
  const { path } = await world();
  const client = await RawClient.start(path);
  client.socket.setNoDelay(true);
  for (const byte of message(OPS.LOOKUP.code, 10, ['nobody'])) {
    client.write(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect((await client.reply(10)).errno).toBe(2);
});

test('a megabyte goes in with one WRITE and comes out with one READ', async () => {
  const { path } = await world();
  const client = await RawClient.start(path);
  const { nodeid, fh } = await create(client, 10, 'file');
  const data = Uint8Array.from({ length: 1 << 20 }, (_, i) => i * 7);
  const write = await client.ask(OPS.WRITE.code, 11, [bytes(fuse.WriteIn, { fh, size: data.length }), data], nodeid);
  expect(decode(fuse.WriteOut, write.body, 0).size).toBe(data.length);
  const read = await client.ask(OPS.READ.code, 12, [bytes(fuse.ReadIn, { fh, size: 1 << 20 })], nodeid);
  expect(Buffer.compare(new Uint8Array(read.body.buffer, read.body.byteOffset), data)).toBe(0);
});

test('a client that does not read its replies is not read from, and loses none of them when it does', async () => {
  const { path, stream } = await world();
  const client = await RawClient.start(path);
  const { nodeid, fh } = await create(client, 10, 'file');
  const data = new Uint8Array(1 << 20).fill(9);
  const write = [bytes(fuse.WriteIn, { fh, size: data.length }), data];
  await client.ask(OPS.WRITE.code, 12, write, nodeid);
  client.socket.pause();
  const count = 40;
  for (let i = 0; i < count; i++) {
    client.write(message(OPS.READ.code, 100 + i, [bytes(fuse.ReadIn, { fh, size: 1 << 20 })], nodeid));
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  const [connection] = stream.connections;
  expect(connection?.state).toBe('waiting');
  expect(connection?.requests).toBeLessThan(20);
  client.socket.resume();
  for (let i = 0; i < count; i++) expect((await client.reply(100 + i)).body.byteLength).toBe(1 << 20);
});

test.each([0, 39, 2 ** 20 + 4097, 2 ** 32 - 1])(
  'a request of %i bytes closes its connection with one line, and no other',
  async (len) => {
    const { path, lines, idle } = await world();
    const other = await RawClient.start(path);
    const client = await RawClient.start(path);
    const broken = message(OPS.GETATTR.code, 10, [bytes(fuse.GetattrIn, {})]);
    new DataView(broken.buffer).setUint32(0, len, true);
    client.write(broken);
    await client.closed();
    await idle(1);
    expect(lines).toEqual([`error client 2: no message has ${len} bytes: connection closed`]);
    expect((await other.ask(OPS.STATFS.code, 11)).errno).toBe(0);
  },
);

test('an unknown opcode is ENOSYS, and the connection goes on', async () => {
  const { path } = await world();
  const client = await RawClient.start(path);
  expect((await client.ask(999, 10)).errno).toBe(ENOSYS);
  expect((await client.ask(OPS.STATFS.code, 11)).errno).toBe(0);
});

test('FORGET is not answered, and heard', async () => {
  const { path, server } = await world();
  const client = await RawClient.start(path);
  const { nodeid, fh } = await create(client, 10, 'file');
  await client.ask(OPS.RELEASE.code, 11, [bytes(fuse.ReleaseIn, { fh })], nodeid);
  client.write(message(OPS.FORGET.code, 12, [bytes(fuse.ForgetIn, { nlookup: 1 })], nodeid));
  await client.ask(OPS.UNLINK.code, 13, ['file']);
  expect(client.replies).toEqual([]);
  expect(server.store.count).toBe(1);
});

test('a client that leaves in the middle of a message leaves nothing behind', async () => {
  const { path, server, lines, idle } = await world();
  const client = await RawClient.start(path);
  await create(client, 10, 'one');
  await create(client, 11, 'two');
  await client.ask(OPS.OPENDIR.code, 12, [bytes(fuse.OpenIn, {})]);
  expect(server.store.count).toBe(3);
  client.write(message(OPS.LOOKUP.code, 13, ['one']).subarray(0, 42));
  client.socket.end();
  await idle();
  expect(server.store.count).toBe(1);
  expect(server.sessions.size).toBe(0);
  expect(lines).toEqual(['warn client 1: the client left in the middle of a message']);
});

test('each connection has a session of its own over one tree', async () => {
  const { path, server } = await world();
  const [one, two] = [await RawClient.start(path), await RawClient.start(path)];
  await create(one, 10, 'shared');
  expect((await two.ask(OPS.LOOKUP.code, 10, ['shared'])).errno).toBe(0);
  expect([...server.sessions].map((session) => session.handles.size)).toEqual([1, 0]);
});

test('a client too many is turned away with one line; the next one finds the place that became free', async () => {
  const { path, lines, idle } = await world({ connections: 1 });
  const first = await RawClient.start(path);
  const second = await RawClient.connect(path);
  await second.closed();
  expect(lines).toEqual(['error client 2 is turned away: 1 are connected']);
  first.socket.destroy();
  await idle();
  expect((await (await RawClient.start(path)).ask(OPS.STATFS.code, 2)).errno).toBe(0);
});

test('a notification reaches every client, with unique 0', async () => {
  const { path, stream } = await world();
  const clients = [await RawClient.start(path), await RawClient.start(path)];
  const body = bytes(fuse.NotifyInvalInodeOut, { ino: 5, off: 0, len: -1 });
  stream.notify(Uint8Array.of(...bytes(fuse.OutHeader, { len: 16 + body.length, error: 2 }), ...body));
  for (const client of clients) {
    const { errno, body: got } = await client.reply(0);
    expect([errno, decode(fuse.NotifyInvalInodeOut, got, 0).ino]).toEqual([2, 5]);
  }
});

test('a lock that waits is answered when it is free, after requests that came later', async () => {
  const { path } = await world();
  const [one, two] = [await RawClient.start(path), await RawClient.start(path)];
  const held = await create(one, 10, 'locked');
  const found = await two.ask(OPS.LOOKUP.code, 10, ['locked']);
  const nodeid = decode(fuse.EntryOut, found.body, 0).nodeid;
  const opened = await two.ask(OPS.OPEN.code, 11, [bytes(fuse.OpenIn, { flags: O_RDWR })], nodeid);
  const { fh } = decode(fuse.OpenOut, opened.body, 0);
  const lock = (handle: number, owner: bigint, type: number) =>
    bytes(fuse.LkIn, { fh: handle, owner, lk: { start: 0, end: 9, type, pid: 1 } });
  expect((await one.ask(OPS.SETLK.code, 11, [lock(held.fh, 1n, 1)], held.nodeid)).errno).toBe(0);
  two.write(message(OPS.SETLKW.code, 12, [lock(fh, 2n, 1)], nodeid));
  expect((await two.ask(OPS.STATFS.code, 13)).errno).toBe(0);
  expect(two.replies).toEqual([]);
  expect((await one.ask(OPS.SETLK.code, 12, [lock(held.fh, 1n, 2)], held.nodeid)).errno).toBe(0);
  expect((await two.reply(12)).errno).toBe(0);
});

test('closing removes the socket file and ends every session', async () => {
  const { path, stream, server } = await world();
  const client = await RawClient.start(path);
  await create(client, 10, 'file');
  await stream.close();
  await client.closed();
  expect([existsSync(path), server.sessions.size, server.store.count]).toEqual([false, 0, 1]);
});

test('a path that is taken, too long, or nowhere is refused with a reason', async () => {
  const { path, directory } = await world();
  const listen = (where: string) =>
    serveStream({
      path: where,
      openSession: () => {
        throw new Error('nobody connects');
      },
      maxWrite: 4096,
      buffer: new ArrayBuffer(0),
      at: 0,
      connections: 0,
      log: () => {},
    });
  const file = join(directory, 'file');
  writeFileSync(file, 'precious');
  await expect(listen(file)).rejects.toThrow(`${file} exists and is no socket: it is left as it is`);
  await expect(listen(path)).rejects.toThrow(`${path} is served by somebody else already`);
  await expect(listen(join(directory, 'x'.repeat(100)))).rejects.toThrow(/a socket's path has at most 107/);
  await expect(listen(join(directory, 'no', 'where'))).rejects.toThrow(/there is no directory .*no for the socket/);
});
