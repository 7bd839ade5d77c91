/** MAP and UNMAP message by message: what is granted, what is asked back, what is refused. */

import { describe, expect, test } from 'vitest';
import { ReadOnlyFileSystem } from '../../src/fs/read-only.ts';
import { Caller } from '../../src/host/inode.ts';
import type { Mapper } from '../../src/host/mapper-types.ts';
import { EBADF, EINVAL, EIO, EISDIR, ENOMEM, ENOSYS, EROFS, type Errno, OK } from '../../src/wire/errno.ts';
import { SetupmappingIn } from '../../src/wire/fuse.ts';
import * as own from '../../src/wire/private.ts';
import { decode, sizeOf } from '../../src/wire/struct.ts';
import { bytes, type Client, ok } from './client.ts';
import { boot, type WorldOptions } from './world.ts';

const UNIT = 2 << 20;
const CHOOSE = 2n ** 64n - 1n;
const { MAP, UNMAP } = own.PRIVATE_OPS;

/** A window of `ranges`, which writes down what it is asked to do. */
class FakeMapper implements Mapper {
  readonly windowSize: number;
  readonly calls: string[] = [];
  /** Set-ups that still succeed. */
  left = Number.POSITIVE_INFINITY;
  readonly used = new Set<number>();

  constructor(ranges: number) {
    this.windowSize = ranges * UNIT;
  }

  setup(inode: { nodeid: number }, foffset: number, len: number, writable: boolean, moffset: number): Errno {
    expect(len).toBe(UNIT);
    this.calls.push(`n${inode.nodeid} ${foffset / UNIT}${writable ? 'w' : 'r'} @${moffset / UNIT}`);
    return --this.left < 0 ? ENOMEM : OK;
  }

  remove(moffset: number, len: number): Errno {
    this.calls.push(`remove ${moffset / UNIT}+${len / UNIT}`);
    return OK;
  }

  takeUsed(moffset: number): boolean {
    return this.used.delete(moffset / UNIT);
  }

  clear(): void {
    this.calls.push('clear');
  }
}

function bootWithWindow(ranges = 4, options: WorldOptions = {}) {
  const world = boot(options);
  const mapper = new FakeMapper(ranges);
  const client = world.attach({ window: mapper, extensions: true });
  // A guest that wants MAP does not offer the other private bit.
  client.init({ flags2: 2 ** 30 });
  mapper.calls.length = 0;
  const maps = client.session.maps as NonNullable<typeof client.session.maps>;
  return { ...world, client, mapper, maps };
}

interface Granted {
  readonly errno: number;
  readonly mapfd: number;
  /** `first+count` of the window, in ranges; '' = nothing. */
  readonly place: string;
  readonly isChosen: boolean;
  /** [mapfd, range] of what is asked back. */
  readonly recalled: readonly (readonly [number, number])[];
}

function map(client: Client, nodeid: number, chunk: number, values: object = {}, room?: number): Granted {
  const args = bytes(own.MapIn, { offset: chunk * UNIT, size: UNIT, moffset: CHOOSE, ...values });
  const { errno, body } = client.sendOpcode(MAP.code, [args], { nodeid, ...(room === undefined ? {} : { room }) });
  if (errno !== OK) return { errno, mapfd: 0, place: '', isChosen: false, recalled: [] };
  const out = decode(own.MapOut, body, 0);
  expect(body.byteLength).toBe(sizeOf(own.MapOut) + out.count * sizeOf(own.MapRange));
  const recalled = Array.from({ length: out.count }, (_, i) => {
    const range = decode(own.MapRange, body, sizeOf(own.MapOut) + i * sizeOf(own.MapRange));
    expect(range.size).toBe(UNIT);
    return [range.mapfd, range.offset / UNIT] as const;
  });
  const place = out.size === 0 ? '' : `${out.offset / UNIT}+${out.size / UNIT}`;
  return { errno, mapfd: out.mapfd, place, isChosen: out.flags === own.MAP_OUT_FLAGS.MAP_CHOSEN, recalled };
}

function unmap(client: Client, entries: readonly (readonly [number, number, number?])[], count = entries.length) {
  const parts = entries.map(([mapfd, range, flags = 0]) =>
    bytes(own.UnmapOne, { mapfd, offset: range * UNIT, size: UNIT, flags }),
  );
  return client.sendOpcode(UNMAP.code, [bytes(own.UnmapIn, { count }), ...parts], { nodeid: 99 }).errno;
}

const PINNED = own.UNMAP_FLAGS.UNMAP_PINNED;
const WRITE = own.MAP_FLAGS.MAP_WRITE;
const RETRY = own.MAP_FLAGS.MAP_RETRY;
const NO_RECALL = own.MAP_FLAGS.MAP_NO_RECALL;

