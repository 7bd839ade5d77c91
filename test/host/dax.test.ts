import { describe, expect, test } from 'vitest';
import { ReadOnlyFileSystem } from '../../src/fs/read-only.ts';
import { Caller } from '../../src/host/inode.ts';
import type { Mapper } from '../../src/host/mapper-types.ts';
import { EBADF, EINVAL, EISDIR, ENOMEM, ENOSYS, EROFS, type Errno, OK } from '../../src/wire/errno.ts';
import { SetupmappingIn } from '../../src/wire/fuse.ts';
import { bytes, type Client, ok } from './client.ts';
import { boot, type WorldOptions } from './world.ts';

const UNIT = 2 << 20;

/** Writes down what it is asked to do. */
class FakeMapper implements Mapper {
  readonly windowSize = 4 * UNIT;
  readonly calls: string[] = [];
  answer: Errno = OK;

  setup(inode: { nodeid: number }, foffset: number, len: number, writable: boolean, moffset: number): Errno {
    this.calls.push(
      `setup n${inode.nodeid} ${foffset / UNIT}+${len / UNIT} ${writable ? 'w' : 'r'} @${moffset / UNIT}`,
    );
    return this.answer;
  }

  remove(moffset: number, len: number): Errno {
    this.calls.push(`remove ${moffset / UNIT}+${len / UNIT}`);
    return this.answer;
  }

  takeUsed(): boolean {
    return false;
  }

  clear(): void {}
}

function bootWithWindow(options: WorldOptions = {}) {
  const world = boot(options);
  const mapper = new FakeMapper();
  const client = world.attach({ window: mapper });
  client.init();
  return { ...world, client, mapper };
}

function setup(client: Client, nodeid: number, values: object): number {
  const args = bytes(SetupmappingIn, { fh: 2n ** 64n - 1n, len: UNIT, flags: 2, ...values });
  return client.send('SETUPMAPPING', [args], { nodeid }).errno;
}

function remove(client: Client, count: number, entries: readonly (readonly [number, number])[]): number {
  const args = new DataView(new ArrayBuffer(4 + entries.length * 16));
  args.setUint32(0, count, true);
  entries.forEach(([moffset, len], i) => {
    args.setBigUint64(4 + i * 16, BigInt(moffset), true);
    args.setBigUint64(12 + i * 16, BigInt(len), true);
  });
  return client.send('REMOVEMAPPING', [new Uint8Array(args.buffer)], { nodeid: 12345 }).errno;
}

describe('SETUPMAPPING', () => {
  test('maps by inode: the fh is ignored, and the range may lie beyond the end of the file', () => {
    const { client, mapper } = bootWithWindow();
    const a = ok(client.create(1, 'a'));
    expect(setup(client, a.nodeid, { foffset: 6 * UNIT, moffset: 3 * UNIT })).toBe(OK);
    expect(setup(client, a.nodeid, { flags: 3, len: 2 * UNIT })).toBe(OK);
    expect(setup(client, a.nodeid, { flags: 1 })).toBe(OK);
    expect(mapper.calls).toEqual([
      `setup n${a.nodeid} 6+1 r @3`,
      `setup n${a.nodeid} 0+2 w @0`,
      `setup n${a.nodeid} 0+1 w @0`,
    ]);
  });

  test.each([
    ['no READ and no WRITE', { flags: 0 }],
    ['an unknown flag', { flags: 6 }],
    ['len 0', { len: 0 }],
    ['a len that is no multiple of 2 MiB', { len: UNIT + 4096 }],
    ['an unaligned foffset', { foffset: 4096 }],
    ['an unaligned moffset', { moffset: 4096 }],
    ['a range that starts behind the window', { moffset: 4 * UNIT }],
    ['a range that ends behind the window', { moffset: 3 * UNIT, len: 2 * UNIT }],
    ['a sum that overflows', { moffset: 2 ** 53 - UNIT, len: UNIT }],
  ])('%s is EINVAL', (_, values) => {
    const { client, mapper } = bootWithWindow();
    const a = ok(client.create(1, 'a'));
    expect(setup(client, a.nodeid, values)).toBe(EINVAL);
    expect(mapper.calls).toEqual([]);
  });

  test('a field above 2^53 is EINVAL', () => {
    const { client } = bootWithWindow();
    const a = ok(client.create(1, 'a'));
    const args = bytes(SetupmappingIn, { len: UNIT, flags: 2 });
    args.fill(0xff, 8, 16);
    expect(client.send('SETUPMAPPING', [args], { nodeid: a.nodeid }).errno).toBe(EINVAL);
  });

  test('an unknown inode is EBADF, a directory EISDIR, a symlink EINVAL', () => {
    const { client } = bootWithWindow();
    const l = ok(client.symlink(1, 'l', 'x'));
    expect([setup(client, 99, {}), setup(client, 1, {}), setup(client, l.nodeid, {})]).toEqual([EBADF, EISDIR, EINVAL]);
  });

  test('writing on a read-only file system is EROFS', () => {
    const world = bootWithWindow({ wrap: (fs) => new ReadOnlyFileSystem(fs) });
    const caller = Object.assign(new Caller(), { uid: 0, gid: 0, pid: 0, umask: 0 });
    world.memory.mknod(world.memory.root, 'a' as never, 0o100644, 0, caller);
    const { nodeid } = ok(world.client.lookup(1, 'a'));
    expect([setup(world.client, nodeid, { flags: 3 }), setup(world.client, nodeid, { flags: 2 })]).toEqual([EROFS, OK]);
  });

  test('what the mapper answers is passed on', () => {
    const { client, mapper } = bootWithWindow();
    mapper.answer = ENOMEM;
    expect(setup(client, ok(client.create(1, 'a')).nodeid, {})).toBe(ENOMEM);
  });

  test('without a window both requests are ENOSYS', () => {
    const { client } = boot();
    expect([setup(client, 1, {}), remove(client, 1, [[0, UNIT]])]).toEqual([ENOSYS, ENOSYS]);
  });
});

describe('REMOVEMAPPING', () => {
  test('takes a batch; the inode in the header may be long forgotten', () => {
    const { client, mapper } = bootWithWindow();
    expect(
      remove(client, 2, [
        [UNIT, UNIT],
        [0, 4 * UNIT],
      ]),
    ).toBe(OK);
    expect(mapper.calls).toEqual(['remove 1+1', 'remove 0+4']);
  });

  test('goes on after an error', () => {
    const { client, mapper } = bootWithWindow();
    mapper.answer = ENOMEM;
    const entries = [
      [0, UNIT],
      [UNIT, UNIT],
    ] as const;
    expect(remove(client, 2, entries)).toBe(ENOMEM);
    expect(mapper.calls).toHaveLength(2);
  });

  test.each([
    ['no entry', 0, []],
    ['a count that lies', 2, [[0, UNIT]]],
    [
      'entries left over',
      1,
      [
        [0, UNIT],
        [UNIT, UNIT],
      ],
    ],
    ['an unaligned entry', 1, [[4096, UNIT]]],
    ['an empty entry', 1, [[0, 0]]],
    [
      'one bad entry among good ones',
      2,
      [
        [0, UNIT],
        [4 * UNIT, UNIT],
      ],
    ],
  ] as [string, number, [number, number][]][])('%s is EINVAL and removes nothing', (_, count, entries) => {
    const { client, mapper } = bootWithWindow();
    expect(remove(client, count, entries)).toBe(EINVAL);
    expect(mapper.calls).toEqual([]);
  });
});
