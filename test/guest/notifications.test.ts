/** What a guest does with what it is told, case by case: two guests of one host, who believe their caches for ever. */
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { createInline, type InlineOptions } from '../../src/worker/inline.ts';
import { codeOf } from './world.ts';

const FOREVER = { attrTimeoutMs: Infinity, entryTimeoutMs: Infinity, negativeTimeoutMs: Infinity };

async function world(options: InlineOptions = {}) {
  const host = await createInline({
    ...{ cacheSize: 16 << 20, windowSize: 4 << 20, guests: 3, clock: new ManualClock() },
    ...FOREVER,
    ...options,
  });
  return { host, one: host.mount(), two: host.mount() };
}

/** Requests that `run` sends. */
function requestsOf(guest: Guest, run: () => unknown): string[] {
  const before: Record<string, number> = { ...guest.stats.requests };
  run();
  return Object.entries(guest.stats.requests).flatMap(([name, n]) => Array(n - (before[name] ?? 0)).fill(name));
}

describe('what is told', () => {
  test('is asked for once, and what is not told is not asked for', async () => {
    const { one, two } = await world();
    one.writeFile('/a', 'abc');
    one.writeFile('/b', 'abc');
    const see = () => [two.stat('/a').size, two.stat('/b').size, two.exists('/c')];
    expect(see()).toEqual([3, 3, false]);
    expect(requestsOf(two, see)).toEqual([]);
    one.appendFile('/a', 'd');
    expect(requestsOf(two, see)).toEqual(['GETATTR']);
    one.writeFile('/c', '');
    expect(requestsOf(two, see)).toEqual(['LOOKUP']);
    expect(see()).toEqual([4, 3, true]);
    one.chmod('/b', 0o600);
    expect(two.stat('/b').mode & 0o777).toBe(0o600);
    expect(requestsOf(two, see)).toEqual([]);
  });

  test('lets go of what was removed: its bytes are free as soon as the other guest does anything', async () => {
    const { one, two, host } = await world();
    one.writeFile('/large', new Uint8Array(1 << 20));
    one.mkdir('/d');
    one.writeFile('/d/inside', '');
    for (const path of ['/large', '/d', '/d/inside', '/d/missing']) two.exists(path);
    const { store } = host.core.server;
    one.unlink('/large');
    one.unlink('/d/inside');
    one.rmdir('/d');
    one.dropCaches();
    expect(store.count).toBe(4);
    // It hears on its way, and sweeps on the next.
    expect(two.exists('/large')).toBe(false);
    two.exists('/');
    two.dropCaches();
    expect(store.count).toBe(1);
  });

  test('does not take away a file that has got the name of a removed one', async () => {
    const { one, two } = await world({ entryTimeoutMs: 0 });
    one.writeFile('/a', 'old');
    two.stat('/a');
    one.unlink('/a');
    one.writeFile('/a', 'new');
    expect(two.readFile('/a', 'utf8')).toBe('new');
    two.exists('/');
    expect(two.stat('/a').nlink).toBe(1);
  });

  test('reaches an open file: size, reads inside it and over its end, writes behind a cut', async () => {
    const { one, two } = await world();
    one.writeFile('/a', new Uint8Array(5000).fill(1));
    using file = two.open('/a', 'r+');
    const buffer = new Uint8Array(100);
    expect(file.read(buffer, 0, 100, 4000)).toBe(100);
    one.truncate('/a', 4010);
    expect(file.read(buffer, 0, 100, 4000)).toBe(10);
    one.truncate('/a', 100);
    // Inside the size it knew: through the window these bytes would be lost.
    expect(file.write(new Uint8Array(10).fill(2), 0, 10, 3000)).toBe(10);
    expect(one.stat('/a').size).toBe(3010);
    expect(one.readFile('/a').subarray(3000)).toEqual(new Uint8Array(10).fill(2));
    one.appendFile('/a', new Uint8Array(5000).fill(3));
    expect(file.seek(0, 'end')).toBe(8010);
  });

  test('reaches who may do what: mode, owner, and the sticky bit of a directory', async () => {
    const { one, host } = await world();
    const two = host.mount({ uid: 1000, gid: 1000 });
    one.mkdir('/d', { mode: 0o777 });
    one.chmod('/d', 0o777);
    one.writeFile('/d/a', 'abc');
    expect(codeOf(() => two.open('/d/a', 'r'))).toBe('OK');
    one.chmod('/d/a', 0o600);
    expect(codeOf(() => two.open('/d/a', 'r'))).toBe('EACCES');
    one.chown('/d/a', 1000, 1000);
    expect(codeOf(() => two.open('/d/a', 'r'))).toBe('OK');
    one.chmod('/d', 0o1777);
    one.chown('/d/a', 0, 0);
    expect(codeOf(() => two.unlink('/d/a'))).toBe('EPERM');
    one.chown('/d/a', 1000, 1000);
    expect(codeOf(() => two.unlink('/d/a'))).toBe('OK');
  });

  test('reaches whoever keeps pages, with the place; the attributes alone do not', async () => {
    const { one, two } = await world({ queueSize: 8 });
    one.writeFile('/a', new Uint8Array(9000));
    const { ino } = two.stat('/a');
    const told: string[] = [];
    two.mount.doubt.onPages({ pagesInvalid: (inode, pos, size) => told.push(`${inode.ino === ino} ${pos}+${size}`) });
    using file = one.open('/a', 'r+');
    file.allocate(4096, 100);
    one.chmod('/a', 0o600);
    two.stat('/a');
    expect(told.splice(0)).toEqual(['true 4096+100']);
    one.truncate('/a', 10);
    two.stat('/a');
    expect(told.splice(0)).toEqual(['true 0+0']);
    for (let i = 0; i < 20; i++) one.writeFile(`/${i}`, '');
    two.stat('/a');
    expect(told).toContain('true 0+0');
  });
});