describe('the server chooses', () => {
  test('each chunk gets a free range and a grant of its own; a chunk that is mapped stays where it is', () => {
    const { client, mapper } = bootWithWindow();
    const { nodeid } = ok(client.create(1, 'a'));
    expect(map(client, nodeid, 7)).toMatchObject({ mapfd: 1, place: '0+1', isChosen: true, recalled: [] });
    expect(map(client, nodeid, 3)).toMatchObject({ mapfd: 2, place: '1+1' });
    expect(map(client, nodeid, 7)).toMatchObject({ mapfd: 1, place: '0+1' });
    expect(mapper.calls).toEqual([`n${nodeid} 7r @0`, `n${nodeid} 3r @1`]);
  });

  test('a chunk asked for again with WRITE becomes writable in place', () => {
    const { client, mapper } = bootWithWindow();
    const { nodeid } = ok(client.create(1, 'a'));
    map(client, nodeid, 0);
    expect(map(client, nodeid, 0, { flags: WRITE })).toMatchObject({ mapfd: 1, place: '0+1' });
    expect(map(client, nodeid, 0, { flags: WRITE })).toMatchObject({ mapfd: 1, place: '0+1' });
    expect(mapper.calls).toEqual([`n${nodeid} 0r @0`, `n${nodeid} 0w @0`]);
  });

  test('several chunks come as one piece of the window, or as many as fit', () => {
    const { client } = bootWithWindow(8);
    const { nodeid } = ok(client.create(1, 'a'));
    const first = map(client, nodeid, 0, { size: 3 * UNIT });
    expect(first.place).toBe('0+3');
    expect(map(client, nodeid, 10, { size: 2 * UNIT }).place).toBe('3+2');
    unmap(client, [[first.mapfd, 1]]);
    expect(map(client, nodeid, 20, { size: 4 * UNIT }).place).toBe('5+3');
    expect(map(client, nodeid, 30, { size: 4 * UNIT }).place).toBe('1+1');
  });

  test('a file mapped in order gets more than it asks for, to its end, while half of the window is free', () => {
    const { client, mapper } = bootWithWindow(20, { fs: { sizeLimit: 64 << 20 } });
    const { nodeid } = ok(client.create(1, 'a'));
    ok(client.setattr(nodeid, { valid: 8, size: 9 * UNIT }));
    expect(map(client, nodeid, 0).place).toBe('0+1');
    expect(map(client, nodeid, 1).place).toBe('1+5');
    expect(map(client, nodeid, 6).place).toBe('6+3');
    expect(mapper.calls).toHaveLength(9);
    expect(map(client, nodeid, 100, { size: 3 * UNIT }).place).toBe('9+3');
    // Less than half is free now.
    expect(map(client, nodeid, 103, { size: UNIT }).place).toBe('12+1');
  });

  test('chunks that are mapped already end a grant', () => {
    const { client } = bootWithWindow(8);
    const { nodeid } = ok(client.create(1, 'a'));
    map(client, nodeid, 2);
    expect(map(client, nodeid, 0, { size: 4 * UNIT }).place).toBe('1+2');
  });

  test('what the host has no tables for is not granted', () => {
    const { client, mapper, check } = bootWithWindow(8);
    const { nodeid } = ok(client.create(1, 'a'));
    mapper.left = 2;
    expect(map(client, nodeid, 0, { size: 4 * UNIT }).place).toBe('0+2');
    expect(map(client, nodeid, 5)).toMatchObject({ errno: ENOMEM });
    check();
  });
});

