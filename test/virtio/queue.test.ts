import { expect, test } from 'vitest';
import { Chain, contiguousAt, readSegments, SegmentList, slice, writeSegments } from '../../src/virtio/chain.ts';
import { LocalMemory } from '../../src/virtio/memory.ts';
import { ParkedQueue } from '../../src/virtio/parked.ts';
import { makePair, type Pair, partsOf, segments } from './pair.ts';

const NOTHING = segments();

/** The device takes one chain, writes `length` to its reply and gives it back; returns what it took. */
function serveOne(pair: Pair, length: number): { readable: [number, number][]; writable: [number, number][] } {
  const chain = new Chain();
  expect(pair.device.take(chain)).toBe(true);
  pair.device.put(chain.head, length);
  return { readable: partsOf(chain.readable), writable: partsOf(chain.writable) };
}

test.each([
  ['direct', false],
  ['indirect', true],
])('2.7.13 the device sees the segments that the driver added (%s)', (_, indirect) => {
  const pair = makePair({ indirect });
  const readable = segments([8192, 40], [9000, 1]);
  const writable = segments([10000, 16], [20000, 100]);
  expect(pair.driver.add(readable, writable, 7)).toBe(true);
  expect(pair.driver.publish()).toBe(true);
  expect(pair.driver.freeCount).toBe(indirect ? 3 : 0);
  expect(serveOne(pair, 116)).toEqual({ readable: partsOf(readable), writable: partsOf(writable) });
  expect(pair.driver.takeUsed()).toBe(-1);
  expect(pair.device.publish()).toBe(true);
  expect([pair.driver.takeUsed(), pair.driver.usedLength, pair.driver.takeUsed()]).toEqual([7, 116, -1]);
  expect([pair.driver.inFlight, pair.driver.freeCount, pair.device.inFlight]).toEqual([0, 4, 0]);
});

test('2.7.5.3 a request of one segment takes no indirect table', () => {
  const pair = makePair({ indirect: true });
  pair.driver.add(segments([8192, 48]), NOTHING, 1);
  pair.driver.publish();
  expect(pair.memory.getU16(pair.ring.descAt + 12)).toBe(0);
  expect(serveOne(pair, 0)).toEqual({ readable: [[8192, 48]], writable: [] });
});

test('2.7.13 nothing is visible to the device before it is published', () => {
  const pair = makePair();
  pair.driver.add(segments([8192, 1]), NOTHING, 1);
  expect(pair.device.take(new Chain())).toBe(false);
});

test('5.11.6 chains complete in any order, each under its own token', () => {
  const pair = makePair({ size: 8 });
  const chains = [new Chain(), new Chain(), new Chain()];
  for (const [token, chain] of chains.entries()) {
    pair.driver.add(segments([8192, 1]), segments([9000, 10]), 100 + token);
    pair.driver.publish();
    pair.device.take(chain);
  }
  for (const i of [2, 0, 1]) pair.device.put(chains[i]!.head, i);
  pair.device.publish();
  const taken = [0, 1, 2].map(() => [pair.driver.takeUsed(), pair.driver.usedLength]);
  expect(taken).toEqual([
    [102, 2],
    [100, 0],
    [101, 1],
  ]);
});

test('2.7.6 indexes wrap at 65536 with all slots in use', () => {
  const pair = makePair({ size: 4 });
  const chain = new Chain();
  const request = segments([8192, 8]);
  let wrong = 0;
  for (let n = 0; n < 70_000; n++) {
    while (pair.driver.inFlight < 4) pair.driver.add(request, NOTHING, n);
    pair.driver.publish();
    pair.device.take(chain);
    pair.device.put(chain.head, 0);
    pair.device.publish();
    if (pair.driver.takeUsed() < 0) wrong++;
  }
  pair.driver.checkInvariants();
  pair.device.checkInvariants();
  expect([wrong, pair.driver.broken, pair.device.broken]).toEqual([0, undefined, undefined]);
});

