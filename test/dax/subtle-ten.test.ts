/**
 * Ten things about DAX that are easily got wrong, one test each. Where it is about messages they go through the rings,
 * byte by byte. Where we differ from Linux on purpose, the test's comment says how and why.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { BusError } from '../../src/guest/errors.ts';
import { Inode } from '../../src/guest/inode.ts';
import { Mount } from '../../src/guest/mount.ts';
import { ECONNREFUSED, EFAULT, EINVAL, type Errno, OK } from '../../src/wire/errno.ts';
import * as fuse from '../../src/wire/fuse.ts';
import type { NodeId } from '../../src/wire/ids.ts';
import { S_IFREG } from '../../src/wire/mode.ts';
import { OPS } from '../../src/wire/ops.ts';
import { createInline, type InlineHost, type InlineOptions } from '../../src/worker/inline.ts';
import { StubChannel } from '../fakes/stub-channel.ts';
import { StubWindow } from '../fakes/stub-window.ts';
import { bytes } from '../host/client.ts';
import { RawGuest, UNIT } from './raw-guest.ts';

async function boot(options: InlineOptions = {}): Promise<InlineHost> {
  const host = await createInline({
    windowSize: 2 * UNIT,
    cacheSize: 8 << 20,
    guests: 3,
    attrTimeoutMs: 0,
    ...options,
  });
  onTestFinished(() => host[Symbol.dispose]());
  return host;
}

/** A host with two files, and a guest that speaks for itself. */
async function bootRaw() {
  const host = await boot();
  const friend = host.mount();
  friend.writeFile('/a', 'apple');
  friend.writeFile('/b', 'berry');
  const raw = new RawGuest(host);
  const init = raw.init();
  expect(init.errno).toBe(0);
  return { host, friend, raw, init, a: raw.lookup('a'), b: raw.lookup('b') };
}

test('1. no file handle: the inode decides, nobody has it open, and the mapping outlives name and lookup', async () => {
  const { friend, raw, a } = await bootRaw();
  expect(raw.setup(a, 0, true).errno).toBe(0);
  friend.unlink('/a');
  raw.send('FORGET', a, bytes(fuse.ForgetIn, { nlookup: 1 }), 0);
  friend.dropCaches();
  expect(raw.show(0, 0, 5)).toBe('apple');
  expect(raw.window.write(0, 0, new TextEncoder().encode('A'), 0, 1)).toBe(1);
  expect(raw.show(0, 0, 5)).toBe('Apple');
  // The range was all that held the file.
  raw.remove(0);
  expect(raw.setup(a, 0, true).errno).not.toBe(0);
});

test('2. always 2 MiB, past the end too: a bus error there, and truncate removes no mapping', async () => {
  const { friend, raw, a } = await bootRaw();
  expect(raw.setup(a, 0, true).errno).toBe(0);
  expect(raw.setup(a, 1, false, { foffset: 64 * UNIT }).errno).toBe(0);
  const before = raw.table;
  expect([raw.show(0, 0, 7), raw.show(0, 4096, 1), raw.show(1, 0, 1)]).toEqual(['apple\0\0', -EFAULT, -EFAULT]);
  friend.truncate('/a', 0);
  expect(raw.show(0, 0, 1)).toBe(-EFAULT);
  friend.truncate('/a', 5000);
  // Never what was there before: zeros, in the mapping that has been there all the time.
  expect([raw.show(0, 0, 5), raw.show(0, 4096, 2)]).toEqual(['\0\0\0\0\0', '\0\0']);
  expect(raw.table).toEqual(before);
  // And as programs see it.
  const map = friend.open('/a', 'r+').mmap({ length: 3 * 4096, writable: true });
  expect(map.loadU8(8191)).toBe(0);
  expect(() => map.loadU8(8192)).toThrow(BusError);
});