describe('what a guest does itself', () => {
  test('shows in its own attributes: atime of what it read, blocks of what it stored', async () => {
    const clock = new ManualClock();
    const { host, one } = await world({ clock });
    one.mkdir('/d');
    one.symlink('nowhere', '/s');
    one.writeFile('/a', 'abc');
    const two = host.mount({ dax: 'never' });
    const times = () => ['/d', '/s', '/a'].map((path) => two.lstat(path).atimeMs);
    const before = times();
    clock.advance(5000);
    two.readdir('/d');
    two.readlink('/s');
    two.readFile('/a');
    expect(times()).toEqual(before.map((ms) => ms + 5000));
    expect(requestsOf(two, times)).toEqual([]);
    one.truncate('/a', 1 << 20);
    expect(one.stat('/a').blocks).toBe(8);
    using file = one.open('/a', 'r+');
    using map = file.mmap({ writable: true });
    map.storeU32(1 << 18, 7);
    expect(one.stat('/a').blocks).toBe(16);
  });
});

describe('without notifications', () => {
  test.each([
    ['the host does not offer them', false, true],
    ['the guest does not want them', true, false],
  ])('%s: request queues start at 1, and only time makes a cache doubtful', async (_, offered, wanted) => {
    const clock = new ManualClock();
    using host = await createInline({ clock, cacheSize: 8 << 20, guests: 2, notifications: offered });
    const one = host.mount();
    const two = host.mount({ notifications: wanted });
    expect(host.core.devices[1]?.device.firstRequestQueue).toBe(1);
    one.writeFile('/a', 'abc');
    expect(two.stat('/a').size).toBe(3);
    one.appendFile('/a', 'd');
    expect(two.stat('/a').size).toBe(3);
    clock.advance(1001);
    expect(two.stat('/a').size).toBe(4);
  });

  test('with them, a memory file system is believed for a day, one that others may change is not', async () => {
    const clock = new ManualClock();
    using host = await createInline({ clock, cacheSize: 8 << 20, guests: 1 });
    const guest = host.mount();
    guest.writeFile('/a', 'abc');
    const see = () => [guest.stat('/a').size, guest.exists('/b')];
    see();
    clock.advance(86_000_000);
    expect(requestsOf(guest, see)).toEqual([]);
    clock.advance(1_000_000);
    expect(requestsOf(guest, see)).toEqual(['LOOKUP', 'LOOKUP']);
  });

  test('a guest whose host has stopped believes nothing any more', async () => {
    const { host, one } = await world();
    one.writeFile('/a', 'abc');
    one.stat('/a');
    host.stop();
    expect(codeOf(() => one.stat('/a'))).toBe('ENOTCONN');
  });
});