test.each([
  ['event index', true],
  ['flags', false],
])('2.7.10 a device that is awake gets no kicks, one that sleeps gets one (%s)', (_, eventIndex) => {
  const pair = makePair({ size: 8, eventIndex });
  const kick = () => {
    pair.driver.add(segments([8192, 1]), NOTHING, 1);
    return pair.driver.publish();
  };
  const chain = new Chain();
  expect([kick(), kick()]).toEqual([true, !eventIndex]);
  pair.device.disableKicks();
  expect([kick(), kick()]).toEqual([false, false]);
  while (pair.device.take(chain)) pair.device.put(chain.head, 0);
  expect(pair.device.enableKicks()).toBe(false);
  expect([kick(), kick()]).toEqual([true, !eventIndex]);
  expect(pair.device.enableKicks()).toBe(true);
});

test.each([
  ['event index', true],
  ['flags', false],
])('2.7.7 a driver that is awake gets no interrupts, one that sleeps gets one (%s)', (_, eventIndex) => {
  const pair = makePair({ size: 8, eventIndex });
  for (let token = 0; token < 6; token++) pair.driver.add(segments([8192, 1]), NOTHING, token);
  pair.driver.publish();
  const interrupt = () => {
    serveOne(pair, 0);
    return pair.device.publish();
  };
  expect([interrupt(), interrupt()]).toEqual([true, !eventIndex]);
  pair.driver.disableInterrupts();
  expect([interrupt(), interrupt()]).toEqual([false, false]);
  while (pair.driver.takeUsed() >= 0);
  expect(pair.driver.enableInterrupts()).toBe(false);
  expect([interrupt(), interrupt()]).toEqual([true, !eventIndex]);
  expect(pair.driver.enableInterrupts()).toBe(true);
});

test('2.7.10 one kick is enough for a whole batch', () => {
  const pair = makePair({ size: 8 });
  for (let token = 0; token < 8; token++) pair.driver.add(segments([8192, 1]), NOTHING, token);
  expect([pair.driver.publish(), pair.driver.publish()]).toEqual([true, false]);
});

test.each([
  ['an id beyond the queue', 99, 0, 1, 'used id 99 is not in flight'],
  ['an id not in flight', 3, 0, 1, 'used id 3 is not in flight'],
  ['an id that is added but not published', 1, 0, 1, 'used id 1 is not in flight'],
  ['a length beyond the writable part', 0, 17, 1, 'used length 17 is larger than the writable 16'],
  ['an index ahead of what is in flight', 0, 0, 2, 'used index jumped from 0 to 2 with 1 in flight'],
])('2.7.8 a driver does not believe a device that returns %s', (_, id, length, index, reason) => {
  const pair = makePair();
  pair.driver.add(segments([8192, 1]), segments([9000, 16]), 5);
  pair.driver.publish();
  pair.driver.add(segments([8192, 1]), NOTHING, 6);
  pair.memory.setU32(pair.ring.usedAt + 4, id);
  pair.memory.setU32(pair.ring.usedAt + 8, length);
  pair.memory.storeU16(pair.ring.usedAt + 2, index);
  expect([pair.driver.takeUsed(), pair.driver.broken]).toEqual([-1, reason]);
  expect([pair.driver.add(segments([8192, 1]), NOTHING, 7), pair.driver.publish()]).toEqual([false, false]);
  expect(new Set([pair.driver.takeUnused(), pair.driver.takeUnused()])).toEqual(new Set([5, 6]));
  expect([pair.driver.takeUnused(), pair.driver.inFlight]).toEqual([-1, 0]);
});

