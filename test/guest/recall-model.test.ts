/**
 * Every order in which answers to recalls can reach the host: a device may take requests in any order, and an UNMAP
 * that nobody waits for may be overtaken by the MAPs sent after it. The real server's allocator, the real guest's.
 */
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { Dax } from '../../src/guest/dax-inode.ts';
import { Inode } from '../../src/guest/inode.ts';
import { Mount } from '../../src/guest/mount.ts';
import type { Inode as HostInode } from '../../src/host/inode.ts';
import { type Grant, MapCounts, RangeAllocator } from '../../src/host/range-allocator.ts';
import { ENOMEM, type Errno, OK } from '../../src/wire/errno.ts';
import { InitOut } from '../../src/wire/fuse.ts';
import type { NodeId } from '../../src/wire/ids.ts';
import { S_IFREG } from '../../src/wire/mode.ts';
import { OPS } from '../../src/wire/ops.ts';
import { MAP_FLAGS, MapIn, MapOut, MapRange, PRIVATE_OPS, UnmapIn, UnmapOne } from '../../src/wire/private.ts';
import { encode, sizeOf } from '../../src/wire/struct.ts';
import { type Choose, every } from '../every.ts';
import { type Sent, StubChannel } from '../fakes/stub-channel.ts';
import { RANGE, StubWindow } from '../fakes/stub-window.ts';

const RANGES = 2;
const CHUNKS = 4;

/** The host's side: what each range of the window shows, and the allocator that decides it. */
class Host {
  readonly shown = new Array<number | undefined>(RANGES).fill(undefined);
  readonly allocator: RangeAllocator;
  readonly #namesGrants: boolean;
  readonly #file = { nodeid: 10, space: undefined } as unknown as HostInode;

  /** Without names, an UNMAP gives back whatever is there now. */
  constructor(namesGrants: boolean) {
    this.#namesGrants = namesGrants;
    const mapper = {
      windowSize: RANGES * RANGE,
      setup: (_: HostInode, foffset: number, __: number, ___: boolean, moffset: number): Errno => {
        this.shown[moffset / RANGE] = foffset / RANGE;
        return OK;
      },
      remove: (moffset: number): Errno => {
        this.shown[moffset / RANGE] = undefined;
        return OK;
      },
      takeUsed: () => false,
      clear: () => {},
    };
    this.allocator = new RangeAllocator(mapper, new MapCounts(), 0.2);
  }

  map(sent: Sent, channel: StubChannel): Errno {
    const { allocator } = this;
    const flags = MapIn.flags.get(sent.args, 0);
    allocator.begin((flags & MAP_FLAGS.MAP_RETRY) !== 0);
    expect(allocator.map(this.#file, MapIn.offset.get(sent.args, 0) / RANGE, 1, false)).toBe(OK);
    const recalled: Grant[] = [];
    const isNeeded = allocator.count === 0;
    if (isNeeded || allocator.isLow) allocator.recall(isNeeded, recalled, 9);
    if (isNeeded && recalled.length === 0) return ENOMEM;
    const granted = isNeeded ? {} : { mapfd: allocator.id, offset: allocator.range * RANGE, size: RANGE };
    channel.answer(MapOut, { ...granted, count: recalled.length });
    for (const [i, { id, range }] of recalled.entries()) {
      const at = channel.reply + sizeOf(MapOut) + i * sizeOf(MapRange);
      encode(MapRange, channel.view, at, { mapfd: id, offset: range * RANGE, size: RANGE });
      channel.received += sizeOf(MapRange);
    }
    return OK;
  }

  unmap({ args }: Sent): Errno {
    for (let i = 0; i < UnmapIn.count.get(args, 0); i++) {
      const at = sizeOf(UnmapIn) + i * sizeOf(UnmapOne);
      const range = UnmapOne.offset.get(args, at) / RANGE;
      const now = this.allocator.shown(range)?.id ?? 0;
      const id = this.#namesGrants ? UnmapOne.mapfd.get(args, at) : now;
      if (UnmapOne.flags.get(args, at) === 0) this.allocator.release(id, range);
      else this.allocator.keep(id, range);
    }
    return OK;
  }
}

/** One run: accesses to `accesses`, while posted answers arrive whenever `choose` says so. */
function run(choose: Choose, accesses: readonly number[], namesGrants = true, held?: number): void {
  const host = new Host(namesGrants);
  const late: Sent[] = [];
  const deliver = () => {
    // At most one before each request: those that are left come later, in any order.
    const which = late.length === 0 ? 0 : choose(late.length + 1);
    for (const one of which === 0 ? [] : late.splice(which - 1, 1)) host.unmap(one);
  };
  const channel = new StubChannel((sent, self) => {
    if (sent.opcode === OPS.INIT.code) {
      return self.answer(InitOut, { major: 7, minor: 45, flags: 1 << 30, flags2: 1 << 30 });
    }
    deliver();
    return sent.opcode === PRIVATE_OPS.MAP.code ? host.map(sent, self) : host.unmap(sent);
  });
  channel.onPost = (sent) => late.push(sent);
  const mount = new Mount(channel, new StubWindow(RANGES), { clock: new ManualClock(), allocation: 'server' });
  expect(mount.session.init()).toBe(OK);
  const dax = mount.dax as Dax;
  const inode = new Inode(10 as NodeId, 0, S_IFREG, true);
  inode.size = CHUNKS * RANGE;
  const pinned = held === undefined ? undefined : dax.begin(inode, held, false);
  for (const chunk of accesses) {
    const index = dax.begin(inode, chunk, false);
    expect(index).toBeGreaterThanOrEqual(0);
    dax.end(index);
    agree(dax, host);
  }
  if (pinned !== undefined) dax.end(pinned);
  dax.evict(inode);
  for (const one of late) host.unmap(one);
  expect([dax.pool.freeCount, host.allocator.free]).toEqual([RANGES, RANGES]);
}

/** Whatever the guest believes is shown is shown; the host may show more, until an answer reaches it. */
function agree(dax: Dax, host: Host): void {
  dax.checkInvariants();
  host.allocator.checkInvariants();
  for (const range of dax.pool.ranges) {
    if (range.state === 'busy') expect(host.shown[range.index]).toBe(range.chunk);
  }
}

const SCAN = [0, 1, 2, 3, 0];

test('no order of answers shows a file where the guest believes another, or loses a range', () => {
  expect(every((choose) => run(choose, SCAN))).toBeGreaterThan(100);
});

test('the same while a range is in use all the time', () => {
  expect(every((choose) => run(choose, [1, 2, 3, 1, 2], true, 0))).toBeGreaterThan(5);
});

test('without the name of the grant in an answer, some order takes a range from whom it was granted to since', () => {
  let isFound = false;
  every((choose) => {
    if (isFound) return;
    try {
      run(choose, SCAN, false);
    } catch {
      isFound = true;
    }
  });
  expect(isFound).toBe(true);
});
