/** The range algorithm against a stub window and a scripted host: what is sent, and what is counted. */
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { Dax } from '../../src/guest/dax-inode.ts';
import { Inode } from '../../src/guest/inode.ts';
import { Mount } from '../../src/guest/mount.ts';
import { EIO, ENOMEM, type Errno, OK } from '../../src/wire/errno.ts';
import * as fuse from '../../src/wire/fuse.ts';
import type { NodeId } from '../../src/wire/ids.ts';
import { S_IFREG } from '../../src/wire/mode.ts';
import { OPS } from '../../src/wire/ops.ts';
import { type Sent, StubChannel } from '../fakes/stub-channel.ts';
import { RANGE, StubWindow } from '../fakes/stub-window.ts';

const SETUP = OPS.SETUPMAPPING.code;
const REMOVE = OPS.REMOVEMAPPING.code;

interface Setup {
  foffset: number;
  moffset: number;
  writable: boolean;
}

/** A host that maps files of zeros, and lets a test refuse. */
function boot(rangeCount: number) {
  const window = new StubWindow(rangeCount);
  const files = new Map<number, Uint8Array>();
  const refuse = new Map<number, Errno>();
  const hooks = { before: (_sent: Sent) => {} };
  const channel = new StubChannel((sent, self) => {
    hooks.before(sent);
    const refused = refuse.get(sent.opcode);
    if (refused !== undefined) return refused;
    if (sent.opcode === OPS.INIT.code) return self.answer(fuse.InitOut, { major: 7, minor: 45, max_write: 65536 });
    if (sent.opcode === OPS.GETATTR.code) {
      const size = files.get(sent.nodeid)?.length ?? 0;
      return self.answer(fuse.AttrOut, { attr: { mode: S_IFREG | 0o644, size } });
    }
    if (sent.opcode === SETUP) {
      const s = setupOf(sent);
      const bytes = files.get(sent.nodeid) as Uint8Array;
      window.map(s.moffset / RANGE, bytes.subarray(s.foffset, s.foffset + RANGE), s.writable);
    }
    if (sent.opcode === REMOVE) for (const at of removalsOf(sent)) window.unmap(at / RANGE);
    return OK;
  });
  const mount = new Mount(channel, window, { clock: new ManualClock() });
  expect(mount.session.init()).toBe(OK);
  const file = (nodeid: number, size: number): Inode => {
    const inode = new Inode(nodeid as NodeId, 0, S_IFREG, true);
    files.set(nodeid, new Uint8Array(size));
    inode.size = size;
    inode.attrExpiresMs = Number.POSITIVE_INFINITY;
    inode.nlink = 1;
    return inode;
  };
  return { window, files, refuse, hooks, channel, mount, dax: mount.dax as Dax, file };
}

function setupOf(sent: Sent): Setup {
  const { args } = sent;
  expect(fuse.SetupmappingIn.fh.get(args, 0)).toBe(0xffff_ffff_ffff_ffffn);
  expect(fuse.SetupmappingIn.len.get(args, 0)).toBe(RANGE);
  const flags = fuse.SetupmappingIn.flags.get(args, 0);
  return {
    foffset: fuse.SetupmappingIn.foffset.get(args, 0),
    moffset: fuse.SetupmappingIn.moffset.get(args, 0),
    writable: flags === 3,
  };
}

function removalsOf(sent: Sent): number[] {
  const count = fuse.RemovemappingIn.count.get(sent.args, 0);
  expect(sent.args.byteLength).toBe(4 + 16 * count);
  return Array.from({ length: count }, (_, i) => fuse.RemovemappingOne.moffset.get(sent.args, 4 + 16 * i));
}

const buffer = new Uint8Array(64);

test('a read maps its range once, read-only; a write makes the same range writable', () => {
  const { dax, file, channel } = boot(4);
  const inode = file(10, 3 * RANGE);
  expect(dax.read(inode, RANGE + 5, buffer, 0, 64)).toBe(64);
  expect(dax.read(inode, RANGE + 90, buffer, 0, 64)).toBe(64);
  expect(dax.write(inode, RANGE, buffer, 0, 64)).toBe(64);
  expect(channel.of(SETUP).map(setupOf)).toEqual([
    { foffset: RANGE, moffset: 0, writable: false },
    { foffset: RANGE, moffset: 0, writable: true },
  ]);
  expect([dax.pool.freeCount, dax.pool.busyCount]).toEqual([3, 1]);
  dax.checkInvariants();
});

