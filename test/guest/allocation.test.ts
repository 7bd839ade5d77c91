/** Who chooses the range: what must hold whoever does, and what is sent by whom. A real host, in the same thread. */
import { describe, expect, test } from 'vitest';
import type { Dax } from '../../src/guest/dax-inode.ts';
import type { Inode } from '../../src/guest/inode.ts';
import type { Allocation, MountOptions } from '../../src/guest/options.ts';
import { EIO, ENOMEM, OK } from '../../src/wire/errno.ts';
import { OPS } from '../../src/wire/ops.ts';
import { MapOut, PRIVATE_OPS } from '../../src/wire/private.ts';
import { boot, codeOf } from './world.ts';

const RANGE = 2 * 1024 * 1024;
const KINDS: readonly Allocation[] = ['client', 'server', 'combined'];
const MAPPING = [OPS.SETUPMAPPING.code, PRIVATE_OPS.MAP.code] as readonly number[];
const NAMES = new Map(Object.entries({ ...OPS, ...PRIVATE_OPS }).map(([name, op]) => [op.code as number, name]));
const buffer = new Uint8Array(64);

/** A guest with a window of `ranges`, and a file of `chunks` × 2 MiB that is open. */
function world(ranges: number, mount: Partial<MountOptions>, extensions = true) {
  const booted = boot({ ranges, frames: 2048, session: { extensions }, mount });
  const { guest, channel, memory } = booted;
  memory.checkInvariants();
  const dax = guest.mount.dax as Dax;
  const file = (name: string, chunks: number) => {
    const open = guest.open(name, 'w+');
    open.truncate(chunks * RANGE);
    const inode = (open as unknown as { readonly inode?: Inode }).inode ?? inodeOf(booted, name);
    return { open, inode };
  };
  const sent = () => channel.sent.splice(0).map((code) => NAMES.get(code));
  /** Mappings and their removals sent since the last call. */
  const mappings = () => sent().filter((name) => /MAP/.test(name ?? ''));
  return { ...booted, dax, file, sent, mappings };
}

function inodeOf({ guest }: ReturnType<typeof boot>, name: string): Inode {
  const { ino } = guest.stat(name);
  const inode = guest.mount.inodes.get(ino as never);
  if (inode === undefined) throw new Error(`${name} is not in core`);
  return inode;
}