describe('recall', () => {
  /** A window of four with four chunks in it; the last grant brings the first recall. */
  function full() {
    const world = bootWithWindow(4);
    const { nodeid } = ok(world.client.create(1, 'a'));
    const grants = [0, 10, 20, 30].map((chunk) => map(world.client, nodeid, chunk));
    return { ...world, nodeid, grants };
  }

  test('when ranges run short, the reply that grants one asks for the one granted first', () => {
    const { grants } = full();
    expect(grants.map((g) => g.recalled)).toEqual([[], [], [], [[1, 0]]]);
    expect(grants[3]?.place).toBe('3+1');
  });

  test('when none is free the reply grants nothing, and asks again for what was not answered', () => {
    const { client, nodeid } = full();
    expect(map(client, nodeid, 40)).toMatchObject({ errno: OK, mapfd: 0, place: '', recalled: [[1, 0]] });
    expect(unmap(client, [[1, 0]])).toBe(OK);
    expect(map(client, nodeid, 40, { flags: RETRY }).place).toBe('0+1');
  });

  test('ranges whose pages were used since are passed over once', () => {
    const world = bootWithWindow(4);
    const { nodeid } = ok(world.client.create(1, 'a'));
    for (const chunk of [0, 10, 20]) map(world.client, nodeid, chunk);
    world.mapper.used.add(0).add(1);
    expect(map(world.client, nodeid, 30).recalled).toEqual([[3, 2]]);
    unmap(world.client, [[3, 2]]);
    // Those passed over come after the one that was granted meanwhile.
    expect(map(world.client, nodeid, 40).recalled).toEqual([[4, 3]]);
  });

  test('"pinned" makes the server ask for others; when all are, ENOMEM; the next request asks anew', () => {
    const { client, nodeid, check } = full();
    const asked: number[] = [];
    let reply = map(client, nodeid, 40);
    while (reply.errno === OK) {
      expect(reply.place).toBe('');
      for (const [mapfd, range] of reply.recalled) {
        asked.push(range);
        expect(unmap(client, [[mapfd, range, PINNED]])).toBe(OK);
      }
      reply = map(client, nodeid, 40, { flags: RETRY });
    }
    expect(asked.sort()).toEqual([0, 1, 2, 3]);
    expect(reply.errno).toBe(ENOMEM);
    expect(map(client, nodeid, 40)).toMatchObject({ errno: OK, place: '', recalled: [[1, 0]] });
    check();
  });

  test('a range that comes back twice is not taken from whom it was granted to meanwhile', () => {
    const { client, nodeid, mapper, check } = full();
    unmap(client, [[1, 0]]);
    const next = map(client, nodeid, 40);
    expect(next.place).toBe('0+1');
    mapper.calls.length = 0;
    expect(unmap(client, [[1, 0]])).toBe(OK);
    expect(mapper.calls).toEqual([]);
    expect(unmap(client, [[next.mapfd, 0]])).toBe(OK);
    expect(mapper.calls).toEqual(['remove 0+1']);
    check();
  });

  test('a client that wants none is told that nothing is free', () => {
    const { client, nodeid } = full();
    expect(map(client, nodeid, 40, { flags: NO_RECALL }).errno).toBe(ENOMEM);
  });

  test('no more is asked for than the client has room for; without any it hears that nothing is free', () => {
    const { client, nodeid } = full();
    expect(map(client, nodeid, 40, {}, 16 + sizeOf(own.MapOut)).errno).toBe(ENOMEM);
    expect(map(client, nodeid, 40, {}, 15 + sizeOf(own.MapOut)).errno).toBe(EIO);
  });
});

describe('the client wishes', () => {
  test('the reply says that the wish was granted; what was there is replaced', () => {
    const { client, mapper, check, maps } = bootWithWindow();
    const { nodeid } = ok(client.create(1, 'a'));
    expect(map(client, nodeid, 0, { moffset: BigInt(2 * UNIT) })).toMatchObject({ place: '2+1', isChosen: false });
    expect(map(client, nodeid, 1, { moffset: BigInt(2 * UNIT) })).toMatchObject({ place: '2+1', isChosen: false });
    expect(mapper.calls).toEqual([`n${nodeid} 0r @2`, `n${nodeid} 1r @2`]);
    expect(maps.free).toBe(3);
    check();
  });

  test('a chunk that is mapped elsewhere stays there, and the reply says so', () => {
    const { client } = bootWithWindow();
    const { nodeid } = ok(client.create(1, 'a'));
    map(client, nodeid, 0);
    expect(map(client, nodeid, 0, { moffset: BigInt(3 * UNIT) })).toMatchObject({ place: '0+1', isChosen: true });
  });
});

