/** A host with a memory file system and some guests mounted from it, all in one thread and on one clock. */
import { expect } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { InlineDoorbell } from '../../src/base/doorbell.ts';
import { DaxWindow } from '../../src/dax/window.ts';
import { MemoryFileSystem } from '../../src/fs/memory.ts';
import { type Guest, mountOver } from '../../src/guest/guest.ts';
import type { MountOptions } from '../../src/guest/options.ts';
import type { CpuSlot } from '../../src/host/cpu-slot.ts';
import { WindowMapper } from '../../src/host/mapper.ts';
import type { Mapper } from '../../src/host/mapper-types.ts';
import { Server } from '../../src/host/server.ts';
import type { Session, SessionOptions } from '../../src/host/session.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { OPS, type OpName } from '../../src/wire/ops.ts';
import { createTestPages } from '../fakes/pages.ts';
import { CHANNEL_ROOM, DirectChannel } from './direct-channel.ts';

const SCRATCH = 64 * 1024;

export interface WorldOptions {
  readonly guests?: number;
  /** 2 MiB ranges of each guest's window; 0 = no window. */
  readonly ranges?: number;
  readonly frames?: number;
  readonly mount?: Partial<MountOptions>;
  readonly session?: Partial<SessionOptions>;
}

export interface Mounted {
  readonly guest: Guest;
  readonly channel: DirectChannel;
  readonly session: Session;
}

export type World = ReturnType<typeof boot>;

export function boot(options: WorldOptions = {}) {
  const { guests = 1, ranges = 0, frames = 8192 } = options;
  const roomSize = SCRATCH + guests * CHANNEL_ROOM;
  const pages = createTestPages({ frames, roomSize, guests, ranges: Math.max(1, ranges) });
  const clock = new ManualClock();
  const lines: string[] = [];
  const memory = new MemoryFileSystem({ pageCache: pages.pageCache, clock, sizeLimit: frames * 4096, maxInodes: 5000 });
  const scratch = new SegmentList();
  scratch.push(pages.room, SCRATCH);
  const server = new Server({ fs: memory, clock, log: (level, text) => lines.push(`${level} ${text}`), scratch });
  const mounted = pages.slots.map((slot, index): Mounted => {
    const mapper = ranges > 0 ? new WindowMapper(slot, pages.pageCache, server.store) : undefined;
    const session = server.openSession({ ...options.session, window: mapper as Mapper | undefined });
    const room = pages.room + SCRATCH + index * CHANNEL_ROOM;
    const channel = new DirectChannel(session, pages.pageCache.bytes, room, ranges > 0);
    const window = mapper === undefined ? undefined : windowOf(pages, slot, mapper);
    return { guest: mountOver(channel, window, { clock, ...options.mount }), channel, session };
  });
  const first = mounted[0] as Mounted;
  const check = (): void => {
    server.checkInvariants();
    memory.checkInvariants();
    pages.pageCache.checkInvariants();
    for (const { guest, session } of mounted) {
      guest.mount.checkInvariants();
      checkRanges(guest, session);
    }
  };
  const unmountAll = (): void => {
    for (const { guest, session } of mounted) {
      guest.dropCaches();
      expect(session.lookups.size).toBe(guest.mount.inodes.count - 1);
      guest.unmount();
    }
    expect(lines).toEqual([]);
  };
  return { ...first, mounted, clock, lines, memory, server, pages, check, unmountAll };
}

/** What the guest believes of each range is what the server granted: none is lost, none shows another's file. */
function checkRanges(guest: Guest, { maps, negotiated }: Session): void {
  const pool = guest.mount.dax?.pool;
  if (pool === undefined || maps === undefined || !negotiated.has('PRIVATE_MAP')) return;
  for (const range of pool.ranges) {
    const shown = maps.shown(range.index);
    const believed = range.inode && `n${range.inode.nodeid} chunk ${range.chunk} grant ${range.grant}`;
    expect(believed, `range ${range.index}`).toBe(shown && `n${shown.nodeid} chunk ${shown.chunk} grant ${shown.id}`);
  }
  expect(pool.freeCount).toBe(maps.free);
}

/** Requests sent since the last call, by name. */
export function requestsOf(channel: DirectChannel): OpName[] {
  const names = channel.sent.splice(0).map((code) => NAMES.get(code) as OpName);
  return names;
}

/** What a call throws: its code, or its message when it has none. */
export function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'OK';
}

const NAMES = new Map<number, OpName>(Object.entries(OPS).map(([name, op]) => [op.code, name as OpName]));

function windowOf(pages: ReturnType<typeof createTestPages>, slot: CpuSlot, mapper: WindowMapper): DaxWindow {
  const answer = () => {
    if (slot.takeFault()) slot.answerFault(mapper.resolveFault());
  };
  return new DaxWindow({
    exports: pages.wasm,
    buffer: pages.memory.buffer,
    cpu: slot.place.cpuAt,
    tableAt: slot.place.tableAt,
    pinsAt: slot.place.pinsAt,
    rangeCount: slot.place.rangeCount,
    hostBell: new InlineDoorbell(),
    guestBell: new InlineDoorbell(answer),
    spins: 0,
  });
}
