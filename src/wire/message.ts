/**
 * The shape of whole messages, derived from the op table: how large they are, where their parts lie, and whether one is
 * well-formed. The server checks a request here once; after that no handler checks a length.
 *
 * Sizes depend on what INIT agreed on, because some structs have grown. `MessageSizes` is that choice.
 */
import type { ByteString } from '../base/bytes.ts';
import { EINVAL, ENAMETOOLONG, type Errno, OK } from './errno.ts';
import { INIT_FLAG_BITS } from './flags.ts';
import * as fuse from './fuse.ts';
import { FUSE_KERNEL_MINOR_VERSION, IN_HEADER_SIZE, NAME_MAX } from './ids.ts';
import { OPS, type Op, type OpName, type Part } from './ops.ts';
import { OP_ROOM, opIndex, PRIVATE_OPS, type PrivateOpName } from './private.ts';
import { type AnyStruct, sizeOf } from './struct.ts';
import type { U32 } from './types.ts';

/** One size that a struct has had: below a minor, or as long as a flag is not agreed on. */
export interface CompatSize {
  readonly struct: AnyStruct;
  readonly size: number;
  readonly belowMinor?: number;
  readonly without?: 'FUSE_INIT_EXT' | 'FUSE_SETXATTR_EXT';
}

/** The smallest minor first, so that the first row that applies is the right one. */
export const COMPAT_SIZES: readonly CompatSize[] = [
  { struct: fuse.EntryOut, size: 120, belowMinor: 9 },
  { struct: fuse.AttrOut, size: 96, belowMinor: 9 },
  { struct: fuse.GetattrIn, size: 0, belowMinor: 9 },
  { struct: fuse.MknodIn, size: 8, belowMinor: 12 },
  { struct: fuse.CreateIn, size: 8, belowMinor: 12 },
  { struct: fuse.WriteIn, size: 24, belowMinor: 9 },
  { struct: fuse.StatfsOut, size: 48, belowMinor: 4 },
  { struct: fuse.InitOut, size: 8, belowMinor: 5 },
  { struct: fuse.InitOut, size: 24, belowMinor: 23 },
  { struct: fuse.InitIn, size: 16, without: 'FUSE_INIT_EXT' },
  { struct: fuse.SetxattrIn, size: 8, without: 'FUSE_SETXATTR_EXT' },
];

/** The operations by opcode; holes where there is none. CUSE_INIT is not in it: it never travels over virtio. */
export const OP_BY_CODE: readonly (Op | undefined)[] = byCode((_, op) => op);
/** Their names by opcode. */
export const OP_NAME_BY_CODE: readonly (OpName | undefined)[] = byCode((name) => name);

/** All operations between two ends of this project, private ones included, by `opIndex`. */
export const OP_BY_INDEX: readonly (Op | undefined)[] = byIndex();
const PRIVATE_NAMES = new Map<number, PrivateOpName>(
  Object.entries(PRIVATE_OPS).map(([name, op]) => [op.code, name as PrivateOpName]),
);
const SHAPES = OP_BY_INDEX.map((op) => (op === undefined ? undefined : shapeOf(op)));

/** Returns the operation with this number, a private one included. */
export function opOf(code: number): Op | undefined {
  return OP_BY_INDEX[opIndex(code)];
}

export function opNameOf(code: number): OpName | PrivateOpName | undefined {
  return OP_NAME_BY_CODE[code] ?? PRIVATE_NAMES.get(code);
}

/** The sizes of all messages between two ends that agreed on a minor and on SETXATTR_EXT or not. Make one per INIT. */
export class MessageSizes {
  readonly minor: number;
  readonly hasSetxattrExt: boolean;
  /** By `opIndex`: bytes of the request's structs, header excluded. */
  readonly requestStructs: Uint16Array;
  /** By `opIndex`: bytes of the reply's structs, header excluded; what `either` may bring is not counted. */
  readonly replyStructs: Uint16Array;

