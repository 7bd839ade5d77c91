import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { InlineDoorbell } from '../../src/base/doorbell.ts';
import { Chain } from '../../src/virtio/chain.ts';
import { VIRTIO_F_RING_EVENT_IDX, VIRTIO_F_VERSION_1, VIRTIO_FS_F_NOTIFICATION } from '../../src/virtio/layout.ts';
import { LocalMemory } from '../../src/virtio/memory.ts';
import { VirtioDevice, VirtioDriver } from '../../src/virtio/negotiate.ts';
import { featureSet, QUEUE, queueRegister, REG, REGISTERS_SIZE, Registers } from '../../src/virtio/registers.ts';
import {
  type DriverPlan,
  driverMemorySize,
  FEATURES_DEFAULT,
  type VirtioDeviceOptions,
} from '../../src/virtio/transport.ts';
import { segments } from './pair.ts';

const RINGS_AT = 4096;
const DATA_AT = 128 * 1024;
const PLAN: DriverPlan = { at: RINGS_AT, size: driverMemorySize(4, 16), queueSize: 16, requestQueueCount: 2 };

interface WorldOptions extends Partial<VirtioDeviceOptions> {
  readonly wanted?: bigint;
  readonly isHostDead?: boolean;
  readonly at?: number;
  readonly buffer?: ArrayBuffer;
}

/** Both ends in one thread: when the guest waits, the host follows, and time passes. */
function makeWorld(options: WorldOptions = {}) {
  const at = options.at ?? 0;
  const buffer = options.buffer ?? new ArrayBuffer(1 << 19);
  const memory = new LocalMemory(buffer);
  const clock = new ManualClock();
  const log: string[] = [];
  const kick = new InlineDoorbell();
  const interrupt = new InlineDoorbell();
  const registers = new Registers(buffer, at);
  const config = { tag: 'myfs', numRequestQueues: 2 };
  const device = new VirtioDevice({ registers, memory, kick, interrupt, config, ...options });
  device.onReady = () => log.push('ready');
  device.onReset = () => log.push('reset');
  device.onBroken = (reason) => log.push(`broken: ${reason}`);
  interrupt.connect(() => {
    clock.advance(1);
    if (!options.isHostDead) device.service();
  });
  const features = options.wanted ?? FEATURES_DEFAULT;
  const driver = new VirtioDriver({ registers: new Registers(buffer, at), memory, kick, interrupt, clock, features });
  const plan = { ...PLAN, at: PLAN.at + at };
  const probe = () => driver.probe(plan, clock.monotonicMs() + 100);
  const reset = () => driver.reset(clock.monotonicMs() + 100);
  return { buffer, memory, clock, registers, device, driver, log, probe, reset };
}

type World = ReturnType<typeof makeWorld>;

/** Sends one request through queue `index`; tells whether it came back. */
function roundTrip(world: World, index: number): boolean {
  const chain = new Chain();
  const queue = world.driver.queues[index];
  queue?.add(segments([DATA_AT, 40]), segments([DATA_AT + 64, 16]), 9);
  queue?.publish();
  if (!world.device.queues[index]?.take(chain)) return false;
  world.device.queues[index]?.put(chain.head, 16);
  world.device.queues[index]?.publish();
  return queue?.takeUsed() === 9;
}

test('3.1.1 a driver that probes ends with queues that work', () => {
  const world = makeWorld();
  expect(world.probe()).toBeUndefined();
  expect(world.log).toEqual(['ready']);
  expect([world.device.state, world.registers.get(REG.deviceStatus)]).toEqual(['live', 15]);
  expect([world.device.features, world.driver.features]).toEqual([FEATURES_DEFAULT, FEATURES_DEFAULT]);
  expect(world.driver.queues.map((queue) => queue.size)).toEqual([16, 16, 16]);
  expect([0, 1, 2].map((index) => roundTrip(world, index))).toEqual([true, true, true]);
});

test('5.11.4 the driver reads the tag and the number of request queues', () => {
  const world = makeWorld({ config: { tag: 'répertoire-partagé-de-35-octets', numRequestQueues: 1 } });
  expect(world.probe()).toBeUndefined();
  expect(world.driver.config.tag).toBe('répertoire-partagé-de-35-octets');
  expect(world.driver.queues.length).toBe(2);
});

test('5.11.4 a tag of all 36 bytes has no terminating zero', () => {
  const world = makeWorld({ config: { tag: 'x'.repeat(36), numRequestQueues: 1 } });
  world.probe();
  expect(world.driver.config.tag).toBe('x'.repeat(36));
});

