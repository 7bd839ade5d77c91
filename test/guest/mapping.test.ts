import { expect, test } from 'vitest';
import { BusError } from '../../src/guest/errors.ts';
import { boot, codeOf, requestsOf } from './world.ts';

const RANGE = 2 * 1024 * 1024;
const NEVER = { attrTimeoutMs: 0, entryTimeoutMs: 0, negativeTimeoutMs: 0 };

function mapped(size = 10_000, ranges = 4) {
  const world = boot({ ranges, guests: 2 });
  const file = world.guest.open('/m', 'w+');
  file.truncate(size);
  return { ...world, file, mapping: file.mmap({ writable: true }) };
}

test('what is stored through a mapping is what read and other guests see', () => {
  const { mapping, mounted, file, unmountAll, check } = mapped();
  mapping.write(4090, new TextEncoder().encode('across a page'));
  const other = mounted[1]?.guest.open('/m', 'r+');
  const theirs = other?.mmap({ writable: true });
  const buffer = new Uint8Array(13);
  theirs?.read(4090, buffer);
  expect(new TextDecoder().decode(buffer)).toBe('across a page');
  theirs?.storeU32(0, 0xdeadbeef);
  expect(mapping.loadU32(0)).toBe(0xdeadbeef);
  file.read(buffer, 0, 4, 0);
  expect([...buffer.subarray(0, 4)]).toEqual([0xef, 0xbe, 0xad, 0xde]);
  check();
  unmountAll();
});

test('loads and stores of every width, aligned and not', () => {
  const { mapping } = mapped();
  mapping.storeU8(1, 0xab);
  mapping.storeU16(2, 0xbeef);
  mapping.storeI32(4, -5);
  mapping.storeF64(8, Math.PI);
  mapping.storeBigU64(16, 0xfedc_ba98_7654_3210n);
  expect([mapping.loadU8(1), mapping.loadU16(2), mapping.loadI32(4)]).toEqual([0xab, 0xbeef, -5]);
  expect([mapping.loadF64(8), mapping.loadBigU64(16)]).toEqual([Math.PI, 0xfedc_ba98_7654_3210n]);
  mapping.storeU32(4093, 0x01020304);
  mapping.storeF64(101, -1.5);
  mapping.storeU16(201, 0x1234);
  expect([mapping.loadU32(4093), mapping.loadF64(101), mapping.loadU16(201)]).toEqual([0x01020304, -1.5, 0x1234]);
  expect(() => mapping.loadU32(9998)).toThrow(RangeError);
});

test('compareExchange32 and add32 are seen by the other guest', () => {
  const { mapping, mounted } = mapped();
  const theirs = mounted[1]?.guest.open('/m', 'r+').mmap({ writable: true });
  expect(mapping.add32(8, 5)).toBe(0);
  expect(theirs?.add32(8, 1)).toBe(5);
  expect(theirs?.compareExchange32(8, 6, 60)).toBe(6);
  expect(mapping.compareExchange32(8, 6, 70)).toBe(60);
  expect(mapping.loadU32(8)).toBe(60);
  expect(() => mapping.add32(2, 1)).toThrow(RangeError);
});

test('an access beyond the last page is a bus error, one inside it is not', () => {
  const { guest } = boot({ ranges: 4 });
  const file = guest.open('/m', 'w+');
  file.truncate(100);
  const mapping = file.mmap({ length: 3 * RANGE, writable: true });
  expect(mapping.loadU8(4095)).toBe(0);
  expect(() => mapping.loadU8(4096)).toThrow(BusError);
  expect(codeOf(() => mapping.storeU8(RANGE + 1, 1))).toBe('SIGBUS');
  file.truncate(RANGE + 10);
  mapping.storeU8(RANGE + 1, 7);
  expect(mapping.loadU8(RANGE + 1)).toBe(7);
});

test('a file cut by another guest is a bus error in a mapping, and the end for read', () => {
  const { mapping, mounted, file } = mapped(3 * 4096);
  mapping.storeU8(9000, 1);
  mounted[1]?.guest.truncate('/m', 10);
  expect(codeOf(() => mapping.loadU8(9000))).toBe('SIGBUS');
  expect(file.read(new Uint8Array(10), 0, 10, 9000)).toBe(0);
  expect(mapping.loadU8(5)).toBe(0);
});

