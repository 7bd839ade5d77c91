import { describe, expect, test } from 'vitest';
import type { Guest } from '../../src/guest/guest.ts';
import { boot, codeOf, requestsOf, type World } from './world.ts';

function open(guests = 2): { world: World; a: Guest; b: Guest } {
  const world = boot({ guests });
  const [a, b] = world.mounted.map(({ guest }) => guest) as [Guest, Guest];
  a.writeFile('/f', 'content');
  requestsOf(world.channel);
  return { world, a, b };
}

describe('byte ranges of the guest as a process', () => {
  test('exclude other guests, not itself, and getLock tells who has them', () => {
    const { world, a, b } = open();
    const [mine, again, theirs] = [a.open('/f', 'r+'), a.open('/f', 'r+'), b.open('/f', 'r+')];
    mine.lock({ type: 'exclusive', start: 10, length: 5 });
    again.lock({ type: 'exclusive', start: 10, length: 5 });
    expect(codeOf(() => theirs.lock({ type: 'shared', start: 14, length: 1 }))).toBe('EAGAIN');
    theirs.lock({ type: 'exclusive', start: 15 });
    expect(theirs.getLock('exclusive')).toEqual({ type: 'exclusive', start: 10, length: 5, pid: 1 });
    expect(mine.getLock('shared')).toEqual({ type: 'exclusive', start: 15, length: 0, pid: 1 });
    expect(mine.getLock('exclusive', { start: 0, length: 15 })).toBeNull();
    mine.lock({ type: 'unlock' });
    expect(theirs.getLock('exclusive')).toBeNull();
    world.check();
  });

  test('end when any descriptor of the file is closed, a reader’s too, and only then FLUSH is sent for one', () => {
    const { world, a, b } = open();
    const mine = a.open('/f', 'r+');
    const theirs = b.open('/f', 'r+');
    a.open('/f').close();
    expect(requestsOf(world.channel)).not.toContain('FLUSH');
    mine.lock({ type: 'exclusive' });
    a.open('/f').close();
    expect(requestsOf(world.channel)).toContain('FLUSH');
    theirs.lock({ type: 'exclusive' });
    a.open('/f').close();
    expect(requestsOf(world.channel)).not.toContain('FLUSH');
    world.check();
  });

  test('need a descriptor that is open for what they protect', () => {
    const { a } = open();
    const [reader, writer] = [a.open('/f', 'r'), a.open('/f', 'a')];
    expect(codeOf(() => reader.lock({ type: 'exclusive' }))).toBe('EBADF');
    expect(codeOf(() => writer.lock({ type: 'shared' }))).toBe('EBADF');
    reader.lock({ type: 'shared' });
    reader.close();
    expect(codeOf(() => reader.lock({ type: 'unlock' }))).toBe('EBADF');
    expect(codeOf(() => reader.getLock('shared'))).toBe('EBADF');
  });
});

describe('locks of an open file', () => {
  test('exclude other open files of the same guest, and survive the close of another', () => {
    const { world, a } = open();
    const [one, two] = [a.open('/f', 'r+'), a.open('/f', 'r+')];
    one.lock({ type: 'exclusive', owner: 'file', start: 0, length: 1 });
    expect(codeOf(() => two.lock({ type: 'shared', owner: 'file' }))).toBe('EAGAIN');
    expect(codeOf(() => two.lock({ type: 'shared' }))).toBe('EAGAIN');
    expect(two.getLock('shared')).toEqual({ type: 'exclusive', start: 0, length: 1, pid: -1 });
    a.open('/f').close();
    expect(codeOf(() => two.lock({ type: 'shared' }))).toBe('EAGAIN');
    one.close();
    two.lock({ type: 'shared' });
    world.check();
  });
});