test.each([
  ['the tag is empty', REG.configTag, 0],
  ['the tag has a newline', REG.configTag, 0x0a61],
  ['the device has no request queues', REG.configNumRequestQueues, 0],
  ['the device does not offer VIRTIO_F_VERSION_1', REG.deviceFeatures + 4, 0],
  ['no virtio-fs device is here', REG.deviceId, 2],
  ['no virtio-fs device is here', REG.magicValue, 0],
  ['queue 0 does not exist', queueRegister(0, QUEUE.numMax), 0],
  ['the device has fewer than 3 queues', REG.queueCount, 2],
])('3.1.1 a driver gives up when %s', (reason, register, value) => {
  const world = makeWorld();
  world.registers.set(register, value);
  expect(world.probe()).toBe(reason);
  expect(world.device.queues.length).toBe(0);
});

test('2.1 a driver that gives up says FAILED, and may try again', () => {
  const world = makeWorld();
  world.registers.set(REG.configNumRequestQueues, 0);
  world.probe();
  world.device.service();
  expect(world.device.state).toBe('failed');
  world.registers.set(REG.configNumRequestQueues, 2);
  expect([world.probe(), world.device.state]).toEqual([undefined, 'live']);
});

test('3.1.1 memory too small for the queues is an answer, not a crash', () => {
  const world = makeWorld();
  const plan = { ...PLAN, size: driverMemorySize(3, 16) - 1 };
  expect(world.driver.probe(plan, world.clock.monotonicMs() + 100)).toBe('no memory for the queues');
});

test.each([
  ['a feature that was not offered', featureSet(VIRTIO_F_VERSION_1, 35)],
  ['no VIRTIO_F_VERSION_1', featureSet(VIRTIO_F_RING_EVENT_IDX)],
])('2.2.2 a device refuses %s by not keeping FEATURES_OK', (_, features) => {
  const world = makeWorld();
  world.registers.setFeatures(REG.driverFeatures, features);
  world.registers.set(REG.driverStatus, 1 | 2 | 8);
  world.device.service();
  expect([world.registers.get(REG.statusSeen), world.registers.get(REG.deviceStatus)]).toEqual([11, 3]);
  world.registers.set(REG.driverStatus, 1 | 2 | 8 | 4);
  world.device.service();
  expect(world.log).toEqual(['broken: DRIVER_OK before the features were agreed']);
});

test('2.2.2 a driver whose features are refused gives up', () => {
  const world = makeWorld({ features: featureSet(VIRTIO_F_VERSION_1), wanted: featureSet(VIRTIO_F_VERSION_1, 35) });
  // The device's words claim more than it knows: it will refuse what it did not offer.
  world.registers.setFeatures(REG.deviceFeatures, featureSet(VIRTIO_F_VERSION_1, 35));
  expect(world.probe()).toBe('the device refused the features');
});

test('2.1.1 a device breaks when a driver takes back a status bit', () => {
  const world = makeWorld();
  world.probe();
  world.registers.set(REG.driverStatus, 3);
  world.device.service();
  expect(world.log).toEqual(['ready', 'broken: driver cleared status bits without a reset']);
});

test.each([
  ['queue 1: queue size 3 is not a power of two up to 32768', QUEUE.num, 3],
  ['queue 1: size 256 is larger than 128', QUEUE.num, 256],
  ['queue 1: descriptor table at 4097 is not aligned to 16', QUEUE.desc, 4097],
  [`queue 1: available ring at ${2 ** 32 + RINGS_AT} lies outside the memory`, QUEUE.driver + 4, 1],
  ['queue 2 is ready but queue 1 is not', QUEUE.ready, 0],
])('3.1.1 a device refuses at DRIVER_OK: %s', (reason, word, value) => {
  const world = makeWorld();
  world.probe();
  world.reset();
  for (const index of [0, 1, 2]) {
    world.registers.setQueue(index, { size: 16, descAt: RINGS_AT, availAt: RINGS_AT, usedAt: RINGS_AT });
  }
  world.registers.set(queueRegister(1, word), value);
  for (const status of [3, 11, 15]) {
    world.registers.set(REG.driverStatus, status);
    world.device.service();
  }
  expect(world.log).toEqual(['ready', 'reset', `broken: ${reason}`]);
  expect([world.device.queues.length, world.driver.needsReset]).toEqual([0, true]);
});

test('5.11.2 the notification queue takes index 1 only if it was negotiated', () => {
  const offered = FEATURES_DEFAULT | featureSet(VIRTIO_FS_F_NOTIFICATION);
  const without = makeWorld({ features: offered });
  const withIt = makeWorld({ features: offered, wanted: offered });
  expect([without.probe(), withIt.probe()]).toEqual([undefined, undefined]);
  expect([without.driver.queues.length, without.driver.firstRequestQueue]).toEqual([3, 1]);
  expect([withIt.driver.queues.length, withIt.driver.firstRequestQueue]).toEqual([4, 2]);
  expect([without.device.firstRequestQueue, withIt.device.firstRequestQueue]).toEqual([1, 2]);
});