test('an access over the border of two ranges touches both', () => {
  const { dax, file, files } = boot(4);
  const inode = file(10, 3 * RANGE);
  const data = Uint8Array.from({ length: 64 }, (_, i) => i + 1);
  expect(dax.write(inode, RANGE - 32, data, 0, 64)).toBe(64);
  expect(files.get(10)?.slice(RANGE - 32, RANGE + 32)).toEqual(data);
});

test('a refused upgrade leaves the read-only mapping in place', () => {
  const { dax, file, refuse } = boot(4);
  const inode = file(10, RANGE);
  dax.read(inode, 0, buffer, 0, 1);
  refuse.set(SETUP, EIO);
  expect(dax.write(inode, 0, buffer, 0, 1)).toBe(-EIO);
  expect(dax.read(inode, 0, buffer, 0, 1)).toBe(1);
  dax.checkInvariants();
});

test('a refused set-up gives the range back', () => {
  const { dax, file, refuse } = boot(2);
  refuse.set(SETUP, ENOMEM);
  expect(dax.read(file(10, RANGE), 0, buffer, 0, 1)).toBe(-ENOMEM);
  expect(dax.pool.freeCount).toBe(2);
  dax.checkInvariants();
});

test('a full window takes a range from another file: one request, whose mapping replaces the old one', () => {
  const { dax, file, channel, mount } = boot(2);
  for (let i = 0; i < 5; i++) {
    expect(dax.read(file(10 + i, RANGE), 0, buffer, 0, 1)).toBe(1);
    dax.checkInvariants();
  }
  expect(channel.sent.slice(-5).map((s) => s.opcode)).toEqual([SETUP, SETUP, SETUP, SETUP, SETUP]);
  expect(mount.counters.mappingsReclaimed).toBe(3);
});

test('a taken range whose new mapping is refused is unmapped: the host would still show the old file there', () => {
  const { dax, file, channel, refuse } = boot(2);
  dax.read(file(10, RANGE), 0, buffer, 0, 1);
  dax.read(file(11, RANGE), 0, buffer, 0, 1);
  refuse.set(SETUP, EIO);
  expect(dax.read(file(12, RANGE), 0, buffer, 0, 1)).toBe(-EIO);
  expect(channel.sent.slice(-2).map((s) => s.opcode)).toEqual([SETUP, REMOVE]);
  expect(dax.pool.freeCount).toBe(1);
  dax.checkInvariants();
});

test('ranges in use are never taken; when all are, the answer is ENOMEM', () => {
  const { dax, file } = boot(2);
  const a = dax.begin(file(10, RANGE), 0, false);
  const b = dax.begin(file(11, RANGE), 0, false);
  expect(dax.begin(file(12, RANGE), 0, false)).toBe(-ENOMEM);
  dax.end(a);
  expect(dax.begin(file(12, RANGE), 0, false)).toBe(a);
  expect(b).not.toBe(a);
  dax.checkInvariants();
});

test('a removal that fails costs nothing: what the host still shows there is replaced before anybody looks', () => {
  const { dax, file, refuse, mount } = boot(2);
  const forgotten = file(10, RANGE);
  dax.read(forgotten, 0, buffer, 0, 1);
  refuse.set(REMOVE, EIO);
  dax.evict(forgotten);
  expect(mount.counters.removalsFailed).toBe(1);
  expect(dax.pool.freeCount).toBe(2);
  for (const nodeid of [11, 12, 13]) expect(dax.read(file(nodeid, RANGE), 0, buffer, 0, 1)).toBe(1);
  dax.checkInvariants();
});

