import { describe, expect, test } from 'vitest';
import { FsError } from '../../src/guest/errors.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import type { DriverQueue } from '../../src/virtio/driver.ts';
import type { GuestMemory } from '../../src/virtio/memory.ts';
import { LocalMemory } from '../../src/virtio/memory.ts';
import { plannedRing } from '../../src/virtio/transport.ts';
import { EINVAL, ENOSYS } from '../../src/wire/errno.ts';
import { InHeader, OutHeader } from '../../src/wire/fuse.ts';
import type { Connection } from '../../src/worker/connect.ts';
import { createInline, type InlineHost } from '../../src/worker/inline.ts';
import { INDIRECT_COUNT } from '../../src/worker/memory-map.ts';

interface World {
  readonly host: InlineHost;
  readonly connection: Connection;
  readonly queue: DriverQueue;
  readonly log: string[];
  readonly view: DataView;
  /** Memory for requests: the bounce buffer. */
  readonly at: number;
}

async function boot(): Promise<World> {
  const log: string[] = [];
  const host = await createInline({
    windowSize: 4 << 20,
    cacheSize: 8 << 20,
    guests: 3,
    log: (level, text) => log.push(`${level} ${text}`),
  });
  const connection = host.connect();
  const queue = connection.driver.queues[connection.driver.firstRequestQueue]!;
  return { host, connection, queue, log, view: connection.channel.view, at: connection.channel.data };
}

/** Sends raw bytes and gives back what the device wrote: used length, and the reply's header. */
function send(world: World, bytes: Uint8Array, room: number) {
  const { queue, connection, at, view } = world;
  const replyAt = at + 65536;
  connection.channel.bytes.set(bytes, at);
  connection.channel.bytes.fill(0xee, replyAt, replyAt + 256);
  const readable = new SegmentList();
  const writable = new SegmentList();
  readable.push(at, bytes.length);
  writable.push(replyAt, room);
  expect(queue.add(readable, writable, 7)).toBe(true);
  queue.publish();
  world.host.step();
  expect(queue.takeUsed()).toBe(7);
  const error = queue.usedLength >= 16 ? OutHeader.error.get(view, replyAt) : undefined;
  const len = queue.usedLength >= 16 ? OutHeader.len.get(view, replyAt) : undefined;
  return { used: queue.usedLength, error, len };
}

function header(opcode: number, len: number, nodeid = 1): Uint8Array {
  const bytes = new Uint8Array(40);
  const view = new DataView(bytes.buffer);
  InHeader.len.set(view, 0, len);
  InHeader.opcode.set(view, 0, opcode);
  InHeader.unique.setWords(view, 0, 99, 0);
  InHeader.nodeid.set(view, 0, nodeid);
  return bytes;
}

describe('a chain that is well-formed, with content that is not', () => {
  test('shorter than a header: EINVAL if there is room to say so, else an empty used element', async () => {
    const world = await boot();
    expect(send(world, new Uint8Array(39), 64)).toEqual({ used: 16, error: -EINVAL, len: 16 });
    expect(send(world, new Uint8Array(39), 8)).toEqual({ used: 0, error: undefined, len: undefined });
    expect(world.log.filter((line) => line.includes('shorter than a request header')).length).toBe(2);
    world.host.stop();
  });

  test('a length that lies: EINVAL, named in the log', async () => {
    const world = await boot();
    world.host.mount().unmount();
    expect(send(world, header(26, 4000), 80).error).toBeLessThan(0);
    expect(world.log.some((line) => line.includes('INIT'))).toBe(true);
    world.host.stop();
  });

  test('an unknown operation: ENOSYS', async () => {
    const world = await boot();
    expect(send(world, header(999, 40), 64).error).toBe(-ENOSYS);
    world.host.stop();
  });

  test('arguments larger than any request has: an error, and the next request is served', async () => {
    const world = await boot();
    const bytes = new Uint8Array(60_000);
    bytes.set(header(1, bytes.length));
    expect(send(world, bytes, 144).error).toBeLessThan(0);
    expect(send(world, header(999, 40), 64).error).toBe(-ENOSYS);
    world.host.stop();
  });
});

