/** Waiting for locks, and how locks end. */
import { describe, expect, test } from 'vitest';
import { EAGAIN, EDEADLK, EINTR, ENOLCK, ENOTCONN, OK } from '../../src/wire/errno.ts';
import { LockFile, openEverywhere, READ, UNLOCK, WRITE } from './locks.ts';
import { boot, type World } from './world.ts';

const END = Number.POSITIVE_INFINITY;

/** A world with `/f` open in `count` clients. */
function open(count: number): { world: World; files: LockFile[]; a: LockFile; b: LockFile } {
  const world = boot();
  const files = openEverywhere(world, count);
  return { world, files, a: files[0] as LockFile, b: files[1] as LockFile };
}

describe('waiting', () => {
  test('ends as soon as the range is free, in the order of coming', () => {
    const { world, files } = open(4);
    const [a, b, c, d] = files as [LockFile, LockFile, LockFile, LockFile];
    a.set(WRITE, 0, 9);
    const waits = [b, c, d].map((file) => file.wait(WRITE, 5, 5));
    world.check();
    for (const [index, file] of [b, c, d].entries()) {
      expect(file.client.answers).toEqual([]);
      (index === 0 ? a : ([b, c, d][index - 1] as LockFile)).set(UNLOCK, 0, END);
      expect(file.client.answers).toEqual([{ unique: waits[index], errno: OK }]);
      world.check();
    }
  });

  test('all that can have it are woken at once, past one that cannot', () => {
    const { files } = open(4);
    const [a, b, c, d] = files as [LockFile, LockFile, LockFile, LockFile];
    a.set(WRITE, 0, 9);
    b.wait(WRITE, 0, 20);
    c.wait(READ, 0, 4);
    d.wait(READ, 2, 6);
    a.set(READ, 0, 9);
    expect([b, c, d].map((file) => file.client.answers.length)).toEqual([0, 1, 1]);
  });

  test('a released part is enough', () => {
    const { a, b } = open(2);
    a.set(WRITE, 0, 9);
    b.wait(READ, 4, 4);
    a.set(UNLOCK, 3, 3);
    expect(b.client.answers.length).toBe(0);
    a.set(UNLOCK, 4, 4);
    expect(b.client.answers.length).toBe(1);
  });

  test('other requests of the same client go on meanwhile', () => {
    const { a, b } = open(2);
    a.set(WRITE, 0, 0);
    b.wait(WRITE, 0, 0);
    expect(b.client.write(b.nodeid, b.fh, 0, 'xyz')).toBe(3);
    expect(b.client.getattr(b.nodeid)).toMatchObject({ size: 3 });
  });

  test('INTERRUPT answers EINTR, and a second one, or one for something else, is nobody’s', () => {
    const { world, a, b } = open(2);
    a.set(WRITE, 0, 0);
    const unique = b.wait(WRITE, 0, 0) as bigint;
    a.interrupt(unique);
    b.interrupt(unique + 1n);
    expect(b.client.answers).toEqual([]);
    b.interrupt(unique);
    b.interrupt(unique);
    expect(b.client.answers).toEqual([{ unique, errno: EINTR }]);
    a.set(UNLOCK, 0, 0);
    expect(b.map(1)).toBe('.');
    world.check();
  });

  test('for a transport that cannot wait: ENOLCK', () => {
    const { world, a } = open(1);
    const client = world.attach({}, false);
    client.init();
    client.lookup(1, 'f');
    const fh = client.open(a.nodeid, 2);
    const b = new LockFile(client, a.nodeid, fh);
    a.set(WRITE, 0, 0);
    expect([b.wait(WRITE, 0, 0), b.wait(WRITE, 1, 1)]).toEqual([ENOLCK, OK]);
  });
});