describe('flock', () => {
  test('is the open file’s, is converted, and ends with it', () => {
    const { world, a, b } = open();
    const [mine, again, theirs] = [a.open('/f'), a.open('/f'), b.open('/f')];
    mine.flock('shared');
    again.flock('shared');
    theirs.flock('shared');
    expect(codeOf(() => mine.flock('exclusive'))).toBe('EAGAIN');
    again.flock('unlock');
    theirs.close();
    mine.flock('exclusive');
    expect(codeOf(() => again.flock('shared'))).toBe('EAGAIN');
    mine.close();
    again.flock('exclusive');
    world.check();
  });
});

describe('waiting', () => {
  test('ends when the other guest unlocks', () => {
    const { world, a, b } = open();
    const [mine, theirs] = [a.open('/f', 'r+'), b.open('/f', 'r+')];
    theirs.lock({ type: 'exclusive' });
    world.channel.whileWaiting = () => theirs.lock({ type: 'unlock' });
    mine.lock({ type: 'exclusive', wait: true });
    expect(requestsOf(world.channel)).toEqual(['OPEN', 'SETLKW']);
    expect(codeOf(() => theirs.lock({ type: 'shared' }))).toBe('EAGAIN');
    world.check();
  });

  test('no longer than the time given: INTERRUPT is sent, the lock is nobody’s, the error is ETIMEDOUT', () => {
    const { world, a, b } = open();
    const [mine, theirs] = [a.open('/f', 'r+'), b.open('/f', 'r+')];
    theirs.flock('exclusive');
    expect(codeOf(() => mine.flock('shared', { timeoutMs: 5 }))).toBe('ETIMEDOUT');
    expect(requestsOf(world.channel)).toEqual(['OPEN', 'SETLKW', 'INTERRUPT']);
    theirs.flock('unlock');
    theirs.flock('exclusive');
    world.check();
  });

  test('that could not end is EDEADLK', () => {
    const { world, a, b } = open();
    const [mine, theirs] = [a.open('/f', 'r+'), b.open('/f', 'r+')];
    mine.lock({ type: 'exclusive', start: 0, length: 1 });
    theirs.lock({ type: 'exclusive', start: 1, length: 1 });
    let code = '';
    world.channel.whileWaiting = () => {
      code = codeOf(() => theirs.lock({ type: 'shared', start: 0, length: 1, wait: true }));
      theirs.close();
    };
    mine.lock({ type: 'shared', start: 1, length: 1, wait: true });
    expect(code).toBe('EDEADLK');
    world.check();
  });
});

test('what cannot be a lock is an error of the program', () => {
  const { a } = open();
  const file = a.open('/f', 'r+');
  expect(() => file.lock({ type: 'both' as 'shared' })).toThrow(TypeError);
  expect(() => file.lock({ type: 'shared', start: -1 })).toThrow(RangeError);
  expect(codeOf(() => file.lock({ type: 'shared', start: 2 ** 53 - 1, length: 2 }))).toBe('EOVERFLOW');
  expect(codeOf(() => a.open('/', 'r').flock('shared'))).toBe('ENOTSUP');
});

test('a host that keeps no locks: ENOLCK, and nothing is asked', () => {
  const { world, a } = open();
  const file = a.open('/f', 'r+');
  world.guest.mount.session.has = () => false;
  requestsOf(world.channel);
  expect([codeOf(() => file.lock({ type: 'shared' })), codeOf(() => file.flock('shared'))]).toEqual([
    'ENOLCK',
    'ENOLCK',
  ]);
  expect(requestsOf(world.channel)).toEqual([]);
});

test('a guest that unmounts leaves no lock behind', () => {
  const { world, a, b } = open();
  const file = a.open('/f', 'r+');
  file.lock({ type: 'exclusive', length: 100 });
  file.lock({ type: 'shared', owner: 'file', start: 100 });
  file.flock('exclusive');
  a.unmount();
  expect(world.server.locks.size).toBe(0);
  b.open('/f', 'r+').lock({ type: 'exclusive' });
});