describe('a ring that is broken', () => {
  test('breaks its own device only: the other guest goes on, and a reset brings the device back', async () => {
    const world = await boot();
    const other = world.host.mount();
    other.writeFile('/kept', 'safe');
    const { map } = world.host;
    const slot = map.slots[0]!;
    const plan = {
      at: slot.ringsAt,
      size: slot.ringsSize,
      queueSize: map.queueSize,
      requestQueueCount: 1,
      indirectCount: INDIRECT_COUNT,
    };
    const ring = plannedRing(plan, world.connection.driver.firstRequestQueue, map.queueSize);
    // An available index far ahead of anything that was added.
    world.view.setUint16(ring.availAt + 2, 5000, true);
    world.host.step();
    expect(world.connection.driver.needsReset).toBe(true);
    expect(world.log).toContainEqual(
      expect.stringMatching(/^error device needs reset: queue 2: available index jumped/),
    );
    expect(other.readFile('/kept', 'utf8')).toBe('safe');
    expect(world.connection.driver.probe(plan, world.host.clock.monotonicMs() + 1000)).toBeUndefined();
    expect(world.connection.driver.needsReset).toBe(false);
    other.unmount();
    world.host.stop();
  });

  test('makes every call of its guest fail with ENOTCONN, and loses nothing that was accepted', async () => {
    const log: string[] = [];
    const host = await createInline({
      cacheSize: 8 << 20,
      windowSize: 4 << 20,
      guests: 2,
      log: (_, text) => log.push(text),
    });
    const guest = host.mount();
    guest.writeFile('/accepted', 'before');
    const registers = host.core.devices[0]!.device;
    registers.breakDevice('a test says so');
    expect(() => guest.mkdir('/after')).toThrow(FsError);
    const reader = host.mount();
    expect(reader.readFile('/accepted', 'utf8')).toBe('before');
    expect(reader.exists('/after')).toBe(false);
    host.stop();
  });
});

describe('a guest whose memory is not ours', () => {
  /** Another emulator's RAM: reachable only through this interface. */
  class ForeignMemory implements GuestMemory {
    readonly inner = new LocalMemory(new ArrayBuffer(1 << 20));
    readonly size = this.inner.size;
    getU16 = (at: number) => this.inner.getU16(at);
    getU32 = (at: number) => this.inner.getU32(at);
    getU64 = (at: number) => this.inner.getU64(at);
    setU16 = (at: number, value: number) => this.inner.setU16(at, value);
    setU32 = (at: number, value: number) => this.inner.setU32(at, value);
    setU64 = (at: number, value: number) => this.inner.setU64(at, value);
    loadU16 = (at: number) => this.inner.loadU16(at);
    storeU16 = (at: number, value: number) => this.inner.storeU16(at, value);
    read = (at: number, into: Uint8Array, from: number, size: number) => this.inner.read(at, into, from, size);
    write = (at: number, bytes: Uint8Array, from: number, size: number) => this.inner.write(at, bytes, from, size);
  }

  test('is served through a bounce buffer: what it writes it reads back', async () => {
    const { VirtioDevice, VirtioDriver } = await import('../../src/virtio/negotiate.ts');
    const { Registers, REGISTERS_SIZE } = await import('../../src/virtio/registers.ts');
    const { InlineDoorbell } = await import('../../src/base/doorbell.ts');
    const { DeviceServer } = await import('../../src/host/device-server.ts');
    const { VirtioChannel } = await import('../../src/guest/virtio-channel.ts');
    const { mountOver } = await import('../../src/guest/guest.ts');
    const host = await createInline({ cacheSize: 8 << 20, windowSize: 0, guests: 1 });
    const memory = new ForeignMemory();
    const buffer = memory.inner.buffer;
    const block = new ArrayBuffer(REGISTERS_SIZE);
    const kick = new InlineDoorbell();
    const interrupt = new InlineDoorbell(() => {
      server.attend();
      server.serve();
    });
    const shared = { memory, kick, interrupt };
    const device = new VirtioDevice({
      ...shared,
      registers: new Registers(block, 0),
      config: { tag: 'foreign', numRequestQueues: 1 },
    });
    const slot = host.core.slots[0]!;
    new Int32Array(host.memory.buffer, slot.place.cpuAt, 1)[0] = 2;
    const server = new DeviceServer({
      device,
      memory,
      openSession: () => host.core.server.openSession({ maxWrite: 65536 }),
      slot,
      grace: host.core.pageCache.grace,
      mapper: undefined,
      log: () => {},
      bounce: { bytes: new Uint8Array(host.memory.buffer), at: host.map.scratchAt, size: 128 * 1024 },
    });
    const driver = new VirtioDriver({ ...shared, registers: new Registers(block, 0), clock: host.clock });
    const plan = { at: 4096, size: 65536, queueSize: 16, requestQueueCount: 1, indirectCount: 8 };
    expect(driver.probe(plan, host.clock.monotonicMs() + 1000)).toBeUndefined();
    const channel = new VirtioChannel({
      driver,
      buffer,
      requestAt: 131072,
      dataAt: 524288,
      dataSize: 65536,
      bell: interrupt,
      clock: host.clock,
      spins: 0,
      hasWindow: false,
      isDead: () => false,
      onClose: () => {},
    });
    const guest = mountOver(channel, undefined, { clock: host.clock });
    const data = new Uint8Array(200_000).map((_, i) => i * 7);
    guest.writeFile('/foreign', data);
    expect(Buffer.from(guest.readFile('/foreign')).equals(data)).toBe(true);
    expect(guest.readdir('/')).toEqual(['foreign']);
    guest.unmount();
  });
});