  constructor(minor: number, hasSetxattrExt: boolean) {
    this.minor = minor;
    this.hasSetxattrExt = hasSetxattrExt;
    this.requestStructs = Uint16Array.from(OP_BY_INDEX, (op) => this.#total(op?.request ?? []));
    this.replyStructs = Uint16Array.from(OP_BY_INDEX, (op) =>
      op === undefined || op.reply === 'none' ? 0 : this.#total(op.reply),
    );
  }

  /** Returns the bytes that `struct` has between these ends. For `fuse_init_in`: the least it has. */
  of(struct: AnyStruct): number {
    for (const row of COMPAT_SIZES) {
      if (row.struct === struct && this.#applies(row)) return row.size;
    }
    return sizeOf(struct);
  }

  #applies(row: CompatSize): boolean {
    if (row.belowMinor !== undefined) return this.minor < row.belowMinor;
    return row.without === 'FUSE_SETXATTR_EXT' ? !this.hasSetxattrExt : true;
  }

  #total(parts: readonly Part[]): number {
    return parts.reduce((sum, part) => (part.part === 'struct' ? sum + this.of(part.struct) : sum), 0);
  }
}

/** What holds before INIT, and after it between ends of today that did not agree on SETXATTR_EXT. */
export const DEFAULT_SIZES = new MessageSizes(FUSE_KERNEL_MINOR_VERSION, false);

/** Returns the bytes of the structs in a request, header excluded. */
export function requestStructSize(op: Op, sizes: MessageSizes = DEFAULT_SIZES): number {
  return sizes.requestStructs[opIndex(op.code)] ?? 0;
}

/** Returns the bytes of the structs in a successful reply, header excluded. */
export function replyStructSize(op: Op, sizes: MessageSizes = DEFAULT_SIZES): number {
  return sizes.replyStructs[opIndex(op.code)] ?? 0;
}

/** Returns the size of the smallest well-formed request: header, structs, and a NUL for each name. */
export function minRequestSize(op: Op, sizes: MessageSizes = DEFAULT_SIZES): number {
  return IN_HEADER_SIZE + requestStructSize(op, sizes) + (SHAPES[opIndex(op.code)]?.names ?? 0);
}

/** A request as a server holds it: a private copy of everything but bulk data, from position 0. */
export interface RequestBytes {
  readonly request: DataView;
  /** Bytes in `request`. */
  readonly requestSize: number;
  /** Bytes of the whole message; what exceeds `requestSize` stayed where the peer put it. */
  readonly messageSize: number;
}

/**
 * Returns what is wrong with the request's shape, or undefined. Whatever it is, the answer is EINVAL: the text is for
 * the log. Afterwards the header, all structs, the names with their NULs, all repeated structs and the extensions are
 * known to be inside `request`, and the bytes that the request announces to be inside the message.
 */
export function checkRequest(op: Op, call: RequestBytes, sizes: MessageSizes = DEFAULT_SIZES): string | undefined {
  const { request, requestSize, messageSize } = call;
  const index = opIndex(op.code);
  const shape = SHAPES[index];
  if (shape === undefined) return 'not an operation of virtio-fs';
  if (requestSize < IN_HEADER_SIZE || requestSize > request.byteLength) return 'no whole header';
  if (requestSize > messageSize) return 'more bytes than the message has';
  if (fuse.InHeader.len.get(request, 0) !== messageSize) return 'header.len is not the size of the message';
  const end = messageSize - extensionsSize(request);
  const names = IN_HEADER_SIZE + (sizes.requestStructs[index] as number);
  if (end < names || requestSize < names) return 'shorter than its structs';
  if (shape.hasExtensions && requestSize < messageSize) return 'extensions outside the copy';
  if (op.code === OPS.INIT.code) return checkInit(request, end);
  const tail = skipNames(request, names, Math.min(end, requestSize), shape.names);
  if (tail < 0) return 'a name without its NUL';
  return checkTail(shape, call, tail, end);
}

/** Returns where the `index`-th name (or link target) of a checked request starts; it runs up to its NUL. */
export function nameAt(op: Op, request: DataView, index: number, sizes: MessageSizes = DEFAULT_SIZES): number {
  let at = IN_HEADER_SIZE + requestStructSize(op, sizes);
  for (let i = 0; i < index; i++) at += nameLength(request, at) + 1;
  return at;
}

/** Returns the bytes before the NUL of the name at `at` in a checked request. */
export function nameLength(request: DataView, at: number): number {
  let end = at;
  while (request.getUint8(end) !== 0) end++;
  return end - at;
}

