/**
 * What this project adds to FUSE, for the question who allocates the DAX window: operations, structs and flags that no
 * FUSE ABI has. They are used only between ends that agreed on their INIT bit; numbers are far from those assigned, and
 * no session of a kernel is ever offered them.
 *
 * MAP is FUSE_MAP of the fuse2 prototype (its opcode 50 and open flag 1 << 5 mean SYNCFS and NOFLUSH today): "what you
 * ask for is found from `offset` of the window on, for `size` bytes, as grant `mapfd`". The reply may carry a recall:
 * ranges that the server wants back, answered by UNMAP.
 */
import { INIT_FLAG_BITS } from './flags.ts';
import type { Op } from './ops.ts';
import { type AnyStruct, bits64, struct, u32, u64 } from './struct.ts';

/** A reply is its struct alone when nothing is granted and nothing recalled: `size` and `count` are 0. */
export const MapIn = struct('virtiofs_map_in', {
  fh: bits64,
  offset: u64,
  size: u64,
  flags: u32,
  padding: u32,
  moffset: bits64,
});
export const MapOut = struct('virtiofs_map_out', { mapfd: u64, offset: u64, size: u64, flags: u32, count: u32 });
/** `mapfd` of 0 fits no grant: grants are counted from 1 and never reused in a session. */
export const MapRange = struct('virtiofs_map_range', { mapfd: u64, offset: u64, size: u64 });
export const UnmapIn = struct('virtiofs_unmap_in', { count: u32, padding: u32 });
export const UnmapOne = struct('virtiofs_unmap_one', { mapfd: u64, offset: u64, size: u64, flags: u32, padding: u32 });
/** SETUPMAPPING's reply, with PRIVATE_MAPPED_LENGTH: how much of what was asked for is mapped, from its start. */
export const SetupmappingOut = struct('virtiofs_setupmapping_out', { len: u64 });

export const PRIVATE_STRUCTS: readonly AnyStruct[] = [MapIn, MapOut, MapRange, UnmapIn, UnmapOne, SetupmappingOut];

/** virtiofs_map_in.flags */
export const MAP_FLAGS = {
  MAP_WRITE: 1 << 0,
  /** A recall that came in answer to the same request was answered: ask for other ranges now. */
  MAP_RETRY: 1 << 1,
  /** Ask for nothing back: the client takes ranges from its own files. */
  MAP_NO_RECALL: 1 << 2,
} as const;

/** virtiofs_map_out.flags */
export const MAP_OUT_FLAGS = {
  /** The server chose the place; without it, the client's wish was granted. */
  MAP_CHOSEN: 1 << 0,
} as const;

/** virtiofs_unmap_one.flags */
export const UNMAP_FLAGS = {
  /** Not given back: the client uses it. */
  UNMAP_PINNED: 1 << 0,
} as const;

/** Bits of INIT, in `flags2`: the highest two. */
export const PRIVATE_INIT_BITS = {
  /** MAP and UNMAP own the window; SETUPMAPPING and REMOVEMAPPING are refused. */
  PRIVATE_MAP: 62,
  /** SETUPMAPPING has a reply, and may map less than it was asked to. */
  PRIVATE_MAPPED_LENGTH: 63,
} as const;

export const INIT_BITS = { ...INIT_FLAG_BITS, ...PRIVATE_INIT_BITS };
export type InitFlag = keyof typeof INIT_BITS;

const PRIVATE_BASE = 0x4d00;

export const PRIVATE_OPS = {
  MAP: {
    code: PRIVATE_BASE,
    since: 0,
    queue: 'request',
    request: [{ part: 'struct', struct: MapIn }],
    reply: [
      { part: 'struct', struct: MapOut },
      { part: 'many', struct: MapRange, count: MapOut.count },
    ],
  },
  UNMAP: {
    code: PRIVATE_BASE + 1,
    since: 0,
    queue: 'request',
    request: [
      { part: 'struct', struct: UnmapIn },
      { part: 'many', struct: UnmapOne, count: UnmapIn.count },
    ],
    reply: [],
  },
} as const satisfies Record<string, Op>;

export type PrivateOpName = keyof typeof PRIVATE_OPS;

/** Tables by opcode have FUSE's operations first, and the private ones from here on. */
const FIRST_PRIVATE = 60;
/** Entries of such a table. */
export const OP_ROOM = 64;

/** Returns where an opcode stands in a table of OP_ROOM entries; −1 = in none. */
export function opIndex(code: number): number {
  if (code < FIRST_PRIVATE) return code;
  const index = code - PRIVATE_BASE + FIRST_PRIVATE;
  return index >= FIRST_PRIVATE && index < OP_ROOM ? index : -1;
}