test('a view is zero-copy and keeps its ranges while everything else needs the window', () => {
  const { guest, unmountAll, check } = boot({ ranges: 2 });
  const file = guest.open('/m', 'w+');
  file.truncate(RANGE);
  const mapping = file.mmap({ writable: true });
  const view = mapping.view(4000, 200);
  expect(view.runs.reduce((n, run) => n + run.length, 0)).toBe(200);
  for (let i = 0; i < 5; i++) {
    const other = guest.open(`/o${i}`, 'w+');
    other.truncate(100);
    other.write(Uint8Array.of(i + 1), 0, 1, 50);
    other.close();
  }
  (view.runs[0] as Uint8Array)[0] = 42;
  expect(mapping.loadU8(4000)).toBe(42);
  check();
  view.release();
  view.release();
  for (let i = 0; i < 5; i++) expect(guest.readFile(`/o${i}`)[50]).toBe(i + 1);
  unmountAll();
});

test('a view over two ranges needs both; if there is only one it says so and pins nothing', () => {
  const { guest, check } = boot({ ranges: 1 });
  const file = guest.open('/m', 'w+');
  file.truncate(2 * RANGE);
  const mapping = file.mmap({ writable: true });
  expect(codeOf(() => mapping.view(RANGE - 10, 20))).toBe('ENOMEM');
  expect(guest.mount.dax?.pool.ranges[0]?.refs).toBe(0);
  check();
});

test('with every range pinned, read and write go by request', () => {
  const { guest } = boot({ ranges: 1 });
  const file = guest.open('/m', 'w+');
  file.truncate(100);
  const view = file.mmap().view(0, 100, false);
  guest.writeFile('/other', 'content');
  expect(guest.readFile('/other', 'utf8')).toBe('content');
  expect(guest.stats.bytes.readFuse).toBe(7);
  view.release();
  expect(guest.readFile('/other', 'utf8')).toBe('content');
  expect(guest.stats.bytes.readFuse).toBe(7);
});

test('a mapping outlives the close of its file; RELEASE follows the last unmap', () => {
  const { mapping, file, channel, unmountAll } = mapped();
  file.close();
  mapping.storeU8(0, 9);
  mapping.sync();
  expect(mapping.loadU8(0)).toBe(9);
  requestsOf(channel);
  mapping.unmap();
  mapping.unmap();
  expect(requestsOf(channel)).toEqual(['RELEASE']);
  expect(codeOf(() => mapping.loadU8(0))).toBe('EINVAL');
  unmountAll();
});

test('mmap refuses what cannot be', () => {
  const { guest } = boot({ ranges: 4 });
  guest.writeFile('/m', 'x');
  const reader = guest.open('/m');
  expect(codeOf(() => reader.mmap({ writable: true }))).toBe('EACCES');
  expect(codeOf(() => guest.open('/m', 0o1).mmap())).toBe('EACCES');
  expect(codeOf(() => reader.mmap({ offset: 5 }))).toBe('EINVAL');
  expect(codeOf(() => reader.mmap({ length: 0 }))).toBe('EINVAL');
  expect(codeOf(() => reader.mmap({ shared: false }))).toBe('ENODEV');
  expect(codeOf(() => reader.mmap().storeU8(0, 1))).toBe('EACCES');
  const plain = boot().guest;
  plain.writeFile('/m', 'x');
  expect(codeOf(() => plain.open('/m').mmap())).toBe('ENODEV');
});

test('only writes inside the file go through the window', () => {
  const { guest } = boot({ ranges: 4, session: NEVER });
  const file = guest.open('/a', 'w+');
  file.write(new Uint8Array(100));
  file.write(new Uint8Array(10), 0, 10, 95);
  expect(guest.stats.bytes).toMatchObject({ writtenDax: 0, writtenFuse: 110 });
  file.write(new Uint8Array(10), 0, 10, 95);
  expect(guest.stats.bytes).toMatchObject({ writtenDax: 10, writtenFuse: 110 });
});

test('with dax=inode the host says which files use the window, when they are looked up', () => {
  const { guest } = boot({ ranges: 4, mount: { dax: 'inode' }, session: { usesDax: (attr) => attr.size >= 10 } });
  guest.writeFile('/small', 'x');
  guest.writeFile('/large', '0123456789');
  guest.dropCaches();
  expect(guest.open('/small').isDax).toBe(false);
  expect(guest.open('/large').isDax).toBe(true);
});
