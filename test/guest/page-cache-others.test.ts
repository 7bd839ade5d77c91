/** The guest's own page cache among others: other guests, other descriptions, other ways to the same file. */
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Guest } from '../../src/guest/guest.ts';
import type { File } from '../../src/guest/open-file.ts';
import { ENOSPC } from '../../src/wire/errno.ts';
import { FOPEN_FLAGS } from '../../src/wire/flags.ts';
import { O_DIRECT, O_RDWR } from '../../src/wire/mode.ts';
import { OPS } from '../../src/wire/ops.ts';
import type { HostOptions } from '../../src/worker/host-options.ts';
import { createInline, type InlineHost } from '../../src/worker/inline.ts';
import { boot, codeOf, requestsOf } from './world.ts';

const PAGE = 4096;
const FOREVER = { attrTimeoutMs: Number.POSITIVE_INFINITY, entryTimeoutMs: Number.POSITIVE_INFINITY };

interface Pair extends Disposable {
  readonly host: InlineHost;
  /** Gathers writes. */
  readonly a: Guest;
  /** Has no cache. */
  readonly b: Guest;
}

async function pair(options: HostOptions = {}, size = 64): Promise<Pair> {
  const host = await createInline({ guests: 2, windowSize: 0, cache: 'always', ...FOREVER, ...options });
  const a = host.mount({ pageCacheSize: size * PAGE, writeback: true });
  return { host, a, b: host.mount(), [Symbol.dispose]: () => host.stop() };
}

function readAt(file: File, pos: number, size: number): number[] {
  const buffer = new Uint8Array(size);
  return [...buffer.subarray(0, file.read(buffer, 0, size, pos))];
}
const put = (file: File, pos: number, ...bytes: number[]) => file.write(Uint8Array.from(bytes), 0, bytes.length, pos);
const bytes = (size: number, value: number) => new Uint8Array(size).fill(value);

function bootGathering(guests = 1) {
  const session = { openFlags: FOPEN_FLAGS.FOPEN_KEEP_CACHE, attrTimeoutMs: 9e7, entryTimeoutMs: 9e7 };
  const mount = { pageCacheSize: 64 * PAGE, writeback: true };
  return boot({ guests, session: { ...session, writebackCache: true }, mount });
}

test('a page that was just read does not make room for what was read ahead with it', async () => {
  using world = await pair();
  const { a, b } = world;
  b.writeFile('/a', bytes(64 * PAGE, 1));
  b.writeFile('/b', bytes(64 * PAGE, 2));
  using file = a.open('/a');
  using other = a.open('/b');
  using writer = b.open('/a', 'r+');
  for (let page = 2; page < 64; page += 6) {
    readAt(file, 0, 64 * PAGE);
    put(writer, page * PAGE, 3);
    // One slot is free now, a little ahead of where the clock stands.
    readAt(file, (page + 1) * PAGE, 1);
    expect(readAt(other, 0, 32 * PAGE).length, `page ${page}`).toBe(32 * PAGE);
    b.truncate('/b', 0);
    b.truncate('/b', 64 * PAGE);
  }
});

