import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { Caller } from '../../src/host/inode.ts';
import { InodeStore, LookupCounts } from '../../src/host/inode-store.ts';
import { EBADF, ESTALE, OK } from '../../src/wire/errno.ts';
import { ForgetOne } from '../../src/wire/fuse.ts';
import { bytes, type Client, ok } from './client.ts';
import { boot } from './world.ts';

function batchForget(client: Client, entries: readonly (readonly [number, number])[]): void {
  const head = new Uint8Array(8);
  head[0] = entries.length;
  client.send('BATCH_FORGET', [head, ...entries.map(([nodeid, nlookup]) => bytes(ForgetOne, { nodeid, nlookup }))]);
}

describe('lookup counts', () => {
  test('every entry reply adds one; at zero the nodeid is stale', () => {
    const { client } = boot();
    const a = ok(client.mknod(1, 'a', 0o100644));
    ok(client.lookup(1, 'a'));
    client.forget(a.nodeid, 1);
    expect(ok(client.getattr(a.nodeid)).nlink).toBe(1);
    client.forget(a.nodeid, 1);
    expect(client.getattr(a.nodeid)).toBe(ESTALE);
  });

  test('BATCH_FORGET subtracts from many inodes', () => {
    const { client, server, check } = boot();
    const made = ['a', 'b', 'c'].map((name) => ok(client.mknod(1, name, 0o100644)).nodeid);
    batchForget(
      client,
      made.map((nodeid) => [nodeid, 1]),
    );
    expect([client.session.lookups.size, server.store.count]).toEqual([0, 1]);
    check();
  });

  test('a FORGET beyond the count stops at zero and is reported', () => {
    const { client, lines, check } = boot();
    const a = ok(client.mknod(1, 'a', 0o100644));
    client.forget(a.nodeid, 1000);
    expect(client.getattr(a.nodeid)).toBe(ESTALE);
    expect(lines).toEqual([`warn session: FORGET n${a.nodeid}: EINVAL: n${a.nodeid} has fewer than 1000 lookups`]);
    client.forget(a.nodeid, 1);
    expect(lines).toHaveLength(2);
    expect(ok(client.lookup(1, 'a')).attr.nlink).toBe(1);
    check();
  });

  test('the root cannot be forgotten', () => {
    const { client, lines } = boot();
    client.forget(1, 2 ** 40);
    expect(ok(client.getattr(1)).ino).toBe(1);
    expect(lines).toEqual([]);
  });

  test('a nodeid never means another object', () => {
    const { client } = boot();
    const a = ok(client.mknod(1, 'a', 0o100644));
    client.unlink(1, 'a');
    client.forget(a.nodeid, 1);
    expect(ok(client.mknod(1, 'a', 0o100644)).nodeid).toBeGreaterThan(a.nodeid);
  });

  test('an open handle keeps a forgotten inode on the host, but not its nodeid', () => {
    const { client, server, check } = boot();
    const a = ok(client.create(1, 'a'));
    client.forget(a.nodeid, 1);
    expect(client.read(a.nodeid, a.fh, 0, 1)).toBe(ESTALE);
    expect(server.store.count).toBe(2);
    client.session.close();
    expect(server.store.count).toBe(1);
    check();
  });

  test('a RELEASE that its FORGET has overtaken still releases', () => {
    const { client, server, check } = boot();
    const a = ok(client.create(1, 'a'));
    const d = ok(client.mkdir(1, 'd'));
    const fh = client.opendir(d.nodeid);
    client.forget(a.nodeid, 1);
    client.forget(d.nodeid, 1);
    expect([client.release(d.nodeid, a.fh), client.release(a.nodeid, a.fh)]).toEqual([EBADF, OK]);
    expect(client.releasedir(d.nodeid, fh)).toBe(OK);
    expect([client.session.handles.size, server.store.count]).toEqual([0, 1]);
    check();
  });

  test('one session cannot use or forget what only another has looked up', () => {
    const { client, attach } = boot();
    const other = attach();
    other.init();
    const a = ok(client.mknod(1, 'a', 0o100644));
    expect(other.getattr(a.nodeid)).toBe(ESTALE);
    other.forget(a.nodeid, 1);
    expect(ok(client.getattr(a.nodeid)).nlink).toBe(1);
  });
});

test('after random lookups and exact forgets, all counts are zero', () => {
  const seed = 20_261_122;
  const random = new Prng(seed);
  const { client, server, check } = boot();
  const counts = new Map<number, number>();
  const count = (nodeid: number) => counts.set(nodeid, (counts.get(nodeid) ?? 0) + 1);
  for (let i = 0; i < 2000; i++) {
    const name = `f${random.below(40)}`;
    const found = random.chance(0.3) ? client.mknod(1, name, 0o100644) : client.lookup(1, name);
    if (typeof found !== 'number') count(found.nodeid);
    if (random.chance(0.2)) client.unlink(1, name);
    if (random.chance(0.02)) {
      const fh = client.opendir(1);
      const entries = ok(client.readdir(1, fh, 0, 2000, true));
      for (const entry of entries) if (entry.nodeid !== 0) count(entry.nodeid);
      client.releasedir(1, fh);
    }
    if (random.chance(0.05)) check();
  }
  for (const [nodeid, n] of counts) client.forget(nodeid, n);
  expect([client.session.lookups.size, server.store.count]).toEqual([0, 1]);
  check();
});

test('the store forgets an inode with its last hold, and only then', () => {
  const { memory } = boot();
  const forgotten: number[] = [];
  const fs = Object.assign(Object.create(memory) as typeof memory, {
    forget: (inode: { ino: number }) => forgotten.push(inode.ino),
  });
  Object.defineProperty(fs, 'root', { value: Object.assign(Object.create(memory.root), { holds: 0, nodeid: 0 }) });
  const store = new InodeStore(fs);
  const lookups = new LookupCounts(store);
  const caller = Object.assign(new Caller(), { uid: 0, gid: 0, pid: 0, umask: 0 });
  const inode = memory.mknod(memory.root, 'a' as never, 0o100644, 0, caller);
  if (typeof inode === 'number') throw new Error('mknod failed');
  lookups.add(inode);
  lookups.add(inode);
  store.hold(inode);
  lookups.clear();
  expect(forgotten).toEqual([]);
  store.release(inode);
  expect(forgotten).toEqual([inode.ino]);
});