describe('refusals', () => {
  test.each([
    ['an unknown flag', { flags: 8 }],
    ['size 0', { size: 0 }],
    ['a size that is no multiple of 2 MiB', { size: UNIT + 4096 }],
    ['an unaligned offset', { offset: 4096 }],
    ['an offset too far', { offset: 2 ** 53 - UNIT, size: UNIT }],
    ['an unaligned wish', { moffset: 4096n }],
    ['a wish behind the window', { moffset: BigInt(4 * UNIT) }],
    ['a wish that ends behind the window', { moffset: BigInt(3 * UNIT), size: 2 * UNIT }],
    ['a wish beyond 2^53', { moffset: 2n ** 64n - 2n }],
  ])('%s is EINVAL', (_, values) => {
    const { client, mapper } = bootWithWindow();
    const { nodeid } = ok(client.create(1, 'a'));
    expect(map(client, nodeid, 0, values).errno).toBe(EINVAL);
    expect(mapper.calls).toEqual([]);
  });

  test.each([
    ['no entry', [], 0],
    ['a count that lies', [[1, 0]], 2],
    [
      'entries left over',
      [
        [1, 0],
        [1, 0],
      ],
      1,
    ],
    [
      'a range behind the window',
      [
        [1, 0],
        [1, 4],
      ],
      2,
    ],
    ['an unknown flag', [[1, 0, 2]], 1],
  ] as [string, [number, number, number?][], number][])(
    'UNMAP with %s is EINVAL and removes nothing',
    (_, list, count) => {
      const { client, mapper } = bootWithWindow();
      map(client, ok(client.create(1, 'a')).nodeid, 0);
      mapper.calls.length = 0;
      expect(unmap(client, list, count)).toBe(EINVAL);
      expect(mapper.calls).toEqual([]);
    },
  );

  test('a size of more than any window is cut; a message cut short is EINVAL', () => {
    const { client } = bootWithWindow();
    const { nodeid } = ok(client.create(1, 'a'));
    expect(map(client, nodeid, 0, { size: 2 ** 40 }).place).toBe('0+4');
    const args = bytes(own.MapIn, { size: UNIT, moffset: CHOOSE });
    expect(client.sendOpcode(MAP.code, [args], { nodeid, cut: 79 }).errno).toBe(EINVAL);
  });

  test('an unknown inode is EBADF, a directory EISDIR, a symlink EINVAL, writing on a read-only tree EROFS', () => {
    const { client } = bootWithWindow();
    const l = ok(client.symlink(1, 'l', 'x'));
    expect([99, 1, l.nodeid].map((nodeid) => map(client, nodeid, 0).errno)).toEqual([EBADF, EISDIR, EINVAL]);
    const world = bootWithWindow(4, { wrap: (fs) => new ReadOnlyFileSystem(fs) });
    const caller = new Caller();
    world.memory.mknod(world.memory.root, 'a' as never, 0o100644, 0, caller);
    const { nodeid } = ok(world.client.lookup(1, 'a'));
    expect(map(world.client, nodeid, 0, { flags: WRITE }).errno).toBe(EROFS);
    expect(map(world.client, nodeid, 0).errno).toBe(OK);
  });

  test('without the bit there is no MAP; with it, no SETUPMAPPING', () => {
    const { attach, client } = bootWithWindow();
    const plain = attach({ window: new FakeMapper(4) });
    expect(plain.init().flags2 >>> 30).toBe(0);
    const { nodeid } = ok(plain.create(1, 'b'));
    expect([map(plain, nodeid, 0).errno, unmap(plain, [[1, 0]])]).toEqual([ENOSYS, ENOSYS]);
    const setup = bytes(SetupmappingIn, { len: UNIT, flags: 2 });
    expect(client.send('SETUPMAPPING', [setup], { nodeid: ok(client.create(1, 'c')).nodeid }).errno).toBe(EINVAL);
    expect(client.send('REMOVEMAPPING', [new Uint8Array([1, 0, 0, 0]), new Uint8Array(16)]).errno).toBe(EINVAL);
    expect(plain.sendOpcode(0x4d02, []).errno).toBe(ENOSYS);
  });

  test('an end of the session, or a new start, frees everything', () => {
    const { client, maps, check } = bootWithWindow();
    const { nodeid } = ok(client.create(1, 'a'));
    map(client, nodeid, 0);
    expect(maps.free).toBe(3);
    client.init({ flags2: 2 ** 30 });
    expect(maps.free).toBe(4);
    map(client, ok(client.lookup(1, 'a')).nodeid, 0);
    client.send('DESTROY', []);
    expect(maps.free).toBe(4);
    check();
  });
});

describe('SETUPMAPPING with PRIVATE_MAPPED_LENGTH', () => {
  function setup(flags2: number, left: number) {
    const { attach, client: other } = boot();
    const mapper = new FakeMapper(4);
    const client = attach({ window: mapper, extensions: true });
    client.init({ flags2 });
    mapper.left = left;
    const { nodeid } = ok(other.create(1, 'a'));
    ok(client.lookup(1, 'a'));
    const args = bytes(SetupmappingIn, { len: 3 * UNIT, flags: 2 });
    return client.send('SETUPMAPPING', [args], { nodeid });
  }

  test('the reply says how much is mapped, which may be less than was asked for', () => {
    expect(decode(own.SetupmappingOut, setup(2 ** 31, 9).body, 0).len).toBe(3 * UNIT);
    expect(decode(own.SetupmappingOut, setup(2 ** 31, 2).body, 0).len).toBe(2 * UNIT);
    expect(setup(2 ** 31, 0).errno).toBe(ENOMEM);
  });
});
