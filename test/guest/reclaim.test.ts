/** Background reclaim: what is sent before it is needed, and when a range counts as free. */
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { Dax } from '../../src/guest/dax-inode.ts';
import { Inode } from '../../src/guest/inode.ts';
import { Mount } from '../../src/guest/mount.ts';
import type { ReclaimMode } from '../../src/guest/options.ts';
import { OK } from '../../src/wire/errno.ts';
import { InitOut, RemovemappingIn } from '../../src/wire/fuse.ts';
import type { NodeId } from '../../src/wire/ids.ts';
import { S_IFREG } from '../../src/wire/mode.ts';
import { OPS } from '../../src/wire/ops.ts';
import { StubChannel } from '../fakes/stub-channel.ts';
import { RANGE, StubWindow } from '../fakes/stub-window.ts';

const SETUP = OPS.SETUPMAPPING.code;
const REMOVE = OPS.REMOVEMAPPING.code;

function boot(ranges: number, reclaim: ReclaimMode) {
  const channel = new StubChannel((sent, self) =>
    sent.opcode === OPS.INIT.code ? self.answer(InitOut, { major: 7, minor: 45 }) : OK,
  );
  const mount = new Mount(channel, new StubWindow(ranges), { clock: new ManualClock(), reclaim });
  expect(mount.session.init()).toBe(OK);
  const dax = mount.dax as Dax;
  const inode = new Inode(10 as NodeId, 0, S_IFREG, true);
  inode.size = 1000 * RANGE;
  const access = (...chunks: number[]) => {
    for (const chunk of chunks) dax.end(dax.begin(inode, chunk, false));
    dax.checkInvariants();
  };
  const removed = () => channel.of(REMOVE).map(({ args }) => RemovemappingIn.count.get(args, 0));
  return { channel, mount, dax, inode, access, removed };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test('when fewer than a fifth are free, up to ten ranges go in one message that nobody waits for', () => {
  const { access, removed, mount, dax, channel } = boot(100, 'background');
  let posts = 0;
  channel.onPost = () => posts++;
  access(...upTo(80));
  expect(removed()).toEqual([]);
  access(80);
  expect([removed(), posts]).toEqual([[10], 1]);
  expect(mount.counters).toMatchObject({ reclaimPasses: 1, rangesReclaimedEarly: 10, mappingsReclaimed: 0 });
  access(81);
  expect(dax.pool.freeCount).toBe(28);
});

test('inline sends no removal at all: a mapping replaces the one before', () => {
  const { access, removed, mount } = boot(20, 'inline');
  access(...upTo(60));
  expect(removed()).toEqual([]);
  expect(mount.counters).toMatchObject({ reclaimPasses: 0, mappingsReclaimed: 40, mappingStalls: 60 });
});

test('a range is not free before the host has answered: the device may take requests in any order', () => {
  const { access, dax, channel } = boot(5, 'background');
  channel.onPost = () => {
    channel.pending = 1;
  };
  access(0, 1, 2, 3, 4);
  expect([dax.pool.freeCount, dax.pool.busyCount]).toEqual([0, 4]);
  channel.pending = 0;
  access(5);
  // The one given back was taken at once, and another is on its way.
  expect([dax.pool.freeCount, dax.pool.busyCount]).toEqual([0, 4]);
  expect(channel.of(SETUP)).toHaveLength(6);
});

test('who needs a range that is on its way waits for the answer, and that counts as a stall', () => {
  const { access, mount, channel } = boot(5, 'background');
  channel.onPost = () => {
    channel.pending = 1;
  };
  access(0, 1, 2, 3, 4);
  const before = mount.counters.mappingStalls;
  access(5);
  expect(mount.counters.mappingStalls - before).toBe(2);
  expect(mount.counters.mappingsReclaimed).toBe(0);
});

test('ranges in use are left alone', () => {
  const { dax, inode, access, mount } = boot(5, 'background');
  const held = upTo(5).map((chunk) => dax.begin(inode, chunk, false));
  expect(mount.counters.rangesReclaimedEarly).toBeLessThanOrEqual(1);
  dax.checkInvariants();
  for (const index of held) dax.end(index);
  access(9);
});
