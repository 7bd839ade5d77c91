/**
 * MAP and UNMAP: mappings whose place the server chooses, and the recall that goes with that.
 *
 * A recall is carried by the reply to a MAP: the client that is asked is the one that needs the ranges, it does nothing
 * else while it waits for the reply, and no queue has to be polled. See docs/decisions/0018-who-allocates.md.
 */
import { EBADF, EINVAL, EISDIR, ENOMEM, ENOSYS, EROFS, type Errno, OK } from '../wire/errno.ts';
import { OUT_HEADER_SIZE } from '../wire/ids.ts';
import { S_IFDIR, S_IFREG } from '../wire/mode.ts';
import { MAP_FLAGS, MAP_OUT_FLAGS, MapIn, MapOut, MapRange, UNMAP_FLAGS, UnmapIn, UnmapOne } from '../wire/private.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Call } from './call.ts';
import { MAP_UNIT } from './mapper-types.ts';
import type { Grant, RangeAllocator } from './range-allocator.ts';
import { ARGS, nodeidOf } from './request.ts';
import type { Session } from './session.ts';

const { MAP_WRITE, MAP_RETRY, MAP_NO_RECALL } = MAP_FLAGS;
const { UNMAP_PINNED } = UNMAP_FLAGS;
const ALL_ONES = 0xffff_ffff;
const FIRST = ARGS + sizeOf(UnmapIn);
const LIST = OUT_HEADER_SIZE + sizeOf(MapOut);

export function map(session: Session, call: Call): Errno {
  const maps = allocatorOf(session);
  if (maps === undefined) return ENOSYS;
  const problem = checkMap(call.request, maps);
  if (problem !== undefined) return session.refuse(call, EINVAL, problem);
  const inode = session.resolve(nodeidOf(call));
  if (inode === undefined) return EBADF;
  if (inode.type !== S_IFREG) return inode.type === S_IFDIR ? EISDIR : EINVAL;
  const flags = MapIn.flags.get(call.request, ARGS);
  const writable = (flags & MAP_WRITE) !== 0;
  if (writable && session.fs.readOnly) return EROFS;
  const chunk = MapIn.offset.get(call.request, ARGS) / MAP_UNIT;
  const count = Math.min(maps.total, MapIn.size.get(call.request, ARGS) / MAP_UNIT);
  const wish = wishOf(call.request);
  maps.begin((flags & MAP_RETRY) !== 0);
  const errno =
    wish < 0 ? maps.map(inode, chunk, count, writable) : maps.mapAt(inode, chunk, count, writable, wish / MAP_UNIT);
  return errno === OK ? answer(session, call, maps, wish, (flags & MAP_NO_RECALL) === 0) : errno;
}

/** Gives ranges back, or says of ranges that were asked for that they are in use. */
export function unmap(session: Session, call: Call): Errno {
  const maps = allocatorOf(session);
  if (maps === undefined) return ENOSYS;
  const { request } = call;
  const count = UnmapIn.count.get(request, ARGS);
  if (count === 0) return session.refuse(call, EINVAL, 'no entries');
  for (let i = 0; i < count; i++) {
    const at = FIRST + i * sizeOf(UnmapOne);
    const offset = UnmapOne.offset.get(request, at);
    const size = UnmapOne.size.get(request, at);
    if (!isInWindow(maps, offset, size)) return session.refuse(call, EINVAL, `no window range ${offset}+${size}`);
    UnmapOne.mapfd.get(request, at);
    const flags = UnmapOne.flags.get(request, at);
    if ((flags & ~UNMAP_PINNED) !== 0) return session.refuse(call, EINVAL, `unmap flags ${flags}`);
  }
  for (let i = 0; i < count; i++) unmapOne(maps, request, FIRST + i * sizeOf(UnmapOne));
  return OK;
}

function unmapOne(maps: RangeAllocator, request: DataView, at: number): void {
  const id = UnmapOne.mapfd.get(request, at);
  const isPinned = UnmapOne.flags.get(request, at) === UNMAP_PINNED;
  const first = UnmapOne.offset.get(request, at) / MAP_UNIT;
  const end = first + UnmapOne.size.get(request, at) / MAP_UNIT;
  for (let range = first; range < end; range++) {
    if (isPinned) maps.keep(id, range);
    else maps.release(id, range);
  }
}

function answer(session: Session, call: Call, maps: RangeAllocator, wish: number, mayRecall: boolean): Errno {
  const { reply } = call;
  const room = Math.floor((call.replyRoom - LIST) / sizeOf(MapRange));
  const recalled: Grant[] = [];
  const isNeeded = maps.count === 0;
  if (mayRecall && (isNeeded || maps.isLow)) maps.recall(isNeeded, recalled, room);
  if (isNeeded) session.host.mapCounts.refused++;
  if (isNeeded && recalled.length === 0) return ENOMEM;
  if (!isNeeded) {
    MapOut.mapfd.set(reply, OUT_HEADER_SIZE, maps.id);
    MapOut.offset.set(reply, OUT_HEADER_SIZE, maps.range * MAP_UNIT);
    MapOut.size.set(reply, OUT_HEADER_SIZE, maps.count * MAP_UNIT);
    const isWish = maps.range * MAP_UNIT === wish;
    MapOut.flags.set(reply, OUT_HEADER_SIZE, isWish ? 0 : MAP_OUT_FLAGS.MAP_CHOSEN);
  }
  MapOut.count.set(reply, OUT_HEADER_SIZE, recalled.length);
  for (const [i, grant] of recalled.entries()) {
    const at = LIST + i * sizeOf(MapRange);
    MapRange.mapfd.set(reply, at, grant.id);
    MapRange.offset.set(reply, at, grant.range * MAP_UNIT);
    MapRange.size.set(reply, at, MAP_UNIT);
  }
  call.replySize = LIST + recalled.length * sizeOf(MapRange);
  return OK;
}

/** The allocator, where both ends agreed that it owns the window. */
function allocatorOf(session: Session): RangeAllocator | undefined {
  return session.negotiated.has('PRIVATE_MAP') ? session.maps : undefined;
}

function checkMap(request: DataView, maps: RangeAllocator): string | undefined {
  const offset = MapIn.offset.get(request, ARGS);
  const size = MapIn.size.get(request, ARGS);
  const flags = MapIn.flags.get(request, ARGS);
  if ((flags & ~(MAP_WRITE | MAP_RETRY | MAP_NO_RECALL)) !== 0) return `map flags ${flags}`;
  if (offset % MAP_UNIT !== 0 || size === 0 || size % MAP_UNIT !== 0) return `${offset}+${size} is not aligned`;
  if (!Number.isSafeInteger(offset + size)) return `${offset}+${size} is too far`;
  const wish = wishOf(request);
  return wish < 0 || isInWindow(maps, wish, size) ? undefined : `no window range ${wish}+${size}`;
}

/** −1: the server chooses. */
function wishOf(request: DataView): number {
  const low = MapIn.moffset.low(request, ARGS);
  const high = MapIn.moffset.high(request, ARGS);
  return low === ALL_ONES && high === ALL_ONES ? -1 : high * 2 ** 32 + low;
}

function isInWindow(maps: RangeAllocator, offset: number, size: number): boolean {
  return size > 0 && size % MAP_UNIT === 0 && offset % MAP_UNIT === 0 && offset + size <= maps.total * MAP_UNIT;
}
