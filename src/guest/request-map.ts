/** MAP and UNMAP, the private operations with which the host chooses where a mapping goes. */
import { assert } from '../base/assert.ts';
import { EIO, type Errno, OK } from '../wire/errno.ts';
import type { NodeId } from '../wire/ids.ts';
import {
  MAP_FLAGS,
  MAP_OUT_FLAGS,
  MapIn,
  MapOut,
  MapRange,
  PRIVATE_OPS,
  UNMAP_FLAGS,
  UnmapIn,
  UnmapOne,
} from '../wire/private.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Session } from './session.ts';

/** Entries of one UNMAP: as many as a posted request has room for. */
export const UNMAP_BATCH = 30;
/** Ranges that one reply may ask back. */
const RECALL_ROOM = 16;
const ALL_ONES = 0xffff_ffff;
const UNMAP_IN_SIZE = sizeOf(UnmapIn);
const UNMAP_ONE_SIZE = sizeOf(UnmapOne);

/** A range the server asks for. */
export interface Recalled {
  readonly grant: number;
  readonly moffset: number;
}

export class MapRequests {
  /** What the last `map` was granted; `size` 0 = nothing. */
  grant = 0;
  moffset = 0;
  size = 0;
  isChosen = false;
  /** What came with it. */
  readonly recalled: Recalled[] = [];
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Asks to show [foffset, foffset + size) of a file, at `wish` of the window or (−1) where the server likes. */
  map(nodeid: NodeId, foffset: number, size: number, flags: number, wish: number): Errno {
    const { channel } = this.#session;
    const at = this.#session.begin(PRIVATE_OPS.MAP.code, nodeid, sizeOf(MapIn), sizeOf(MapOut));
    // The recall follows the reply's struct, in the room kept for replies.
    channel.request.dataOut = channel.reply + sizeOf(MapOut);
    channel.request.dataOutSize = RECALL_ROOM * sizeOf(MapRange);
    MapIn.fh.setWords(channel.view, at, ALL_ONES, ALL_ONES);
    MapIn.offset.set(channel.view, at, foffset);
    MapIn.size.set(channel.view, at, size);
    MapIn.flags.set(channel.view, at, flags);
    if (wish < 0) MapIn.moffset.setWords(channel.view, at, ALL_ONES, ALL_ONES);
    else MapIn.moffset.setWords(channel.view, at, wish >>> 0, Math.floor(wish / 2 ** 32));
    this.size = 0;
    this.recalled.length = 0;
    const errno = this.#session.call();
    return errno === OK ? this.#take() : errno;
  }

  /** Starts an UNMAP; `add` adds entries, `send` or `post` sends it. */
  beginUnmap(nodeid: NodeId): void {
    this.#session.begin(PRIVATE_OPS.UNMAP.code, nodeid, UNMAP_IN_SIZE, 0);
  }

  add(grant: number, moffset: number, size: number, isPinned: boolean): void {
    const { view, request, args } = this.#session.channel;
    const count = UnmapIn.count.get(view, args);
    assert(count < UNMAP_BATCH, 'an UNMAP holds at most one batch');
    const at = args + UNMAP_IN_SIZE + count * UNMAP_ONE_SIZE;
    UnmapOne.mapfd.set(view, at, grant);
    UnmapOne.offset.set(view, at, moffset);
    UnmapOne.size.set(view, at, size);
    UnmapOne.flags.set(view, at, isPinned ? UNMAP_FLAGS.UNMAP_PINNED : 0);
    UnmapOne.padding.set(view, at, 0);
    UnmapIn.count.set(view, args, count + 1);
    request.argSize = UNMAP_IN_SIZE + (count + 1) * UNMAP_ONE_SIZE;
  }

  send(): Errno {
    return this.#session.call();
  }

  post(): void {
    this.#session.post();
  }

  #take(): Errno {
    const { view, reply, received } = this.#session.channel;
    const count = MapOut.count.get(view, reply);
    if (count > RECALL_ROOM || received < sizeOf(MapOut) + count * sizeOf(MapRange)) return EIO;
    this.grant = MapOut.mapfd.get(view, reply);
    this.moffset = MapOut.offset.get(view, reply);
    this.size = MapOut.size.get(view, reply);
    this.isChosen = (MapOut.flags.get(view, reply) & MAP_OUT_FLAGS.MAP_CHOSEN) !== 0;
    for (let i = 0; i < count; i++) {
      const at = reply + sizeOf(MapOut) + i * sizeOf(MapRange);
      this.recalled.push({ grant: MapRange.mapfd.get(view, at), moffset: MapRange.offset.get(view, at) });
    }
    return OK;
  }
}

/** The flag words of MAP requests. */
export function mapFlags(writable: boolean, more = 0): number {
  return (writable ? MAP_FLAGS.MAP_WRITE : 0) | more;
}