describe.each(KINDS)('allocation by %s', (allocation) => {
  test('a read maps its range once; a write makes the same range writable', () => {
    const { dax, file, guest, check, mappings } = world(4, { allocation });
    const { inode } = file('/a', 3);
    mappings();
    expect(dax.read(inode, RANGE + 5, buffer, 0, 64)).toBe(64);
    expect(dax.read(inode, RANGE + 90, buffer, 0, 64)).toBe(64);
    expect(dax.write(inode, RANGE, buffer, 0, 64)).toBe(64);
    expect(mappings()).toHaveLength(2);
    expect([dax.pool.freeCount, dax.pool.busyCount]).toEqual([3, 1]);
    expect(guest.stats.allocation.by).toBe(allocation);
    expect(guest.stats.mappings.stalls).toBe(2);
    check();
  });

  test('a refused upgrade leaves the read-only mapping in place', () => {
    const { dax, file, channel, check } = world(4, { allocation });
    const { inode } = file('/a', 1);
    expect(dax.read(inode, 0, buffer, 0, 1)).toBe(1);
    channel.intercept = (request) => (MAPPING.includes(request.opcode) ? EIO : undefined);
    expect(dax.write(inode, 0, buffer, 0, 1)).toBe(-EIO);
    expect(dax.read(inode, 0, buffer, 0, 1)).toBe(1);
    check();
  });

  test('a refused mapping leaves all ranges as they were', () => {
    const { dax, file, channel, check } = world(2, { allocation });
    const { inode } = file('/a', 1);
    channel.intercept = (request) => (MAPPING.includes(request.opcode) ? ENOMEM : undefined);
    expect(dax.read(inode, 0, buffer, 0, 1)).toBe(-ENOMEM);
    expect(dax.pool.freeCount).toBe(2);
    check();
  });

  test('when the window is full, other files lose ranges and every byte is right', () => {
    const { dax, file, check, unmountAll } = world(2, { allocation });
    const files = Array.from({ length: 6 }, (_, i) => file(`/f${i}`, 1));
    for (const [i, { inode }] of files.entries()) {
      expect(dax.write(inode, 5, Uint8Array.of(i + 1), 0, 1)).toBe(1);
      check();
    }
    for (const [i, { inode }] of files.entries()) {
      expect(dax.read(inode, 5, buffer, 0, 1)).toBe(1);
      expect(buffer[0]).toBe(i + 1);
      check();
    }
    unmountAll();
  });

  test('ranges in use are never taken; when all are, the answer is ENOMEM, and READ and WRITE do it', () => {
    const { dax, file, guest, check } = world(2, { allocation });
    const [a, b, c] = [file('/a', 1), file('/b', 1), file('/c', 1)];
    const first = dax.begin(a.inode, 0, false);
    const second = dax.begin(b.inode, 0, false);
    expect(dax.begin(c.inode, 0, false)).toBe(-ENOMEM);
    check();
    const before = guest.stats.bytes.readFuse;
    expect(c.open.read(buffer, 0, 10, 0)).toBe(10);
    expect(guest.stats.bytes.readFuse - before).toBe(10);
    dax.end(first);
    expect(dax.begin(c.inode, 0, false)).toBe(first);
    expect(second).not.toBe(first);
    dax.end(first);
    dax.end(second);
    check();
  });

  test('views keep their ranges through a scan of everything else', () => {
    const { file, guest, check, unmountAll } = world(3, { allocation });
    const { open } = file('/a', 1);
    guest.writeFile('/big', new Uint8Array(100));
    guest.truncate('/big', 4 * RANGE);
    const view = open.mmap({ writable: true }).view(0, 100);
    (view.runs[0] as Uint8Array)[7] = 77;
    for (let round = 0; round < 3; round++) guest.readFile('/big');
    check();
    (view.runs[0] as Uint8Array)[8] = 88;
    expect(open.read(buffer, 0, 2, 7)).toBe(2);
    expect([...buffer.subarray(0, 2)]).toEqual([77, 88]);
    view.release();
    unmountAll();
  });

  test('forgetting a file gives everything back', () => {
    const { dax, file, guest, session, check } = world(40, { allocation });
    const { open, inode } = file('/a', 40);
    for (let i = 0; i < 40; i += 2) dax.end(dax.begin(inode, i, false));
    check();
    open.close();
    guest.unlink('/a');
    guest.dropCaches();
    expect(dax.pool.freeCount).toBe(40);
    check();
    guest.unmount();
    expect(session.maps?.free).toBe(40);
  });

  test('a read of several chunks asks for all of them at once', () => {
    const { guest, mappings, check } = world(8, { allocation });
    guest.writeFile('/a', new Uint8Array(1));
    guest.truncate('/a', 4 * RANGE);
    mappings();
    const open = guest.open('/a');
    expect(open.read(new Uint8Array(3 * RANGE), 0, 3 * RANGE, RANGE)).toBe(3 * RANGE);
    expect(mappings()).toHaveLength(1);
    expect(guest.stats.mappings).toMatchObject({ setUp: 3, ahead: 2, stalls: 1 });
    check();
  });

  test('without the private bits the guest allocates, one chunk a request, and says so', () => {
    const { guest, mappings, check } = world(8, { allocation }, false);
    guest.writeFile('/a', new Uint8Array(1));
    guest.truncate('/a', 4 * RANGE);
    mappings();
    expect(guest.readFile('/a')).toHaveLength(4 * RANGE);
    expect(mappings()).toEqual(Array.from({ length: 4 }, () => 'SETUPMAPPING'));
    expect(guest.stats.allocation).toMatchObject({ by: 'client', fallbacks: allocation === 'client' ? 0 : 1 });
    check();
  });
});