test('2.7.5 what the device does to the descriptor table does not lead the driver astray', () => {
  const pair = makePair({ indirect: false });
  pair.driver.add(segments([8192, 1], [8200, 1]), segments([9000, 16]), 5);
  pair.driver.publish();
  serveOne(pair, 16);
  for (let at = pair.ring.descAt; at < pair.ring.availAt; at += 4) pair.memory.setU32(at, 0xffff_ffff);
  pair.device.publish();
  expect(pair.driver.takeUsed()).toBe(5);
  pair.driver.checkInvariants();
});

test('a closed device queue ignores late completions', () => {
  const pair = makePair();
  pair.driver.add(segments([8192, 1]), NOTHING, 1);
  pair.driver.publish();
  const chain = new Chain();
  pair.device.take(chain);
  pair.device.close('the device was reset');
  pair.device.put(chain.head, 0);
  expect([pair.device.publish(), pair.driver.takeUsed()]).toEqual([false, -1]);
});

test('requests that find the ring full are parked and go out in order, nobody overtaking', () => {
  const pair = makePair({ size: 4 });
  const parked = new ParkedQueue();
  const request = segments([8192, 8], [8200, 8]);
  const tryAdd = (token: number) => pair.driver.add(request, NOTHING, token);
  const done: number[] = [];
  let full = 0;
  for (let token = 0; token < 1000; token++) {
    if (parked.count > 0 || !tryAdd(token)) parked.push(token);
    full = Math.max(full, parked.count);
  }
  for (let round = 0; done.length < 1000 && round < 1000; round++) {
    pair.driver.publish();
    serveOne(pair, 0);
    pair.device.publish();
    for (let token = pair.driver.takeUsed(); token >= 0; token = pair.driver.takeUsed()) done.push(token);
    parked.drain(tryAdd);
  }
  expect(full).toBe(996);
  expect(done).toEqual(Array.from({ length: 1000 }, (_, token) => token));
  expect([parked.count, pair.driver.inFlight]).toEqual([0, 0]);
});

test('copying crosses segments, starts anywhere and stops at the end', () => {
  const memory = new LocalMemory(new ArrayBuffer(4096));
  const list = segments([100, 3], [500, 300], [50, 2]);
  const source = Uint8Array.from({ length: 400 }, (_, i) => i + 1);
  expect(writeSegments(memory, list, 0, source, 10, 390)).toBe(305);
  const copy = new Uint8Array(400);
  expect(readSegments(memory, list, 0, copy, 5, 395)).toBe(305);
  expect(copy.subarray(5, 310)).toEqual(source.subarray(10, 315));
  expect(readSegments(memory, list, 302, copy, 0, 10)).toBe(3);
  expect([...copy.subarray(0, 3)]).toEqual([...source.subarray(312, 315)]);
  expect(readSegments(memory, list, 305, copy, 0, 1)).toBe(0);
});

test('a slice skips bytes and limits size without touching the list', () => {
  const list = segments([100, 3], [500, 300], [50, 2]);
  const into = new SegmentList();
  const parts = (skip: number, size?: number) => {
    slice(list, skip, into, size);
    into.checkInvariants();
    return partsOf(into);
  };
  expect(parts(0)).toEqual(partsOf(list));
  expect(parts(4)).toEqual([
    [501, 299],
    [50, 2],
  ]);
  expect(parts(2, 2)).toEqual([
    [102, 1],
    [500, 1],
  ]);
  expect([parts(305), parts(9999), parts(0, 0)]).toEqual([[], [], []]);
  expect([contiguousAt(list, 4, 299), contiguousAt(list, 4, 300), contiguousAt(list, 303, 2)]).toEqual([501, -1, 50]);
});

test('a 64-bit value above 2^53 is read as something larger than any memory', () => {
  const memory = new LocalMemory(new ArrayBuffer(16));
  memory.setU64(0, 2 ** 53 - 1);
  expect(memory.getU64(0)).toBe(2 ** 53 - 1);
  memory.setU32(0, 0xffff_ffff);
  memory.setU32(4, 0xffff_ffff);
  expect(memory.getU64(0)).toBeGreaterThan(2 ** 53);
});