describe('a mapping larger than the cache', () => {
  test('keeps every byte when room is made by writing', async () => {
    using world = await pair();
    const { a, b } = world;
    const data = Uint8Array.from({ length: 200 * PAGE }, (_, i) => (i * 7 + (i >> 12) * 13) & 255);
    b.writeFile('/a', data);
    const file = a.open('/a', 'r+');
    const mapping = file.mmap({ writable: true });
    for (let page = 0; page < 200; page++) {
      mapping.storeU8(page * PAGE + 5, 99);
      data[page * PAGE + 5] = 99;
    }
    mapping.unmap();
    file.close();
    expect(Buffer.compare(b.readFile('/a'), data)).toBe(0);
  });

  test('a store over the end is a BusError, and leaves nothing behind the end', async () => {
    using world = await pair();
    const file = world.a.open('/a', 'w+');
    put(file, 0, 1, 2, 3);
    const mapping = file.mmap({ length: 4 * PAGE, writable: true });
    expect(codeOf(() => mapping.write(0, bytes(3 * PAGE, 7)))).toBe('SIGBUS');
    file.truncate(3 * PAGE);
    expect(readAt(file, PAGE, 2 * PAGE)).toEqual([...bytes(2 * PAGE, 0)]);
  });

  test('what was stored behind the end is gone when the file grows, whoever lets it grow', async () => {
    using world = await pair();
    const { a, b } = world;
    const file = a.open('/a', 'w+');
    const mapping = file.mmap({ length: PAGE, writable: true });
    const grow = [
      (size: number) => put(file, size - 1, 1),
      (size: number) => file.truncate(size),
      (size: number) => file.allocate(0, size),
      (size: number) => b.truncate('/a', size),
      (size: number) => put(b.open('/a', 'r+'), size - 1, 1),
    ];
    let size = 10;
    for (const one of grow) {
      file.truncate(size);
      mapping.write(size - 2, bytes(10, 7));
      one(size + 100);
      expect(readAt(file, size - 2, 10)).toEqual([7, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
      file.sync();
      expect([...b.readFile('/a').subarray(size - 2, size + 8)]).toEqual([7, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
      size += 100;
    }
  });

  test('loads see what another guest wrote, and where it cut', async () => {
    using world = await pair();
    const { a, b } = world;
    b.writeFile('/a', bytes(2 * PAGE, 1));
    const mapping = a.open('/a', 'r+').mmap({ writable: true });
    expect([mapping.loadU8(0), mapping.loadU8(PAGE)]).toEqual([1, 1]);
    using other = b.open('/a', 'r+');
    put(other, 0, 9);
    expect(mapping.loadU8(0)).toBe(9);
    other.truncate(PAGE);
    expect(codeOf(() => mapping.loadU8(PAGE))).toBe('SIGBUS');
    other.truncate(2 * PAGE);
    expect(mapping.loadU8(PAGE)).toBe(0);
  });
});

describe('gathered writes and another guest', () => {
  test('two guests that write different bytes of one page lose neither', async () => {
    using world = await pair();
    const { a, b } = world;
    b.writeFile('/a', bytes(PAGE, 0));
    using mine = a.open('/a', 'r+');
    using theirs = b.open('/a', 'r+');
    put(mine, 10, 1);
    put(theirs, 20, 2);
    put(mine, 30, 3);
    put(theirs, 25, 4);
    mine.sync();
    expect([10, 20, 25, 30].map((pos) => readAt(theirs, pos, 1)[0])).toEqual([1, 2, 4, 3]);
    expect([10, 20, 25, 30].map((pos) => readAt(mine, pos, 1)[0])).toEqual([1, 2, 4, 3]);
    a.mount.checkInvariants();
  });

  test('a file that was cut does not come back with old bytes', async () => {
    using world = await pair();
    const { a, b } = world;
    b.writeFile('/a', bytes(2 * PAGE, 5));
    using mine = a.open('/a', 'r+');
    put(mine, 3, 1);
    b.truncate('/a', 0);
    mine.sync();
    expect([...b.readFile('/a')]).toEqual([0, 0, 0, 1]);
    expect(mine.stat().size).toBe(4);
    expect(readAt(mine, 0, 100)).toEqual([0, 0, 0, 1]);
  });

  test('what was gathered does not outlive an O_TRUNC of our own', async () => {
    using world = await pair();
    using mine = world.a.open('/a', 'w+');
    put(mine, 5000, 1);
    world.a.open('/a', 'w').close();
    expect(mine.stat().size).toBe(0);
    put(mine, 0, 1);
    world.b.truncate('/a', 0);
    mine.sync();
    expect(mine.stat().size).toBe(1);
  });

  test('a write at the start of a page that the file has got meanwhile leaves the rest of it', async () => {
    using world = await pair();
    const { a, b } = world;
    using mine = a.open('/a', 'w+');
    using theirs = b.open('/a', 'r+');
    put(theirs, 0, 1, 2, 3, 4);
    put(mine, 0, 9);
    expect(readAt(mine, 0, 10)).toEqual([9, 2, 3, 4]);
    mine.sync();
    expect(readAt(theirs, 0, 10)).toEqual([9, 2, 3, 4]);
  });

  test('what was written under a lock is seen by who gets the lock next', async () => {
    using world = await pair();
    const { a, b } = world;
    using mine = a.open('/a', 'w+');
    using theirs = b.open('/a', 'r+');
    for (const unlock of [() => mine.lock({ type: 'unlock' }), () => a.open('/a').close()]) {
      mine.lock({ type: 'exclusive' });
      const value = (readAt(mine, 0, 1)[0] ?? 0) + 1;
      put(mine, 0, value);
      expect(codeOf(() => theirs.lock({ type: 'exclusive' }))).toBe('EAGAIN');
      unlock();
      theirs.lock({ type: 'exclusive' });
      expect(readAt(theirs, 0, 1)).toEqual([value]);
      theirs.lock({ type: 'unlock' });
    }
  });

  test('an answer about its name does not hide when it was written', () => {
    const world = bootGathering(2);
    world.guest.writeFile('/a', 'x');
    const before = world.guest.stat('/a').mtimeMs;
    const file = world.guest.open('/a', 'r+');
    world.clock.advance(5000);
    put(file, 0, 1);
    world.guest.link('/a', '/b');
    expect(world.guest.stat('/b').mtimeMs).toBeGreaterThan(before);
    file.close();
    world.unmountAll();
  });
});

describe('errors', () => {
  test('each description that was open is told once, and dropping caches tells nobody', () => {
    const world = bootGathering();
    const files = ['w+', 'r+'].map((flags) => world.guest.open('/a', flags));
    put(files[0] as File, 0, 1);
    world.channel.intercept = (request) => (request.opcode === OPS.WRITE.code ? ENOSPC : undefined);
    world.guest.dropCaches();
    world.channel.intercept = () => undefined;
    const later = world.guest.open('/a', 'r+');
    for (const file of [...files, later]) {
      expect(codeOf(() => file.sync())).toBe('ENOSPC');
      expect(codeOf(() => file.sync())).toBe('OK');
    }
    const last = world.guest.open('/a', 'r+');
    for (const file of [...files, later, last]) expect(codeOf(() => file.close())).toBe('OK');
    expect(codeOf(() => world.guest.sync())).toBe('ENOSPC');
    expect(codeOf(() => world.guest.sync())).toBe('OK');
    world.unmountAll();
  });
});

describe('other ways to the file', () => {
  test('O_DIRECT goes to the host, and sees what was gathered', () => {
    const world = bootGathering();
    const cached = world.guest.open('/a', 'w+');
    put(cached, 0, 1, 2);
    const direct = world.guest.open('/a', O_RDWR | O_DIRECT);
    requestsOf(world.channel);
    expect(readAt(direct, 0, 2)).toEqual([1, 2]);
    put(direct, 1, 3);
    readAt(direct, 0, 2);
    expect(requestsOf(world.channel)).toEqual(['WRITE', 'READ', 'WRITE', 'READ']);
    expect(readAt(cached, 0, 2)).toEqual([1, 3]);
    direct.close();
    cached.close();
    world.unmountAll();
  });

  test('an atime that a read has set is seen', () => {
    const world = bootGathering();
    world.guest.writeFile('/a', bytes(PAGE, 1));
    world.guest.dropCaches();
    const file = world.guest.open('/a');
    const before = file.stat().atimeMs;
    world.clock.advance(5000);
    readAt(file, 0, 1);
    expect(file.stat().atimeMs).toBe(before + 5000);
    file.close();
    world.unmountAll();
  });

  test('a directory’s file that others on the host changed is read again', async () => {
    const path = mkdtempSync(join(tmpdir(), 'virtiofs-pages-'));
    try {
      writeFileSync(join(path, 'a'), 'old');
      using world = await pair({ fs: `dir:${path}`, attrTimeoutMs: 0 });
      using file = world.a.open('/a', 'r+');
      expect(readAt(file, 0, 3)).toEqual([...Buffer.from('old')]);
      writeFileSync(join(path, 'a'), 'new');
      utimesSync(join(path, 'a'), 1, 1);
      file.stat();
      expect(readAt(file, 0, 3)).toEqual([...Buffer.from('new')]);
    } finally {
      rmSync(path, { recursive: true });
    }
  });
});