/** Returns where a checked request's bytes or repeated structs start: after its structs and names. */
export function tailAt(op: Op, request: DataView, sizes: MessageSizes = DEFAULT_SIZES): number {
  return nameAt(op, request, SHAPES[opIndex(op.code)]?.names ?? 0, sizes);
}

/** Returns the bytes of the extensions at the very end of a request. */
export function extensionsSize(request: DataView): number {
  return fuse.InHeader.total_extlen.get(request, 0) * 8;
}

/** Returns the position of the first NUL in view[at … end − 1], or −1. */
export function findNul(view: DataView, at: number, end: number): number {
  for (let i = at; i < end; i++) {
    if (view.getUint8(i) === 0) return i;
  }
  return -1;
}

/**
 * Returns OK for what can be the name of an entry. "." and ".." cannot: LOOKUP, the only one that may ask for them,
 * must look at them first.
 */
export function checkName(name: ByteString): Errno {
  if (name.length > NAME_MAX) return ENAMETOOLONG;
  if (name === '' || name === '.' || name === '..') return EINVAL;
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i);
    if (byte === 0x2f || byte === 0) return EINVAL;
  }
  return OK;
}

/** What `checkRequest` needs to know about an operation, besides its structs' sizes. */
interface Shape {
  readonly names: number;
  readonly hasExtensions: boolean;
  /** In the request's first struct: how many elements follow, or how many bytes (`elementSize` 1). */
  readonly count: U32 | undefined;
  readonly elementSize: number;
  /** The elements are read in place, so they must be in the copy, and fill the message exactly. */
  readonly isMany: boolean;
}

function shapeOf(op: Op): Shape {
  let names = 0;
  let hasExtensions = false;
  let count: U32 | undefined;
  let elementSize = 1;
  let isMany = false;
  for (const part of op.request) {
    if (part.part === 'name') names++;
    else if (part.part === 'extensions') hasExtensions = true;
    else if (part.part === 'bytes') count = part.size;
    else if (part.part === 'many') {
      count = part.count;
      elementSize = sizeOf(part.struct);
      isMany = true;
    }
  }
  return { names, hasExtensions, count, elementSize, isMany };
}

function byCode<T>(make: (name: OpName, op: Op) => T): readonly (T | undefined)[] {
  const table: (T | undefined)[] = [];
  for (const [name, op] of Object.entries(OPS) as [OpName, Op][]) {
    if (op === OPS.CUSE_INIT) continue;
    while (table.length <= op.code) table.push(undefined);
    table[op.code] = make(name, op);
  }
  return table;
}

function byIndex(): readonly (Op | undefined)[] {
  const table = new Array<Op | undefined>(OP_ROOM).fill(undefined);
  for (const op of [...OP_BY_CODE, ...Object.values(PRIVATE_OPS)]) {
    if (op !== undefined) table[opIndex(op.code)] = op;
  }
  return table;
}

/** SPEC: fs/fuse/inode.c, fuse_send_init: INIT_EXT goes with the long struct. */
function checkInit(request: DataView, end: number): string | undefined {
  const hasExt = (fuse.InitIn.flags.get(request, IN_HEADER_SIZE) & (1 << INIT_FLAG_BITS.FUSE_INIT_EXT)) !== 0;
  return hasExt && end < IN_HEADER_SIZE + sizeOf(fuse.InitIn) ? 'FUSE_INIT_EXT with a short fuse_init_in' : undefined;
}

/** Returns the position after `count` NUL-terminated names, or −1 if they do not all end before `end`. */
function skipNames(request: DataView, at: number, end: number, count: number): number {
  let next = at;
  for (let i = 0; i < count; i++) {
    const nul = findNul(request, next, end);
    if (nul < 0) return -1;
    next = nul + 1;
  }
  return next;
}

function checkTail(shape: Shape, call: RequestBytes, at: number, end: number): string | undefined {
  if (shape.count === undefined) return undefined;
  const size = shape.count.get(call.request, IN_HEADER_SIZE) * shape.elementSize;
  if (!shape.isMany) return at + size <= end ? undefined : 'fewer bytes than announced';
  if (at + size !== end) return 'not as many elements as announced';
  return end <= call.requestSize ? undefined : 'elements outside the copy';
}
