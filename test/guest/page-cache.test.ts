/** The guest's own page cache: what Linux calls cache=auto and cache=always, without a window. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { File } from '../../src/guest/open-file.ts';
import { ENOSPC } from '../../src/wire/errno.ts';
import { FOPEN_FLAGS } from '../../src/wire/flags.ts';
import { OPS } from '../../src/wire/ops.ts';
import { boot, codeOf, requestsOf, type WorldOptions } from './world.ts';

const PAGE = 4096;
const DAY = 86_400_000;
const KEEP = { openFlags: FOPEN_FLAGS.FOPEN_KEEP_CACHE, attrTimeoutMs: DAY, entryTimeoutMs: DAY, writebackCache: true };

function bootCached(options: WorldOptions = {}, writeback = false) {
  const mount = { pageCacheSize: 256 * PAGE, writeback, ...options.mount };
  return boot({ ...options, session: { ...KEEP, ...options.session }, mount });
}

const pattern = (size: number, seed = 1) =>
  Uint8Array.from({ length: size }, (_, i) => (i * 7 + seed * 31 + (i >> 8)) & 255);
const reads = (names: readonly string[]) => names.filter((name) => name === 'READ').length;
const writes = (names: readonly string[]) => names.filter((name) => name === 'WRITE').length;

function readAt(file: File, pos: number, size: number): Uint8Array {
  const buffer = new Uint8Array(size);
  return buffer.subarray(0, file.read(buffer, 0, size, pos));
}

describe('reading', () => {
  test('a page that was read is not read again', () => {
    const world = bootCached();
    world.guest.writeFile('/a', pattern(PAGE * 3));
    const file = world.guest.open('/a');
    file.stat();
    requestsOf(world.channel);
    expect(readAt(file, 100, 50)).toEqual(pattern(PAGE * 3).subarray(100, 150));
    expect(readAt(file, 100, PAGE * 2)).toEqual(pattern(PAGE * 3).subarray(100, 100 + PAGE * 2));
    expect(readAt(file, 5, PAGE * 5)).toEqual(pattern(PAGE * 3).subarray(5));
    // The READ has set the atime: the read over the end, which wants to know the size, asks for both.
    expect(requestsOf(world.channel)).toEqual(['READ', 'GETATTR']);
    file.close();
    world.check();
    world.unmountAll();
  });

  test('reading in order asks for twice as much each time, up to 128 KiB; else for what is wanted', () => {
    const world = bootCached({ mount: { pageCacheSize: 1024 * PAGE } });
    world.guest.writeFile('/a', pattern(PAGE * 512));
    const file = world.guest.open('/a');
    requestsOf(world.channel);
    for (let page = 0; page < 256; page++) readAt(file, page * PAGE, PAGE);
    // 8 + 16 + 32 × 8 pages.
    expect(reads(requestsOf(world.channel))).toBe(10);
    const before = world.guest.stats.bytes.readFuse;
    for (const page of [500, 400, 300]) readAt(file, page * PAGE, PAGE);
    expect(world.guest.stats.bytes.readFuse - before).toBe(3 * PAGE);
    file.close();
    world.unmountAll();
  });

  test('opening drops the pages, unless the host lets them stay', () => {
    for (const [openFlags, expected] of [
      [0, 1],
      [FOPEN_FLAGS.FOPEN_KEEP_CACHE, 0],
    ] as const) {
      const world = bootCached({ session: { openFlags } });
      world.guest.writeFile('/a', pattern(PAGE));
      world.guest.readFile('/a');
      requestsOf(world.channel);
      world.guest.readFile('/a');
      expect(reads(requestsOf(world.channel))).toBe(expected);
      world.unmountAll();
    }
  });

  test('a file that the host opens for direct I/O is not kept, and cannot be mapped', () => {
    const world = bootCached({ session: { openFlags: FOPEN_FLAGS.FOPEN_DIRECT_IO } });
    world.guest.writeFile('/a', pattern(PAGE));
    const file = world.guest.open('/a');
    requestsOf(world.channel);
    readAt(file, 0, 10);
    readAt(file, 0, 10);
    expect(requestsOf(world.channel)).toEqual(['READ', 'READ']);
    expect(codeOf(() => file.mmap())).toBe('ENODEV');
    file.close();
    world.unmountAll();
  });

  test('new attributes from the host with another mtime drop the pages', () => {
    const world = bootCached({ guests: 2, session: { attrTimeoutMs: 0 } });
    const [a, b] = world.mounted.map((m) => m.guest);
    a?.writeFile('/a', pattern(PAGE));
    const file = a?.open('/a') as File;
    expect(readAt(file, 0, 4)).toEqual(pattern(4));
    const other = b?.open('/a', 'r+') as File;
    other.write(new Uint8Array([9, 9]), 0, 2, 0);
    other.close();
    file.stat();
    expect([...readAt(file, 0, 2)]).toEqual([9, 9]);
    file.close();
    world.unmountAll();
  });

  test('a file larger than the cache is read whole', () => {
    const world = bootCached();
    const data = pattern(PAGE * 1000, 3);
    world.guest.writeFile('/a', data);
    expect(Buffer.compare(world.guest.readFile('/a'), data)).toBe(0);
    expect(Buffer.compare(world.guest.readFile('/a'), data)).toBe(0);
    world.check();
    world.unmountAll();
  });
});

describe('writing through', () => {
  test('the host has each write at once, and the pages here follow', () => {
    const world = bootCached({ guests: 2 });
    const file = world.guest.open('/a', 'w+');
    file.write(pattern(PAGE * 2));
    readAt(file, 0, PAGE * 2);
    requestsOf(world.channel);
    file.write(new Uint8Array([1, 2, 3]), 0, 3, PAGE - 1);
    expect(requestsOf(world.channel)).toEqual(['WRITE']);
    expect([...readAt(file, PAGE - 1, 3)]).toEqual([1, 2, 3]);
    expect(reads(requestsOf(world.channel))).toBe(0);
    expect([...(world.mounted[1]?.guest.readFile('/a').subarray(PAGE - 1, PAGE + 2) ?? [])]).toEqual([1, 2, 3]);
    file.close();
    world.unmountAll();
  });
});

describe('gathering writes', () => {
  test('a thousand small writes are a few WRITE requests, at fsync', () => {
    const world = bootCached({}, true);
    const file = world.guest.open('/a', 'w+');
    requestsOf(world.channel);
    const data = pattern(100_000);
    for (let pos = 0; pos < data.length; pos += 100) file.write(data, pos, 100, pos);
    expect(requestsOf(world.channel)).toEqual([]);
    expect(Buffer.compare(readAt(file, 0, data.length), data)).toBe(0);
    file.sync();
    expect(requestsOf(world.channel)).toEqual(['WRITE', 'FSYNC']);
    file.close();
    expect(Buffer.compare(world.guest.readFile('/a'), data)).toBe(0);
    world.check();
    world.unmountAll();
  });

  test('close writes; another guest that opens afterwards sees it', () => {
    const world = bootCached({ guests: 2, session: { attrTimeoutMs: 0, entryTimeoutMs: 0 } }, true);
    world.guest.writeFile('/a', 'from the first');
    expect(world.mounted[1]?.guest.readFile('/a', 'utf8')).toBe('from the first');
    world.unmountAll();
  });

  test('a stat tells the size and time of what was written', () => {
    const world = bootCached({ guests: 2, session: { attrTimeoutMs: 0 } }, true);
    const file = world.guest.open('/a', 'w');
    file.write(pattern(10));
    expect(file.stat().size).toBe(10);
    expect(world.mounted[1]?.guest.stat('/a').size).toBe(10);
    file.close();
    world.unmountAll();
  });

  test('a write into the middle of a page that is not here reads it first', () => {
    const world = bootCached({}, true);
    world.guest.writeFile('/a', pattern(PAGE));
    world.guest.dropCaches();
    const file = world.guest.open('/a', 'r+');
    file.write(new Uint8Array([7]), 0, 1, 10);
    const expected = pattern(PAGE);
    expected[10] = 7;
    file.close();
    expect(world.guest.readFile('/a')).toEqual(expected);
    world.unmountAll();
  });

  test('a file opened for writing alone can be gathered too', () => {
    const world = bootCached({}, true);
    world.guest.writeFile('/a', pattern(PAGE));
    world.guest.dropCaches();
    const file = world.guest.open('/a', 1);
    file.write(new Uint8Array([7]), 0, 1, 10);
    expect(file.close()).toBeUndefined();
    expect(world.guest.readFile('/a')[10]).toBe(7);
    world.unmountAll();
  });

  test('appends are not gathered: two guests that append do not overwrite each other', () => {
    const world = bootCached({ guests: 2 }, true);
    const [a, b] = world.mounted.map((m) => m.guest.open('/log', 'a+'));
    for (let i = 0; i < 3; i++) {
      a?.write(new TextEncoder().encode('a'));
      b?.write(new TextEncoder().encode('b'));
    }
    a?.close();
    b?.close();
    world.guest.dropCaches();
    expect(world.guest.readFile('/log', 'utf8')).toBe('ababab');
    world.unmountAll();
  });

  test('too many dirty pages, or too old ones, are written without being asked', () => {
    const world = bootCached({}, true);
    const file = world.guest.open('/a', 'w+');
    file.write(pattern(PAGE * 60));
    expect(writes(requestsOf(world.channel))).toBe(0);
    file.write(pattern(PAGE * 10), 0, PAGE * 10, PAGE * 100);
    expect(writes(requestsOf(world.channel))).toBe(2);
    file.write(pattern(1), 0, 1, 0);
    world.clock.advance(6000);
    file.write(pattern(1), 0, 1, 1);
    expect(writes(requestsOf(world.channel))).toBe(1);
    file.close();
    world.check();
    world.unmountAll();
  });

  test('an error of a write nobody waited for comes once, at fsync or close', () => {
    const world = bootCached({}, true);
    const file = world.guest.open('/a', 'w+');
    file.write(pattern(PAGE));
    world.channel.intercept = (request) => (request.opcode === OPS.WRITE.code ? ENOSPC : undefined);
    world.guest.stat('/a');
    world.channel.intercept = () => undefined;
    expect(codeOf(() => file.sync())).toBe('ENOSPC');
    expect(codeOf(() => file.sync())).toBe('OK');
    world.channel.intercept = (request) => (request.opcode === OPS.WRITE.code ? ENOSPC : undefined);
    file.write(pattern(PAGE));
    expect(codeOf(() => file.close())).toBe('ENOSPC');
    world.channel.intercept = () => undefined;
    expect(world.guest.stat('/a').size).toBe(0);
    world.check();
    world.unmountAll();
  });

  test('without the host’s consent every write goes to it', () => {
    const world = bootCached({ session: { writebackCache: false } }, true);
    const file = world.guest.open('/a', 'w');
    requestsOf(world.channel);
    file.write(pattern(10));
    expect(requestsOf(world.channel)).toEqual(['WRITE']);
    file.close();
    world.unmountAll();
  });

  test('a truncated file that grows again reads as zeros', () => {
    const world = bootCached({}, true);
    const file = world.guest.open('/a', 'w+');
    file.write(pattern(PAGE * 2).fill(5));
    file.truncate(100);
    file.truncate(PAGE * 2);
    expect(readAt(file, 99, 3)).toEqual(new Uint8Array([5, 0, 0]));
    expect(readAt(file, PAGE, 3)).toEqual(new Uint8Array(3));
    file.close();
    world.unmountAll();
  });
});

describe('mapping', () => {
  test('loads and stores, before and after the file is closed, reach the host at msync and munmap', () => {
    const world = bootCached({ guests: 2, session: { attrTimeoutMs: 0, entryTimeoutMs: 0, openFlags: 0 } });
    const other = world.mounted[1]?.guest;
    world.guest.writeFile('/a', pattern(PAGE * 2));
    const file = world.guest.open('/a', 'r+');
    const mapping = file.mmap({ writable: true });
    expect(mapping.loadU8(5)).toBe(pattern(6)[5]);
    mapping.storeU32(PAGE - 4, 0x01020304);
    mapping.add32(8, 1);
    mapping.sync();
    expect([...(other?.readFile('/a').subarray(PAGE - 4, PAGE) ?? [])]).toEqual([4, 3, 2, 1]);
    file.close();
    mapping.storeU8(0, 77);
    mapping.unmap();
    expect(other?.readFile('/a')[0]).toBe(77);
    world.check();
    world.unmountAll();
  });

  test('an access beyond the last page is a BusError', () => {
    const world = bootCached();
    world.guest.writeFile('/a', pattern(100));
    const file = world.guest.open('/a', 'r+');
    const mapping = file.mmap({ length: PAGE * 3, writable: true });
    expect(mapping.loadU8(200)).toBe(0);
    expect(codeOf(() => mapping.loadU8(PAGE))).toBe('SIGBUS');
    expect(codeOf(() => mapping.storeU8(PAGE, 1))).toBe('SIGBUS');
    file.truncate(0);
    expect(codeOf(() => mapping.loadU8(0))).toBe('SIGBUS');
    mapping.unmap();
    file.close();
    world.unmountAll();
  });

  test('there is no view of it in place', () => {
    const world = bootCached();
    world.guest.writeFile('/a', pattern(100));
    const mapping = world.guest.open('/a').mmap();
    expect(codeOf(() => mapping.view(0, 10))).toBe('ENODEV');
    world.unmountAll();
  });
});

test.each([1, 2, 3])('files kept open, mapped and cached for ever agree with a model: seed %i', (seed) => {
  const rng = new Prng(seed);
  const world = bootCached({ mount: { pageCacheSize: 80 * PAGE } }, seed % 2 === 1);
  const size = PAGE * 150;
  const open = ['/a', '/b'].map((name) => {
    const file = world.guest.open(name, 'w+');
    file.truncate(size);
    return { file, mapping: file.mmap({ writable: true }), model: new Uint8Array(size) };
  });
  for (let i = 0; i < 1500; i++) {
    const { file, mapping, model } = rng.pick(open);
    const pos = rng.below(size);
    const data = pattern(Math.min(size - pos, 1 + rng.below(rng.chance(0.1) ? PAGE * 20 : 300)), i);
    const action = rng.below(10);
    if (action < 3) file.write(data, 0, data.length, pos);
    else if (action < 6) mapping.write(pos, data);
    if (action < 6) model.set(data, pos);
    else if (action === 6) expect(Buffer.compare(readAt(file, pos, 9000), model.subarray(pos, pos + 9000))).toBe(0);
    else if (action === 7) {
      const back = new Uint8Array(data.length);
      mapping.read(pos, back);
      expect(Buffer.compare(back, model.subarray(pos, pos + back.length))).toBe(0);
    } else if (action === 8) rng.pick([() => file.sync(), () => world.guest.dropCaches(), () => file.stat()])();
    else {
      file.truncate(pos);
      file.truncate(size);
      model.fill(0, pos);
    }
    if (i % 50 === 0) world.check();
  }
  for (const { file, mapping, model } of open) {
    mapping.unmap();
    expect(Buffer.compare(readAt(file, 0, size), model)).toBe(0);
    file.close();
  }
  world.guest.dropCaches();
  for (const [i, name] of ['/a', '/b'].entries()) {
    expect(Buffer.compare(world.guest.readFile(name), open[i]?.model as Uint8Array)).toBe(0);
  }
  world.unmountAll();
});
