/** Late answers over a real queue: one thread, so a request that waits is added by hand and the host is stepped. */
import { describe, expect, test } from 'vitest';
import { CPU_DEAD, CPU_STATE } from '../../assembly/layout.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import type { DriverQueue } from '../../src/virtio/driver.ts';
import { EINTR, OK } from '../../src/wire/errno.ts';
import { InHeader, InterruptIn, LkIn, OutHeader } from '../../src/wire/fuse.ts';
import { OPS } from '../../src/wire/ops.ts';
import { encode, sizeOf } from '../../src/wire/struct.ts';
import type { Connection } from '../../src/worker/connect.ts';
import { createInline, type InlineHost } from '../../src/worker/inline.ts';
import { mountConnection } from '../../src/worker/mount.ts';

const TOKEN = 77;
const LOCK = { type: 'exclusive', owner: 'file' } as const;

interface World {
  readonly host: InlineHost;
  readonly a: Guest;
  readonly b: Guest;
  readonly connection: Connection;
  readonly queue: DriverQueue;
}

/** Two guests; the second one's queue is at hand. */
async function boot(): Promise<World> {
  const host = await createInline({ windowSize: 0, cacheSize: 8 << 20, guests: 3 });
  const a = host.mount();
  const connection = host.connect();
  const b = mountConnection(connection, { clock: host.clock });
  a.writeFile('/f', 'content');
  const queue = connection.driver.queues[connection.driver.firstRequestQueue] as DriverQueue;
  return { host, a, b, connection, queue };
}

/** Adds a SETLKW of the second guest's open file to its queue, by hand, at `slot` of its bounce buffer. */
function askToWait(world: World, unique: bigint, slot = 0): number {
  const { connection, queue, b } = world;
  const at = connection.channel.data + slot * 1024;
  const { view } = connection.channel;
  const file = [...b.mount.openFiles][0];
  if (file === undefined) throw new Error('the second guest has no open file');
  const len = sizeOf(InHeader) + sizeOf(LkIn);
  encode(InHeader, view, at, { len, opcode: OPS.SETLKW.code, unique, nodeid: file.inode.nodeid });
  const lk = { start: 0, end: 0, type: 1, pid: 1 };
  encode(LkIn, view, at + sizeOf(InHeader), { fh: file.fh, owner: unique, lk });
  add(queue, at, len, at + 512, 16);
  queue.publish();
  world.host.step();
  return at + 512;
}

function add(queue: DriverQueue, at: number, size: number, replyAt: number, room: number): void {
  const [readable, writable] = [new SegmentList(), new SegmentList()];
  readable.push(at, size);
  writable.push(replyAt, room);
  expect(queue.add(readable, writable, TOKEN)).toBe(true);
}

/** The answer that came, checked; undefined if there is none. */
function answer(world: World, replyAt: number, unique: bigint): number | undefined {
  const { view } = world.connection.channel;
  if (world.queue.takeUsed() !== TOKEN) return undefined;
  expect(world.queue.usedLength).toBe(16);
  expect(OutHeader.len.get(view, replyAt)).toBe(16);
  expect(OutHeader.unique.get(view, replyAt)).toBe(unique);
  return 0 - OutHeader.error.get(view, replyAt);
}