test('3. an upgrade replaces the mapping in one store: there is no moment without one', async () => {
  const { host, raw, a, b } = await bootRaw();
  raw.setup(a, 0, false);
  const place = raw.table[0];
  const { pageCache } = host.core;
  const stores: number[] = [];
  const { wasm } = pageCache;
  const entryStore = (at: number, entry: number) => {
    if (host.core.slots.some((slot) => slot.place.tableAt === at)) stores.push(entry);
    wasm.entryStore(at, entry);
  };
  Object.assign(pageCache, { wasm: { ...wasm, entryStore } });
  expect(raw.setup(a, 0, true).errno).toBe(0);
  expect(stores).toEqual([raw.table[0]]);
  expect(stores[0]).not.toBe(place);
  // So does another file in its place; the vhost-user messages, which forbid this, are not ours.
  expect(raw.setup(b, 0, false).errno).toBe(0);
  expect(stores.length).toBe(2);
  expect([raw.show(0, 0, 5), raw.window.write(0, 0, new Uint8Array(1), 0, 1)]).toEqual(['berry', -13]);
  // Partial overlaps need splitting where mappings have any size. Ours are whole ranges: anything else is refused.
  expect(raw.setup(a, 0, false, { moffset: 4096 }).errno).toBe(EINVAL);
  expect(raw.setup(a, 0, false, { len: 4096 }).errno).toBe(EINVAL);
});

test('4. entries at byte 44; a removal may fail or never come: DESTROY, INIT and death clear the rest', async () => {
  const { raw, a, b } = await bootRaw();
  const empty = [0, 0];
  raw.setup(a, 0, true);
  raw.setup(b, 1, true);
  expect(raw.remove(1, 0).errno).toBe(0);
  expect(raw.table).toEqual(empty);
  // A removal of what is not mapped is none; one outside of the window is refused, and the range is used again.
  expect(raw.remove(0).errno).toBe(0);
  raw.setup(a, 0, true);
  expect(raw.remove(0, 9).errno).toBe(EINVAL);
  raw.setup(b, 0, false);
  expect(raw.show(0, 0, 5)).toBe('berry');
  expect(raw.init().errno).toBe(0);
  expect(raw.table).toEqual(empty);
  raw.setup(raw.lookup('a'), 1, true);
  expect(raw.send('DESTROY', 0).errno).toBe(0);
  expect(raw.table).toEqual(empty);
  raw.init();
  raw.setup(raw.lookup('a'), 1, true);
  raw.die();
  expect(raw.table).toEqual(empty);
});

test('5. extending writes never use the window; stores reach the disk with FSYNC; no O_DIRECT', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'virtiofs-ten-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const host = await boot({ fs: `dir:${directory}` });
  const guest = host.mount();
  const file = guest.open('/f', 0o102 | 0o40000);
  const text = new TextEncoder().encode('hello');
  file.write(text, 0, 5, 0);
  file.write(text, 0, 5, 3);
  expect(guest.stats.requests['WRITE']).toBe(2);
  const { size, mtimeMs } = guest.stat('/f');
  file.write(text, 0, 5, 1);
  file.read(new Uint8Array(8), 0, 8, 0);
  expect([guest.stats.requests['WRITE'], guest.stats.requests['READ']]).toEqual([2, undefined]);
  // A store does not change size or times by itself; write-back does, later.
  expect([guest.stat('/f').size, guest.stat('/f').mtimeMs]).toEqual([size, mtimeMs]);
  expect(readFileSync(join(directory, 'f'), 'utf8')).toBe('helhello');
  file.sync();
  expect(readFileSync(join(directory, 'f'), 'utf8')).toBe('hhellolo');
});

