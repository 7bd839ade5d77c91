/** Builds whole messages from the op table, for the tests of this folder. */
import { bytesOfText, setBytes } from '../../src/base/bytes.ts';
import { InHeader, OutHeader } from '../../src/wire/fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../src/wire/ids.ts';
import { DEFAULT_SIZES, type MessageSizes } from '../../src/wire/message.ts';
import { OPS, type Op, type Part } from '../../src/wire/ops.ts';
import { type AnyStruct, encode, sizeOf } from '../../src/wire/struct.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface Build {
  readonly header?: Fields;
  /** Fields of the first struct, of the second, and so on. */
  readonly args?: Fields;
  readonly more?: Fields;
  readonly names?: readonly string[];
  readonly data?: string;
  readonly many?: readonly Fields[];
  /** In words of 8 bytes. */
  readonly extensions?: number;
}

/** A request with `unique` 5, nodeid 1, pid 9 unless told otherwise. */
export function request(op: Op, build: Build, sizes: MessageSizes = DEFAULT_SIZES): DataView {
  const room = new DataView(new ArrayBuffer(8192));
  const isInit = op === OPS.INIT;
  const end = put(op.request, build, room, IN_HEADER_SIZE, (s) => (isInit ? sizeOf(s) : sizes.of(s)));
  const header = { unique: 5n, nodeid: 1, pid: 9, total_extlen: build.extensions ?? 0, ...build.header };
  encode(InHeader, room, 0, { len: end, opcode: op.code, ...header } as never);
  return new DataView(room.buffer.slice(0, end));
}

export function reply(op: Op, build: Build, sizes: MessageSizes = DEFAULT_SIZES): DataView {
  return answer(op.reply === 'none' ? [] : op.reply, build, 0, sizes);
}

/** A reply or notification: `error` is a negative errno or a notify code. */
export function answer(parts: readonly Part[], build: Build, error: number, sizes = DEFAULT_SIZES): DataView {
  const room = new DataView(new ArrayBuffer(8192));
  const end = put(parts, build, room, OUT_HEADER_SIZE, (s) => sizes.of(s));
  encode(OutHeader, room, 0, { len: end, error, unique: 5n, ...build.header } as never);
  return new DataView(room.buffer.slice(0, end));
}

function put(
  parts: readonly Part[],
  build: Build,
  view: DataView,
  start: number,
  sizeIn: (s: AnyStruct) => number,
): number {
  let at = start;
  const structs = [build.args, build.more];
  const names = [...(build.names ?? [])];
  for (const part of parts) {
    if (part.part === 'struct') {
      encode(part.struct, view, at, (structs.shift() ?? {}) as never);
      at += sizeIn(part.struct);
    } else if (part.part === 'name') {
      at = setBytes(view, at, bytesOfText(names.shift() ?? 'name'));
      view.setUint8(at++, 0);
    } else if (part.part === 'many') {
      for (const element of build.many ?? []) {
        encode(part.struct, view, at, element as never);
        at += sizeOf(part.struct);
      }
    } else if (part.part === 'extensions') at += 8 * (build.extensions ?? 0);
    else at = setBytes(view, at, bytesOfText(build.data ?? ''));
  }
  return at;
}