test('forgetting a file removes its mappings 256 at a time, entries starting at byte 44 of the message', () => {
  const { dax, file, channel } = boot(300);
  const inode = file(10, RANGE);
  inode.size = 300 * RANGE;
  for (let i = 0; i < 300; i++) dax.end(dax.begin(inode, i, false));
  dax.evict(inode);
  expect(channel.of(REMOVE).map((s) => removalsOf(s).length)).toEqual([256, 44]);
  expect(removalsOf(channel.of(REMOVE)[0] as Sent)[1]).toBe(RANGE);
  expect(dax.pool.freeCount).toBe(300);
  dax.checkInvariants();
});

test('a mapping made by somebody else while ours was on its way is used, and ours is unmapped', () => {
  const { dax, file, hooks } = boot(3);
  const inode = file(10, RANGE);
  let isFirst = true;
  hooks.before = (sent) => {
    if (sent.opcode !== SETUP || !isFirst) return;
    isFirst = false;
    dax.end(dax.begin(inode, 0, false));
  };
  const index = dax.begin(inode, 0, true);
  expect(dax.pool.ranges[index]?.isWritable).toBe(true);
  dax.end(index);
  expect(dax.pool.busyCount).toBe(1);
  dax.checkInvariants();
});

test('a read where the host cut the file ends at the new size', () => {
  const { dax, file, files, window } = boot(2);
  const inode = file(10, 1000);
  dax.read(inode, 0, buffer, 0, 1);
  files.set(10, new Uint8Array(10));
  window.map(0, files.get(10)?.subarray(0) as Uint8Array, false);
  expect(dax.read(inode, 500, buffer, 0, 64)).toBe(0);
  expect(inode.size).toBe(10);
});

test('a window of no range is refused with dax=always, and ignored otherwise', () => {
  const channel = new StubChannel(() => OK);
  const options = { clock: new ManualClock() };
  expect(new Mount(channel, new StubWindow(0), options).dax).toBeUndefined();
  expect(() => new Mount(channel, new StubWindow(0), { ...options, dax: 'always' })).toThrow(/no window of 2 MiB/);
});

describe('which range goes', () => {
  /** Set-ups that FIFO (and LRU) needs for the same accesses. */
  function fifo(ranges: number, accesses: readonly number[]): number {
    const held: number[] = [];
    let setups = 0;
    for (const chunk of accesses) {
      if (held.includes(chunk)) continue;
      setups++;
      held.push(chunk);
      if (held.length > ranges) held.shift();
    }
    return setups;
  }

  function run(ranges: number, accesses: readonly number[]): number {
    const { dax, file, channel } = boot(ranges);
    const inode = file(10, RANGE);
    inode.size = 1000 * RANGE;
    for (const chunk of accesses) dax.end(dax.begin(inode, chunk, false));
    dax.checkInvariants();
    return channel.of(SETUP).length;
  }

  const cycle = (chunks: number, rounds: number) =>
    Array.from({ length: rounds }, () => Array.from({ length: chunks }, (_, i) => i)).flat();

  test('a cyclic scan larger than the window keeps part of itself mapped, where FIFO keeps nothing', () => {
    const scan = cycle(40, 20);
    expect(fifo(32, scan)).toBe(800);
    expect(run(32, scan)).toBeLessThan(500);
  });

  test('even a window of three ranges beats FIFO on a cycle of four', () => {
    const scan = cycle(4, 50);
    expect(fifo(3, scan)).toBe(200);
    expect(run(3, scan)).toBeLessThan(170);
  });

  test('chunks in steady use survive a scan of everything else', () => {
    const hot = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    const mixed = Array.from({ length: 200 }, (_, i) => [...hot, 100 + i]).flat();
    expect(run(32, [...hot, ...hot, ...mixed])).toBeLessThan(240);
  });

  test('streams side by side do not take ranges from each other', () => {
    const accesses: number[] = [];
    for (let i = 0; i < 30; i++) for (let k = 0; k < 4; k++) for (const s of [0, 100, 200]) accesses.push(s + i);
    expect(run(8, accesses)).toBe(90);
  });

  test('a new working set that fits is mapped as a whole in the end', () => {
    const before = cycle(8, 50);
    const after = cycle(8, 60).map((chunk) => chunk + 100);
    const tail = run(8, [...before, ...after]) - run(8, [...before, ...after.slice(0, -80)]);
    expect(tail).toBeLessThan(10);
  });
});