// Linux: a fault holds a lock, so it may not reclaim and waits, unkillably; a read takes ranges from its own file only.
// Here a guest is one thread that holds no lock: both take any idle range, and when all are pinned they say so.
test('6. a fault with no free range takes one from any file; with all pinned it is told so at once', async () => {
  const host = await boot();
  const guest = host.mount();
  for (const name of ['/a', '/b', '/c']) guest.writeFile(name, name.repeat(100));
  const [a, b, c] = ['/a', '/b', '/c'].map((name) => guest.open(name, 'r+').mmap({ writable: true }));
  expect([a, b, c, a, b].map((map) => map?.loadU8(1))).toEqual([97, 98, 99, 97, 98]);
  expect(guest.stats.mappings.reclaimed).toBeGreaterThan(0);
  const views = [a?.view(0, 10), b?.view(0, 10)];
  expect(() => c?.loadU8(1)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  expect(guest.readFile('/c', 'utf8').slice(0, 4)).toBe('/c/c');
  for (const view of views) view?.release();
  expect(c?.loadU8(1)).toBe(99);
});

test('7. after every wait everything is looked at again: the winner of a race may be mapped read-only', () => {
  const setups: boolean[] = [];
  let race = () => {};
  const window = new StubWindow(2);
  const channel = new StubChannel((sent, self): Errno => {
    if (sent.opcode === OPS.INIT.code) return self.answer(fuse.InitOut, { major: 7, minor: 45, max_write: 65536 });
    if (sent.opcode !== OPS.SETUPMAPPING.code) return OK;
    const writable = (fuse.SetupmappingIn.flags.get(sent.args, 0) & 1) !== 0;
    setups.push(writable);
    window.map(fuse.SetupmappingIn.moffset.get(sent.args, 0) / UNIT, new Uint8Array(UNIT), writable);
    race();
    return OK;
  });
  const mount = new Mount(channel, window, { clock: new ManualClock() });
  expect(mount.session.init()).toBe(OK);
  const inode = Object.assign(new Inode(5 as NodeId, 0, S_IFREG, true), { size: UNIT });
  race = () => {
    race = () => {};
    const index = mount.dax?.begin(inode, 0, false) as number;
    mount.dax?.end(index);
  };
  const index = mount.dax?.begin(inode, 0, true) as number;
  // Ours, the reader's that won, and the upgrade of the reader's; ours is unmapped again.
  expect(setups).toEqual([true, false, true]);
  expect(window.write(index, 0, new Uint8Array(1), 0, 1)).toBe(1);
  expect(mount.dax?.pool.busyCount).toBe(1);
  mount.dax?.checkInvariants();
});

test('8. used.len is out.len, of errors too, and nothing for FORGET', async () => {
  const { raw, a } = await bootRaw();
  const answers = [raw.setup(a, 0, true), raw.setup(99, 0, true), raw.remove(0), raw.send('STATFS', 1)];
  expect(answers.map(({ used, len }) => [used, len])).toEqual([
    [16, 16],
    [16, 16],
    [16, 16],
    [96, 96],
  ]);
  expect(raw.send('FORGET', a, bytes(fuse.ForgetIn, { nlookup: 1 }), 0).used).toBe(0);
});

test('9. negotiation: map_alignment is a logarithm, no window below 2 MiB, requests start at queue 1', async () => {
  const { raw, init, host } = await bootRaw();
  expect(fuse.InitOut.map_alignment.get(init.body, 0)).toBe(21);
  expect(fuse.InitOut.flags.get(init.body, 0) & (1 << 30)).not.toBe(0);
  expect(raw.firstRequestQueue).toBe(1);
  const told = host.connect(true);
  expect(told.driver.firstRequestQueue).toBe(2);
  told.channel.close();
  host.step();
  // Linux would hang at the first access.
  await expect(createInline({ windowSize: 1 << 20 })).rejects.toThrow(/windowSize is 1048576/);
  const answerWith = (values: object) => {
    const channel = new StubChannel((_, self) => self.answer(fuse.InitOut, { major: 7, minor: 45, ...values }));
    return new Mount(channel, new StubWindow(2), { clock: new ManualClock(), dax: 'inode' });
  };
  expect(answerWith({ flags: 1 << 26, map_alignment: 22 }).session.init()).toBe(ECONNREFUSED);
  const silent = answerWith({ max_write: 65536, flags: 1 << 26, flags2: 2, map_alignment: 21 });
  expect(silent.session.init()).toBe(OK);
  // flags2 without FUSE_INIT_EXT is noise.
  expect(silent.session.has('FUSE_HAS_INODE_DAX')).toBe(false);
  // Whether a file uses the window is decided when its inode is made.
  const guest = host.mount({ dax: 'inode' });
  expect(guest.open('/a').isDax).toBe(true);
});

// In a machine such a buffer has an address of the window, which a device in another process cannot reach. Here a view
// lies in the shared memory, like every buffer: descriptors that name it need no translation.
test('10. payloads may lie in the window: a view is read into, and written from, without a copy', async () => {
  const host = await boot();
  const guest = host.mount();
  guest.writeFile('/a', 'apple'.repeat(2000));
  guest.writeFile('/b', new Uint8Array(10_000));
  const map = guest.open('/b', 'r+').mmap({ writable: true });
  const view = map.view(4096, 4096);
  const [run] = view.runs as [Uint8Array];
  const plain = host.mount({ dax: 'never' });
  expect(plain.open('/a').read(run, 0, 4096, 0)).toBe(4096);
  expect(guest.readFile('/b', 'utf8').slice(4096, 4101)).toBe('apple');
  plain.writeFile('/c', run);
  view.release();
  expect(guest.readFile('/c', 'utf8')).toBe('apple'.repeat(820).slice(0, 4096));
  expect(plain.stats.bytes).toMatchObject({ readFuse: 4096, writtenFuse: 4096 });
});