describe('deadlock', () => {
  test('of two owners: who closes the circle gets EDEADLK, and the other its lock', () => {
    const { world, a, b } = open(2);
    a.set(WRITE, 0, 0);
    b.set(WRITE, 1, 1);
    expect(typeof a.wait(WRITE, 1, 1)).toBe('bigint');
    expect(b.wait(WRITE, 0, 0)).toBe(EDEADLK);
    b.set(UNLOCK, 1, 1);
    expect(a.client.answers.length).toBe(1);
    world.check();
  });

  test('of three owners', () => {
    const world = boot();
    const files = openEverywhere(world, 3);
    const [a, b, c] = files as [LockFile, LockFile, LockFile];
    a.set(WRITE, 0, 0);
    b.set(WRITE, 1, 1);
    c.set(WRITE, 2, 2);
    expect(typeof a.wait(READ, 1, 1)).toBe('bigint');
    expect(typeof b.wait(READ, 2, 2)).toBe('bigint');
    expect(c.wait(READ, 0, 0)).toBe(EDEADLK);
    expect(c.wait(READ, 5, 5)).toBe(OK);
  });

  test('of two readers that both want to write', () => {
    const { a, b } = open(2);
    a.set(READ, 0, 0);
    b.set(READ, 0, 0);
    expect(typeof a.wait(WRITE, 0, 0)).toBe('bigint');
    expect(b.wait(WRITE, 0, 0)).toBe(EDEADLK);
  });

  test('is seen through any of several that are in the way', () => {
    const { files } = open(4);
    const [a, b, c, d] = files as [LockFile, LockFile, LockFile, LockFile];
    for (const file of [a, b, c]) file.set(READ, 0, 0);
    d.set(WRITE, 1, 1);
    expect(typeof c.wait(WRITE, 1, 1)).toBe('bigint');
    expect(d.wait(WRITE, 0, 0)).toBe(EDEADLK);
  });

  test('is not looked for among open file descriptions, which have no process', () => {
    const { a, b } = open(2);
    const pid = 0xffffffff;
    a.set(WRITE, 0, 0, { pid });
    b.set(WRITE, 1, 1, { pid });
    expect(typeof a.wait(WRITE, 1, 1, { pid })).toBe('bigint');
    expect(typeof b.wait(WRITE, 0, 0, { pid })).toBe('bigint');
  });
});

describe('locks end', () => {
  test('of a process with any FLUSH of it, whatever handle they came by; not those of others, nor flock', () => {
    const { world, a, b } = open(2);
    const other = a.again(0);
    a.set(WRITE, 0, 0, { owner: 1n });
    a.set(WRITE, 1, 1, { owner: 2n });
    a.flock(READ, 3n);
    expect(other.flush(1n)).toBe(OK);
    expect(b.map(2)).toBe('.w');
    expect(b.flock(WRITE, 1n)).toBe(EAGAIN);
    world.check();
  });

  test('of an open file description with its handle: flock, and ranges nobody flushed', () => {
    const { world, a, b } = open(2);
    const other = a.again();
    other.flock(WRITE, 9n);
    other.set(WRITE, 0, 0, { owner: 9n });
    a.set(WRITE, 1, 1, { owner: 1n });
    b.waitFlock(READ, 1n);
    b.wait(READ, 0, 0);
    expect(other.release(9n)).toBe(OK);
    expect(b.client.answers.map(({ errno }) => errno).sort()).toEqual([OK, OK]);
    expect(b.map(2)).toBe('rw');
    world.check();
  });

  test('of a client that is gone, at once, and whoever waits goes on', () => {
    const { world, files } = open(3);
    const [a, b, c] = files as [LockFile, LockFile, LockFile];
    a.set(WRITE, 0, 9);
    a.flock(WRITE, 1n);
    const one = b.wait(WRITE, 0, 0);
    c.waitFlock(READ, 1n);
    a.client.session.close();
    expect(b.client.answers).toEqual([{ unique: one, errno: OK }]);
    expect(c.client.answers.length).toBe(1);
    world.check();
  });

  test('a client that is gone waits no more', () => {
    const { world, files } = open(3);
    const [a, b, c] = files as [LockFile, LockFile, LockFile];
    a.set(WRITE, 0, 0);
    b.wait(WRITE, 0, 0);
    c.wait(WRITE, 0, 0);
    b.client.session.close();
    a.set(UNLOCK, 0, 0);
    expect(c.client.answers.length).toBe(1);
    world.check();
  });

  test('DESTROY and a second INIT end the locks, and answer what waits', () => {
    const { world, a, b } = open(2);
    a.set(WRITE, 0, 0);
    b.wait(WRITE, 0, 0);
    b.client.init();
    expect(b.client.answers.map(({ errno }) => errno)).toEqual([ENOTCONN]);
    a.client.send('DESTROY', []);
    expect(world.server.locks.size).toBe(0);
    world.check();
  });
});
