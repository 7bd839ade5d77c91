/** A driver that breaks the rules: every case stops its own queue with a reason, and nothing else. */
import { expect, test } from 'vitest';
import { Chain } from '../../src/virtio/chain.ts';
import { makePair, type Pair, type PairOptions, partsOf, segments } from './pair.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const SIZE = 4;
const MEMORY = 1 << 16;
const TABLE = 0x4000;
const DATA = 0x8000;

interface Desc {
  readonly addr?: number;
  readonly len?: number;
  readonly flags?: number;
  readonly next?: number;
}

/** What the driver writes: descriptors of the ring, of an indirect table, the ring entry and the index. */
interface Attack extends PairOptions {
  readonly desc?: readonly Desc[];
  readonly table?: readonly Desc[];
  readonly head?: number;
  readonly index?: number;
}

function writeDescs(pair: Pair, at: number, descs: readonly Desc[]): void {
  for (const [i, desc] of descs.entries()) {
    pair.memory.setU64(at + 16 * i, desc.addr ?? DATA);
    pair.memory.setU32(at + 16 * i + 8, desc.len ?? 8);
    pair.memory.setU16(at + 16 * i + 12, desc.flags ?? 0);
    pair.memory.setU16(at + 16 * i + 14, desc.next ?? 0);
  }
}

function attack(change: Attack): Pair {
  const pair = makePair({ size: SIZE, ...change });
  writeDescs(pair, pair.ring.descAt, change.desc ?? []);
  writeDescs(pair, TABLE, change.table ?? []);
  pair.memory.setU16(pair.ring.availAt + 4, change.head ?? 0);
  pair.memory.storeU16(pair.ring.availAt + 2, change.index ?? 1);
  return pair;
}

const pointer = (count: number, flags = INDIRECT): Desc => ({ addr: TABLE, len: 16 * count, flags });
const loop: Desc[] = [{ flags: NEXT, next: 1 }, { flags: NEXT, next: 0 }, {}, {}];

const cases: readonly (readonly [string, Attack, string])[] = [
  ['2.7.6 an available index that jumps ahead', { index: 5 }, 'available index jumped from 0 to 5 in a queue of 4'],
  [
    '2.7.6 an available index that goes back',
    { index: 0xffff },
    'available index jumped from 0 to 65535 in a queue of 4',
  ],
  ['2.7.6 a head out of range', { head: 4 }, 'head 4 is not below the queue size 4'],
  ['2.7.5 a next out of range', { desc: [{ flags: NEXT, next: 4 }] }, 'next 4 is not below the queue size 4'],
  ['2.7.5 a loop', { desc: loop }, 'chain is longer than the queue size 4, or loops'],
  [
    '2.7.5 a descriptor that points at itself',
    { desc: [{ flags: NEXT }] },
    'chain is longer than the queue size 4, or loops',
  ],
  [
    '2.7.5 an address beyond the memory',
    { desc: [{ addr: MEMORY }] },
    'descriptor at 65536 + 8 lies outside the memory',
  ],
  [
    '2.7.5 an end beyond the memory',
    { desc: [{ addr: MEMORY - 7 }] },
    'descriptor at 65529 + 8 lies outside the memory',
  ],
  [
    '2.7.5 an address and length that overflow 64 bits',
    { desc: [{ addr: 2 ** 64 - 2048, len: 4096 }] },
    `descriptor at ${2 ** 64 - 2048} + 4096 lies outside the memory`,
  ],
  [
    '2.7.5 a length beyond the memory',
    { desc: [{ addr: 0, len: 2 ** 32 - 1 }] },
    'descriptor at 0 + 4294967295 lies outside the memory',
  ],
  [
    '2.7.4.2 a writable descriptor before a readable one',
    { desc: [{ flags: WRITE | NEXT, next: 1 }, {}] },
    'readable descriptor after a writable one',
  ],
  [
    '2.7.4.2 an empty writable descriptor before a readable one',
    { desc: [{ len: 0, flags: WRITE | NEXT, next: 1 }, {}] },
    'readable descriptor after a writable one',
  ],
  [
    '2.7.5.3.1 an indirect table that was not negotiated',
    { indirect: false, desc: [pointer(1)], table: [{}] },
    'indirect descriptor without VIRTIO_F_RING_INDIRECT_DESC',
  ],
  [
    '2.7.5.3.1 an indirect table inside another',
    { desc: [pointer(1)], table: [pointer(1)] },
    'indirect table inside an indirect table',
  ],
  [
    '2.7.5.3.1 INDIRECT together with NEXT',
    { desc: [pointer(1, INDIRECT | NEXT)], table: [{}] },
    'descriptor has both INDIRECT and NEXT',
  ],
  [
    '2.7.5.3 an indirect table that is no multiple of 16',
    { desc: [{ ...pointer(1), len: 24 }] },
    'indirect table of 24 bytes is not a multiple of 16',
  ],
  ['2.7.5.3 an indirect table without entries', { desc: [pointer(0)] }, 'indirect table is empty'],
  [
    '2.7.5.3.1 an indirect table longer than the queue',
    { desc: [pointer(5)] },
    'indirect table of 5 is longer than the queue size 4',
  ],
  [
    '2.7.5.3 an indirect table beyond the memory',
    { desc: [{ ...pointer(2), addr: MEMORY - 16 }] },
    'indirect table at 65520 + 32 lies outside the memory',
  ],
  [
    '2.7.5.3 a next beyond the indirect table',
    { desc: [pointer(1)], table: [{ flags: NEXT, next: 1 }] },
    "next 1 is not below the indirect table's 1",
  ],
  [
    '2.7.5.3 a loop in an indirect table',
    { desc: [pointer(2)], table: loop },
    'chain is longer than its indirect table of 2, or loops',
  ],
  [
    '2.7.5.3.1 ordinary descriptors and a table that together are longer than the queue',
    {
      desc: [{ flags: NEXT, next: 1 }, pointer(4)],
      table: [1, 2, 3, 0].map((next) => ({ flags: next === 0 ? 0 : NEXT, next })),
    },
    'chain is longer than the queue size 4, or loops',
  ],
  ['2.7.4 a chain without bytes', { desc: [{ len: 0 }] }, 'chain has no bytes'],
];