test('5.11.4 a driver may use fewer request queues than there are', () => {
  const world = makeWorld();
  const plan = { ...PLAN, requestQueueCount: 1 };
  expect(world.driver.probe(plan, world.clock.monotonicMs() + 100)).toBeUndefined();
  expect([world.driver.queues.length, world.device.queues.length]).toEqual([2, 2]);
});

test('2.10 the shared memory region is what the device said, or absent', () => {
  const window = { base: 5 * 2 ** 30, length: 2 ** 33 };
  const withIt = makeWorld({ window });
  expect([withIt.driver.sharedMemoryRegion(0), withIt.driver.sharedMemoryRegion(1)]).toEqual([window, undefined]);
  expect(makeWorld().driver.sharedMemoryRegion(0)).toBeUndefined();
});

test('2.5 a new configuration is a new generation and a configuration interrupt', () => {
  const world = makeWorld();
  world.probe();
  const before = [world.registers.get(REG.configGeneration), world.driver.configInterrupts];
  world.device.setTag('other');
  expect(world.registers.config()?.tag).toBe('other');
  expect([world.registers.get(REG.configGeneration), world.driver.configInterrupts]).toEqual([
    before[0]! + 2,
    before[1]! + 1,
  ]);
  world.registers.set(REG.configGeneration, world.registers.get(REG.configGeneration) + 1);
  expect(world.registers.config()).toBeUndefined();
  expect(world.probe()).toBe('the configuration did not come to rest in time');
});

test('2.4 a reset with requests in flight gives their tokens back and stops late completions', () => {
  const world = makeWorld();
  world.probe();
  const chain = new Chain();
  const queue = world.driver.queues[1]!;
  const old = world.device.queues[1]!;
  for (const token of [5, 6]) queue.add(segments([DATA_AT, 40]), segments([DATA_AT + 64, 16]), token);
  queue.publish();
  old.take(chain);
  expect(world.reset()).toBeUndefined();
  expect([queue.takeUnused(), queue.takeUnused(), queue.takeUnused()].sort()).toEqual([-1, 5, 6]);
  expect([old.broken, world.device.queues.length]).toEqual(['the device was reset', 0]);
  expect(world.probe()).toBeUndefined();
  // The old session's answer comes now; the new session's rings are in the same place.
  old.put(chain.head, 16);
  expect([old.publish(), world.driver.queues[1]!.takeUsed()]).toEqual([false, -1]);
  expect(roundTrip(world, 1)).toBe(true);
});

test('2.4 resets work again and again, in every state', () => {
  const world = makeWorld();
  expect(world.reset()).toBeUndefined();
  for (let round = 0; round < 5; round++) {
    expect([world.probe(), roundTrip(world, 1)]).toEqual([undefined, true]);
    if (round % 2 === 0) world.device.breakDevice('a test');
    if (round % 3 === 0) world.registers.set(REG.driverStatus, 128 | 15);
    world.device.service();
    expect([world.reset(), world.reset(), world.device.state]).toEqual([undefined, undefined, 'reset']);
    expect([world.driver.needsReset, world.registers.get(REG.deviceStatus)]).toEqual([false, 0]);
  }
});

test('2.1.2 a malformed ring sets DEVICE_NEEDS_RESET, a reset heals it, and other devices go on', () => {
  const world = makeWorld();
  const other = makeWorld({ buffer: world.buffer, at: 256 * 1024 });
  expect([world.probe(), other.probe()]).toEqual([undefined, undefined]);
  const interrupts = world.driver.configInterrupts;
  const availAt = world.registers.queue(1)!.availAt;
  world.memory.storeU16(availAt + 2, 999);
  expect([roundTrip(other, 1), world.device.queues[1]!.take(new Chain())]).toEqual([true, false]);
  expect(world.log).toEqual(['ready', 'broken: queue 1: available index jumped from 0 to 999 in a queue of 16']);
  expect([world.driver.needsReset, world.driver.configInterrupts]).toEqual([true, interrupts + 1]);
  expect(roundTrip(world, 0)).toBe(false);
  expect([roundTrip(other, 1), world.probe(), roundTrip(world, 1)]).toEqual([true, undefined, true]);
});

test('3.1.1 a host that does not answer is noticed at the deadline', () => {
  const world = makeWorld({ isHostDead: true });
  expect(world.probe()).toBe('the device did not answer to the features in time');
  expect(world.clock.monotonicMs()).toBe(100);
  expect(world.reset()).toBeUndefined();
});

test('a driver that takes over from one that died starts with a reset', () => {
  const world = makeWorld();
  world.probe();
  const { registers, memory, clock } = world;
  const { kick, interrupt } = world.driver;
  const heir = new VirtioDriver({ registers, memory, kick, interrupt, clock });
  expect(heir.probe(PLAN, clock.monotonicMs() + 100)).toBeUndefined();
  expect(world.log).toEqual(['ready', 'reset', 'ready']);
});

test('the register block has room for 16 queues', () => {
  expect(queueRegister(15, QUEUE.stride)).toBe(REGISTERS_SIZE);
});
