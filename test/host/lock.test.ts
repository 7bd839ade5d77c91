import { describe, expect, test } from 'vitest';
import type { ByteString } from '../../src/base/bytes.ts';
import { ReadOnlyFileSystem } from '../../src/fs/read-only.ts';
import { Caller } from '../../src/host/inode.ts';
import { EAGAIN, EBADF, EINVAL, ESTALE, OK } from '../../src/wire/errno.ts';
import { ok } from './client.ts';
import { LockFile, openEverywhere, READ, UNLOCK, WRITE } from './locks.ts';
import { boot, type World } from './world.ts';

const END = Number.POSITIVE_INFINITY;

/** A world with `/f` open in `count` clients. */
function open(count: number): { world: World; files: LockFile[]; a: LockFile; b: LockFile } {
  const world = boot();
  const files = openEverywhere(world, count);
  return { world, files, a: files[0] as LockFile, b: files[1] as LockFile };
}

describe('ranges of one owner, as fcntl(2) keeps them', () => {
  type Step = readonly [type: number, from: number, to: number];
  test.each<readonly [string, readonly Step[], string]>([
    [
      'neighbours of a type become one',
      [
        [WRITE, 0, 2],
        [WRITE, 3, 5],
      ],
      'wwwwww....',
    ],
    [
      'neighbours of two types stay two',
      [
        [READ, 0, 2],
        [WRITE, 3, 5],
      ],
      'rrrwww....',
    ],
    [
      'a gap is filled',
      [
        [READ, 0, 1],
        [READ, 4, 5],
        [READ, 2, 3],
      ],
      'rrrrrr....',
    ],
    [
      'a write lock in the middle of a read lock splits it',
      [
        [READ, 0, 9],
        [WRITE, 3, 5],
      ],
      'rrrwwwrrrr',
    ],
    [
      'the whole is downgraded',
      [
        [WRITE, 0, 9],
        [READ, 0, 9],
      ],
      'rrrrrrrrrr',
    ],
    [
      'the start is upgraded',
      [
        [READ, 0, 9],
        [WRITE, 0, 3],
      ],
      'wwwwrrrrrr',
    ],
    [
      'the end is upgraded',
      [
        [READ, 0, 9],
        [WRITE, 6, END],
      ],
      'rrrrrrwwww',
    ],
    [
      'unlocking the middle leaves two',
      [
        [WRITE, 0, 9],
        [UNLOCK, 4, 5],
      ],
      'wwww..wwww',
    ],
    [
      'unlocking over the ends',
      [
        [WRITE, 3, 6],
        [UNLOCK, 0, 4],
        [UNLOCK, 6, END],
      ],
      '.....w....',
    ],
    [
      'unlocking everything',
      [
        [WRITE, 1, 2],
        [READ, 5, 6],
        [UNLOCK, 0, END],
      ],
      '..........',
    ],
    [
      'unlocking what is not locked',
      [
        [WRITE, 1, 2],
        [UNLOCK, 4, 9],
      ],
      '.ww.......',
    ],
    [
      'a lock over several replaces them',
      [
        [READ, 1, 2],
        [WRITE, 4, 5],
        [READ, 8, 8],
        [READ, 0, 6],
      ],
      'rrrrrrr.r.',
    ],
    [
      'to the end, then cut short',
      [
        [WRITE, 2, END],
        [UNLOCK, 5, END],
      ],
      '..www.....',
    ],
  ])('%s', (_, steps, map) => {
    const { world, a, b } = open(2);
    for (const [type, from, to] of steps) expect(a.set(type, from, to)).toBe(OK);
    expect(b.map(10)).toBe(map);
    world.check();
  });
});

describe('what excludes what', () => {
  test('readers share, a writer is alone, and GETLK says who is first in the way', () => {
    const [a, b, c] = open(3).files as [LockFile, LockFile, LockFile];
    expect(a.set(READ, 10, 19, { pid: 7 })).toBe(OK);
    expect(b.set(READ, 5, 14, { pid: 8 })).toBe(OK);
    expect(c.set(WRITE, 0, 12)).toBe(EAGAIN);
    expect(c.test(WRITE, 0, END)).toBe('r 5-14 pid 8');
    expect(c.test(WRITE, 15, END)).toBe('r 10-19 pid 7');
    expect(c.test(READ, 0, END)).toBe('free');
    expect(a.set(WRITE, 15, 19)).toBe(OK);
    expect(c.test(READ, 0, END)).toBe('w 15-19 pid 42');
  });

  test('what is locked to the end is reported to the end', () => {
    const { a, b } = open(2);
    a.set(WRITE, 100, END);
    expect(b.test(READ, 2 ** 50, 2 ** 50)).toBe('w 100-end pid 42');
  });

  test('an owner is never in its own way, and owners of one number in two clients are two', () => {
    const { a, b } = open(2);
    expect(a.set(WRITE, 0, END, { owner: 5n })).toBe(OK);
    expect(a.again().set(WRITE, 0, END, { owner: 5n })).toBe(OK);
    expect(a.set(READ, 0, 0, { owner: 6n })).toBe(EAGAIN);
    expect(b.set(READ, 0, 0, { owner: 5n })).toBe(EAGAIN);
    const high = 5n | (1n << 63n);
    expect(a.set(READ, 0, 0, { owner: high })).toBe(EAGAIN);
  });

  test('asked with F_UNLCK, GETLK tells what the owner has itself', () => {
    const { a } = open(1);
    a.set(READ, 3, 4);
    expect(a.test(UNLOCK, 0, END)).toBe('r 3-4 pid 42');
    expect(a.test(UNLOCK, 0, END, { owner: 2n })).toBe('free');
  });

  test('byte ranges and flock locks know nothing of each other', () => {
    const { a, b } = open(2);
    expect(a.set(WRITE, 0, END)).toBe(OK);
    expect(b.flock(WRITE, 1n)).toBe(OK);
    expect(a.flock(READ, 1n)).toBe(EAGAIN);
    expect(b.set(READ, 0, 0)).toBe(EAGAIN);
  });

  test('locks are the file’s, not the name’s', () => {
    const { world, a } = open(1);
    world.client.link(a.nodeid, 1, 'g');
    a.set(WRITE, 0, 9);
    const other = world.attach();
    other.init();
    const entry = other.lookup(1, 'g') as { nodeid: number };
    const b = a.again();
    expect(entry.nodeid).toBe(b.nodeid);
    expect(b.set(READ, 0, 0, { owner: 2n })).toBe(EAGAIN);
  });
});