describe('recall', () => {
  const recalled = (ranges: number) => {
    const booted = world(ranges, { allocation: 'server' });
    const { inode } = booted.file('/a', 60);
    booted.mappings();
    return { ...booted, inode };
  };

  test('what is asked back early is given back without waiting: a mapping costs one stall', () => {
    const { dax, inode, guest, mappings, check } = recalled(10);
    for (let i = 0; i < 40; i += 2) dax.end(dax.begin(inode, i, false));
    const sent = mappings();
    expect(sent.filter((name) => name === 'MAP')).toHaveLength(20);
    expect(sent.filter((name) => name === 'UNMAP').length).toBeLessThanOrEqual(7);
    expect(guest.stats.mappings.stalls).toBe(20);
    expect(guest.stats.allocation).toMatchObject({ recalled: guest.stats.allocation.givenBack, pinned: 0 });
    check();
  });

  test('ranges in use are answered with "pinned", and others are given back', () => {
    const { dax, inode, guest, check } = recalled(5);
    const held = [0, 2, 4].map((chunk) => dax.begin(inode, chunk, false));
    for (let i = 6; i < 20; i += 2) dax.end(dax.begin(inode, i, false));
    const { pinned, givenBack } = guest.stats.allocation;
    expect(pinned).toBeGreaterThan(0);
    expect(givenBack).toBeGreaterThan(0);
    for (const [i, index] of held.entries()) expect(dax.pool.ranges[index]?.chunk).toBe(2 * i);
    for (const index of held) dax.end(index);
    check();
  });

  test('a grant of a range that shows something else for us is refused', () => {
    const { dax, inode, channel, guest } = recalled(4);
    dax.end(dax.begin(inode, 0, false));
    channel.intercept = (request) => {
      if (request.opcode !== PRIVATE_OPS.MAP.code) return undefined;
      const { view, reply } = channel;
      MapOut.mapfd.set(view, reply, 77);
      MapOut.offset.set(view, reply, 0);
      MapOut.size.set(view, reply, RANGE);
      channel.received = 32;
      return OK;
    };
    expect(dax.begin(inode, 9, false)).toBe(-EIO);
    guest.mount.dax?.checkInvariants();
  });

  test.each([
    ['nothing at all', 0, 0],
    ['half a range', 2 * RANGE, RANGE / 2],
    ['an offset inside a range', 2 * RANGE + 4096, RANGE],
    ['more than the window', 3 * RANGE, 2 * RANGE],
  ])('a grant of %s is not believed', (_, offset, size) => {
    const { dax, inode, channel } = recalled(4);
    channel.intercept = (request) => {
      if (request.opcode !== PRIVATE_OPS.MAP.code) return undefined;
      MapOut.mapfd.set(channel.view, channel.reply, 1);
      MapOut.offset.set(channel.view, channel.reply, offset);
      MapOut.size.set(channel.view, channel.reply, size);
      MapOut.count.set(channel.view, channel.reply, 0);
      channel.received = 32;
      return OK;
    };
    expect([-EIO, -ENOMEM]).toContain(dax.begin(inode, 9, false));
    dax.checkInvariants();
  });
});

describe('combined', () => {
  test('while ranges are free the host chooses, then the guest: one request each, nothing is asked back', () => {
    const { dax, file, guest, mappings, session, check } = world(4, { allocation: 'combined' });
    const { inode } = file('/a', 60);
    mappings();
    for (let i = 0; i < 40; i += 2) dax.end(dax.begin(inode, i, false));
    expect(mappings()).toEqual(Array.from({ length: 20 }, () => 'MAP'));
    expect(guest.stats.allocation.recalls).toBe(0);
    expect(guest.stats.mappings).toMatchObject({ stalls: 20, reclaimed: 16 });
    expect(session.host.mapCounts).toMatchObject({ wishes: 16, recalls: 0 });
    check();
  });

  test('a victim whose place is refused is given back: the host would still show the old file there', () => {
    const { dax, file, channel, mappings, check } = world(2, { allocation: 'combined' });
    const { inode } = file('/a', 9);
    for (const chunk of [0, 2]) dax.end(dax.begin(inode, chunk, false));
    mappings();
    channel.intercept = (request) => (request.opcode === PRIVATE_OPS.MAP.code ? EIO : undefined);
    expect(dax.begin(inode, 4, false)).toBe(-EIO);
    expect(mappings()).toEqual(['MAP', 'UNMAP']);
    expect(dax.pool.freeCount).toBe(1);
    check();
  });
});

test('an allocation or a kind of reclaim that does not exist is refused by name', () => {
  expect(codeOf(() => boot({ ranges: 1, mount: { allocation: 'host' as never } }))).toMatch(/"allocation" must be one/);
  expect(codeOf(() => boot({ ranges: 1, mount: { reclaim: 'soon' as never } }))).toMatch(/"reclaim" must be one/);
});