describe('a request that waits', () => {
  test('leaves its queue to others, and is answered when the other guest unlocks', async () => {
    const world = await boot();
    const [mine, theirs] = [world.a.open('/f', 'r+'), world.b.open('/f', 'r+')];
    mine.lock(LOCK);
    const replyAt = askToWait(world, 5000n);
    expect(answer(world, replyAt, 5000n)).toBeUndefined();
    expect(new TextDecoder().decode(theirs.readAll())).toBe('content');
    expect(() => theirs.lock(LOCK)).toThrow(/EAGAIN/);
    world.host.core.server.checkInvariants();
    mine.lock({ ...LOCK, type: 'unlock' });
    expect(answer(world, replyAt, 5000n)).toBe(OK);
    expect(() => mine.lock(LOCK)).toThrow(/EAGAIN/);
    world.host.core.server.checkInvariants();
    world.host.stop();
  });

  test('waits beside others of the same queue, and they are answered out of order', async () => {
    const world = await boot();
    const [one, two] = [world.a.open('/f', 'r+'), world.b.open('/f', 'r+')];
    one.lock(LOCK);
    const replies = [6000n, 6001n, 6002n].map((unique, slot) => askToWait(world, unique, slot));
    interrupt(world, 6001n);
    expect(answer(world, replies[1] as number, 6001n)).toBe(EINTR);
    one.close();
    world.host.step();
    expect(answer(world, replies[0] as number, 6000n)).toBe(OK);
    expect(answer(world, replies[2] as number, 6002n)).toBeUndefined();
    two.close();
    world.host.step();
    world.host.core.server.checkInvariants();
    world.host.stop();
  });

  test('is forgotten with its guest: nothing is written, and the lock waits for nobody', async () => {
    const world = await boot();
    const mine = world.a.open('/f', 'r+');
    world.b.open('/f', 'r+');
    mine.lock(LOCK);
    const replyAt = askToWait(world, 7000n);
    const { view } = world.connection.channel;
    view.setUint32(replyAt, 0xdeadbeef, true);
    die(world.host, 1);
    mine.lock({ ...LOCK, type: 'unlock' });
    expect(view.getUint32(replyAt, true)).toBe(0xdeadbeef);
    expect(world.host.core.server.locks.size).toBe(0);
    world.host.core.server.checkInvariants();
    const next = world.host.mount();
    next.open('/f', 'r+').lock(LOCK);
    world.host.stop();
  });

  test('is answered at once when the guest that has the lock is gone', async () => {
    const world = await boot();
    world.a.open('/f', 'r+').lock(LOCK);
    world.b.open('/f', 'r+');
    const replyAt = askToWait(world, 8000n);
    die(world.host, 0);
    expect(answer(world, replyAt, 8000n)).toBe(OK);
    world.host.stop();
  });
});

test('a wait with a time limit ends with ETIMEDOUT, in one thread too, and the guest goes on', async () => {
  const { host, a, b } = await boot();
  a.open('/f', 'r+').lock(LOCK);
  const file = b.open('/f', 'r+');
  const before = host.clock.monotonicMs();
  expect(() => file.lock({ ...LOCK, timeoutMs: 30 })).toThrow(expect.objectContaining({ code: 'ETIMEDOUT' }));
  expect(host.clock.monotonicMs() - before).toBeGreaterThanOrEqual(30);
  // The INTERRUPT overtakes its request here, and is sent again.
  expect(() => file.lock({ ...LOCK, timeoutMs: 0 })).toThrow(expect.objectContaining({ code: 'ETIMEDOUT' }));
  expect(() => file.flock('shared', { timeoutMs: 0 })).not.toThrow();
  expect(file.stat().size).toBe(7);
  host.core.server.checkInvariants();
  host.stop();
});

/** The guest's worker has ended: its slot is declared dead. */
function die(host: InlineHost, index: number): void {
  const at = host.map.slots[index]?.cpuAt ?? 0;
  new Int32Array(host.memory.buffer)[(at + CPU_STATE) >> 2] = CPU_DEAD;
  host.core.loop.step();
  host.step();
}

function interrupt({ connection, host }: World, unique: bigint): void {
  const { channel, driver } = connection;
  const at = channel.data + 8192;
  const len = sizeOf(InHeader) + sizeOf(InterruptIn);
  encode(InHeader, channel.view, at, { len, opcode: OPS.INTERRUPT.code, unique: 9999n });
  encode(InterruptIn, channel.view, at + sizeOf(InHeader), { unique });
  const hiprio = driver.queues[0] as DriverQueue;
  const readable = new SegmentList();
  readable.push(at, len);
  expect(hiprio.add(readable, new SegmentList(), TOKEN)).toBe(true);
  hiprio.publish();
  host.step();
  expect(hiprio.takeUsed()).toBe(TOKEN);
}