describe('flock(2)', () => {
  test('is shared or exclusive, converted both ways, and ends with LOCK_UN', () => {
    const { a, b } = open(2);
    expect([a.flock(READ, 1n), b.flock(READ, 1n)]).toEqual([OK, OK]);
    expect(b.flock(UNLOCK, 1n)).toBe(OK);
    expect([a.flock(WRITE, 1n), b.flock(READ, 1n)]).toEqual([OK, EAGAIN]);
    expect([a.flock(READ, 1n), b.flock(READ, 1n)]).toEqual([OK, OK]);
    expect([a.flock(UNLOCK, 1n), b.flock(WRITE, 1n)]).toEqual([OK, OK]);
  });

  test('a conversion that fails has lost the old lock', () => {
    const { a, b } = open(2);
    a.flock(READ, 1n);
    b.flock(READ, 1n);
    expect(a.flock(WRITE, 1n)).toBe(EAGAIN);
    expect(b.flock(WRITE, 1n)).toBe(OK);
  });

  test('two that want to convert do not lock each other up: who waits has given its lock away', () => {
    const { world, a, b } = open(2);
    a.flock(READ, 1n);
    b.flock(READ, 1n);
    const unique = a.waitFlock(WRITE, 1n);
    expect(typeof unique).toBe('bigint');
    expect(b.waitFlock(WRITE, 1n)).toBe(OK);
    b.flock(UNLOCK, 1n);
    expect(a.client.answers).toEqual([{ unique, errno: OK }]);
    world.check();
  });

  test('locking again what one has is nothing', () => {
    const { a, b } = open(2);
    a.flock(READ, 1n);
    b.flock(READ, 1n);
    expect(a.flock(READ, 1n)).toBe(OK);
    expect(b.flock(WRITE, 1n)).toBe(EAGAIN);
  });
});

describe('refused', () => {
  test('a handle that is not open for what the lock protects: EBADF; flock does not mind', () => {
    const { a } = open(1);
    const [reader, writer] = [a.again(0), a.again(1)];
    expect([reader.set(READ, 0, 0), reader.set(WRITE, 0, 0)]).toEqual([OK, EBADF]);
    expect([writer.set(READ, 0, 0), writer.set(WRITE, 0, 0)]).toEqual([EBADF, OK]);
    expect([reader.set(UNLOCK, 0, 0), writer.set(UNLOCK, 0, 0)]).toEqual([OK, OK]);
    expect([reader.flock(WRITE, 5n), writer.flock(READ, 5n)]).toEqual([OK, OK]);
    expect([reader.test(WRITE, 0, 0), writer.test(READ, 0, 0)]).toEqual(['free', 'free']);
  });

  test('a handle that is none, or a file that is none', () => {
    const { a, b } = open(2);
    a.release();
    expect([a.set(READ, 0, 0), a.wait(READ, 0, 0), a.test(READ, 0, 0)]).toEqual([EBADF, EBADF, `errno ${EBADF}`]);
    b.client.forget(b.nodeid, 1);
    expect(b.set(READ, 0, 0)).toBe(ESTALE);
  });

  test('a type that is none, a range that ends before it starts', () => {
    const { a } = open(1);
    expect([a.set(3, 0, 0), a.wait(77, 0, 0), a.set(READ, 5, 4)]).toEqual([EINVAL, EINVAL, EINVAL]);
  });

  test('on a read-only file system nothing: a lock changes no file', () => {
    const world = boot({
      wrap: (fs) => {
        fs.mknod(fs.root, 'f' as ByteString, 0o100644, 0, new Caller());
        return new ReadOnlyFileSystem(fs);
      },
    });
    const { nodeid } = ok(world.client.lookup(1, 'f'));
    const file = new LockFile(world.client, nodeid, world.client.open(nodeid, 0));
    expect([file.set(READ, 0, 0), file.flock(WRITE, 1n)]).toEqual([OK, OK]);
  });
});
