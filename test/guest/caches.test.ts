import { expect, test } from 'vitest';
import { boot, codeOf, requestsOf } from './world.ts';

const SECOND = { attrTimeoutMs: 1000, entryTimeoutMs: 1000, negativeTimeoutMs: 1000 };
const NEVER = { attrTimeoutMs: 0, entryTimeoutMs: 0, negativeTimeoutMs: 0 };

test('a stat within the timeouts asks nothing; after them it asks for name and attributes at once', () => {
  const { guest, channel, clock } = boot({ session: SECOND });
  guest.writeFile('/a', 'x');
  guest.stat('/a');
  requestsOf(channel);
  guest.stat('/a');
  expect(requestsOf(channel)).toEqual([]);
  clock.advance(1001);
  guest.stat('/a');
  expect(requestsOf(channel)).toEqual(['LOOKUP']);
});

test('with timeout 0 every stat asks', () => {
  const { guest, channel, unmountAll } = boot({ session: NEVER });
  guest.writeFile('/a', 'x');
  requestsOf(channel);
  guest.stat('/a');
  guest.stat('/a');
  expect(requestsOf(channel)).toEqual(['LOOKUP', 'GETATTR', 'LOOKUP', 'GETATTR']);
  unmountAll();
});

test('a negative entry answers until its time is over, or until this guest makes the name', () => {
  const { guest, channel, clock } = boot({ session: SECOND });
  codeOf(() => guest.stat('/a'));
  requestsOf(channel);
  expect(codeOf(() => guest.stat('/a'))).toBe('ENOENT');
  expect(requestsOf(channel)).toEqual([]);
  clock.advance(1001);
  expect(codeOf(() => guest.stat('/a'))).toBe('ENOENT');
  expect(requestsOf(channel)).toEqual(['LOOKUP']);
  guest.writeFile('/a', '');
  expect(guest.stat('/a').size).toBe(0);
});

test('what another guest changes is seen when the timeout is over', () => {
  const { mounted, clock } = boot({ guests: 2, session: SECOND });
  const [a, b] = mounted.map((m) => m.guest);
  a?.writeFile('/f', 'one');
  expect(b?.stat('/f').size).toBe(3);
  a?.writeFile('/f', 'longer');
  a?.rename('/f', '/g');
  clock.advance(1001);
  expect(codeOf(() => b?.stat('/f'))).toBe('ENOENT');
  expect(b?.stat('/g').size).toBe(6);
});

test('changes made by this guest are seen at once, whatever the timeouts', () => {
  const { guest } = boot({ session: { attrTimeoutMs: 1e9, entryTimeoutMs: 1e9, negativeTimeoutMs: 1e9 } });
  guest.mkdir('/d');
  guest.stat('/');
  expect(codeOf(() => guest.stat('/d/x'))).toBe('ENOENT');
  guest.writeFile('/d/x', '1');
  guest.link('/d/x', '/y');
  expect(guest.stat('/d/x').nlink).toBe(2);
  guest.appendFile('/y', '23');
  expect(guest.stat('/d/x').size).toBe(3);
  guest.rename('/d', '/e');
  expect(codeOf(() => guest.stat('/d/x'))).toBe('ENOENT');
  guest.unlink('/e/x');
  expect(guest.stat('/y').nlink).toBe(1);
  guest.rmdir('/e');
  expect(codeOf(() => guest.stat('/e'))).toBe('ENOENT');
});

test('every lookup the host counted is given back, in batches', () => {
  const { guest, channel, session, unmountAll, check } = boot();
  for (let i = 0; i < 100; i++) guest.writeFile(`/f${i}`, '');
  guest.readdir('/');
  for (let i = 0; i < 100; i++) guest.stat(`/f${i}`);
  expect(session.lookups.size).toBe(100);
  requestsOf(channel);
  guest.dropCaches();
  expect(requestsOf(channel)).toEqual(['BATCH_FORGET', 'BATCH_FORGET']);
  expect(session.lookups.size).toBe(0);
  check();
  unmountAll();
});

test('the cache stays within its limit, and what is open stays usable', () => {
  const { guest, session, unmountAll, check } = boot({ mount: { maxInodes: 16 } });
  guest.mkdir('/a/b/c', { recursive: true });
  const file = guest.open('/a/b/c/open', 'w+');
  for (let i = 0; i < 200; i++) guest.writeFile(`/a/b/c/f${i}`, String(i));
  check();
  guest.mount.forgets.flush();
  expect(guest.stats.cached.dentries).toBeLessThanOrEqual(16);
  expect(session.lookups.size).toBeLessThanOrEqual(18);
  file.write(new Uint8Array(3));
  expect(file.stat().size).toBe(3);
  file.close();
  for (let i = 0; i < 200; i++) expect(guest.readFile(`/a/b/c/f${i}`, 'utf8')).toBe(String(i));
  unmountAll();
});

test('a directory in use keeps its name in the cache', () => {
  const { guest, channel } = boot({ mount: { maxInodes: 16 }, session: SECOND });
  guest.mkdir('/kept');
  const directory = guest.opendir('/kept');
  for (let i = 0; i < 50; i++) guest.writeFile(`/f${i}`, '');
  requestsOf(channel);
  guest.realpath('/kept');
  expect(requestsOf(channel)).toEqual([]);
  directory.close();
});

test('a file that is gone is forgotten at once, after its RELEASE', () => {
  const { guest, channel, session } = boot();
  const file = guest.open('/a', 'w');
  guest.unlink('/a');
  requestsOf(channel);
  file.close();
  expect(requestsOf(channel)).toEqual(['FLUSH', 'RELEASE', 'FORGET']);
  expect(session.lookups.size + session.handles.size).toBe(0);
});

test('a directory moved by another guest is found at its new place, and ".." follows', () => {
  const { mounted, check } = boot({ guests: 2, session: NEVER });
  const [a, b] = mounted.map((m) => m.guest);
  a?.mkdir('/x/y', { recursive: true });
  b?.stat('/x/y');
  a?.rename('/x/y', '/y');
  a?.rename('/x', '/y/x');
  expect(b?.stat('/y/x').isDirectory()).toBe(true);
  expect(b?.realpath('/y/x/..')).toBe('/y');
  expect(codeOf(() => b?.stat('/x'))).toBe('ENOENT');
  check();
});

test('READDIRPLUS fills the caches; without it READDIR lists', () => {
  const { guest, channel, unmountAll } = boot();
  for (let i = 0; i < 20; i++) guest.writeFile(`/f${i}`, '');
  guest.dropCaches();
  guest.readdir('/');
  requestsOf(channel);
  guest.stat('/f7');
  expect(requestsOf(channel)).toEqual([]);
  channel.intercept = (r) => (r.opcode === 44 ? (38 as never) : undefined);
  expect(guest.readdir('/').length).toBe(20);
  expect(guest.readdir('/').length).toBe(20);
  expect(requestsOf(channel).filter((name) => name === 'READDIRPLUS').length).toBe(1);
  unmountAll();
});