test.each(cases)('%s breaks the queue', (_, change, reason) => {
  const pair = attack(change);
  const chain = new Chain();
  expect([pair.device.take(chain), pair.device.broken]).toEqual([false, reason]);
  // From then on nothing is taken, not even what is well formed.
  writeDescs(pair, pair.ring.descAt, [{}]);
  expect([pair.device.take(chain), pair.device.enableKicks(), pair.device.publish()]).toEqual([false, false, false]);
  expect(pair.device.inFlight).toBe(0);
});

test('2.7.6 a head made available twice breaks the queue', () => {
  const pair = attack({ desc: [{}], index: 2 });
  expect(pair.device.take(new Chain())).toBe(true);
  pair.memory.setU16(pair.ring.availAt + 6, 0);
  expect([pair.device.take(new Chain()), pair.device.broken]).toEqual([false, 'head 0 is already in flight']);
});

test('2.7.6 an index that counts slots the device still holds breaks the queue', () => {
  const pair = attack({ desc: [{}], index: 1 });
  pair.device.take(new Chain());
  pair.memory.storeU16(pair.ring.availAt + 2, 5);
  expect(pair.device.take(new Chain())).toBe(false);
  expect(pair.device.broken).toBe('available index jumped from 1 to 5 in a queue of 4');
});

test('2.7.5.2 a chain longer than 2^32 bytes breaks the queue', () => {
  // A memory that claims to be huge: its rings are real, and nothing reads the segments.
  const pair = makePair({ size: SIZE });
  const huge = Object.create(pair.memory, { size: { value: 2 ** 40 } }) as typeof pair.memory;
  for (const name of ['getU16', 'getU32', 'getU64', 'loadU16'] as const) {
    Object.defineProperty(huge, name, { value: pair.memory[name].bind(pair.memory) });
  }
  const device = new (Object.getPrototypeOf(pair.device).constructor)(huge, pair.ring, {
    eventIndex: true,
    indirect: true,
  });
  const len = 2 ** 31;
  writeDescs(pair, pair.ring.descAt, [{ len, flags: NEXT, next: 1 }, { len, flags: NEXT, next: 2 }, { len: 1 }]);
  pair.memory.storeU16(pair.ring.availAt + 2, 1);
  expect([device.take(new Chain()), device.broken]).toEqual([false, 'chain of 4294967297 bytes is longer than 2^32']);
});

test('2.7.5.3.2 the WRITE flag of a descriptor that points to a table is ignored', () => {
  const pair = attack({ desc: [pointer(1, INDIRECT | WRITE)], table: [{}] });
  const chain = new Chain();
  expect([pair.device.take(chain), partsOf(chain.readable), chain.writable.count]).toEqual([true, [[DATA, 8]], 0]);
});

test('2.7.5.3.2 ordinary descriptors may be followed by one that points to a table', () => {
  const pair = attack({
    desc: [{ addr: DATA, flags: NEXT, next: 2 }, {}, { addr: DATA + 100, flags: NEXT, next: 1 }],
    table: [
      { addr: DATA + 200, flags: NEXT | WRITE, next: 1 },
      { addr: DATA + 300, flags: WRITE },
    ],
  });
  writeDescs(pair, pair.ring.descAt + 16, [pointer(2)]);
  const chain = new Chain();
  expect(pair.device.take(chain)).toBe(true);
  expect([partsOf(chain.readable), partsOf(chain.writable)]).toEqual([
    [
      [DATA, 8],
      [DATA + 100, 8],
    ],
    [
      [DATA + 200, 8],
      [DATA + 300, 8],
    ],
  ]);
});

test('2.7.5 empty descriptors are no bytes, wherever they point', () => {
  const pair = attack({
    desc: [
      { addr: 2 ** 63, len: 0, flags: NEXT, next: 1 },
      { flags: NEXT, next: 2 },
      { addr: 2 ** 63, len: 0, flags: WRITE },
    ],
  });
  const chain = new Chain();
  expect([pair.device.take(chain), partsOf(chain.readable), chain.writable.count]).toEqual([true, [[DATA, 8]], 0]);
});

test('2.7 a chain as long as the queue is taken', () => {
  const pair = attack({ desc: [1, 2, 3, 0].map((next) => ({ flags: next === 0 ? 0 : NEXT, next })) });
  const chain = new Chain();
  expect([pair.device.take(chain), chain.readable.count]).toEqual([true, 4]);
});

test('a broken queue leaves the other queues of the same memory alone', () => {
  const buffer = new ArrayBuffer(MEMORY);
  const good = makePair({ buffer, at: 0x2000 });
  const bad = attack({ buffer, head: 9 });
  const chain = new Chain();
  expect(bad.device.take(chain)).toBe(false);
  good.driver.add(segments([DATA, 8]), segments(), 3);
  good.driver.publish();
  expect(good.device.take(chain)).toBe(true);
  good.device.put(chain.head, 0);
  good.device.publish();
  expect([good.driver.takeUsed(), good.device.broken]).toEqual([3, undefined]);
});
