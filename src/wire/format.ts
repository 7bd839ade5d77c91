/**
 * A message → one line of a trace, from the tables, in the manner of go-fuse:
 *
 *   rx 5: LOOKUP n1 "hello.txt" p0
 *   tx 5: OK, {n2 g0 tE=1s tA=1s {i2 M0100644 SZ=5 L=1 0:0 B8 A 1 M 1 C 1}}
 *   tx 6: 2=no such file or directory
 *
 * `rx` and `tx` are the server's view, `n` is a nodeid, `p` a pid. A message may be anything at all: what cannot be
 * read prints as `malformed`. Of data that is not in `view`, or long, only the size is printed.
 */
import { errnoText } from './errno.ts';
import { formatStruct, quote } from './format-struct.ts';
import { Dirent, Direntplus, GetxattrOut, InHeader, InitIn, OutHeader } from './fuse.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from './ids.ts';
import { DEFAULT_SIZES, findNul, type MessageSizes, opNameOf, opOf } from './message.ts';
import { NOTIFIES, type Notify, type Part } from './ops.ts';
import { type AnyStruct, sizeOf } from './struct.ts';

/** Data up to this size is quoted. */
const QUOTED_MAX = 32;
const MALFORMED = 'malformed';

/** Formats the request of `size` bytes at `at`; `view` may lack the end of it, if that is data. */
export function formatRequest(view: DataView, at: number, size: number, sizes: MessageSizes = DEFAULT_SIZES): string {
  const end = Math.min(at + size, view.byteLength);
  if (end - at < IN_HEADER_SIZE) return `rx ${MALFORMED}: ${size} bytes`;
  const code = InHeader.opcode.get(view, at);
  const head = `rx ${InHeader.unique.get(view, at)}: ${opName(code)} n${bits64(view, at + InHeader.nodeid.offset)}`;
  const pid = `p${InHeader.pid.get(view, at)}`;
  const op = opOf(code);
  if (op === undefined) return `${head} ${size - IN_HEADER_SIZE}b ${pid}`;
  if (InHeader.len.get(view, at) !== size) return `${head} ${MALFORMED} ${pid}`;
  const extensions = InHeader.total_extlen.get(view, at) * 8;
  const cursor: Cursor = { view, at: at + IN_HEADER_SIZE, end, messageEnd: at + size - extensions, sizes };
  const parts = formatParts(op.request, cursor);
  if (parts === undefined) return `${head} ${MALFORMED} ${pid}`;
  return [head, ...parts, ...(extensions > 0 ? [`ext ${extensions}b`] : []), pid].join(' ');
}

/** Formats the reply of `size` bytes at `at` to a request with this opcode. */
export function formatReply(
  opcode: number,
  view: DataView,
  at: number,
  size: number,
  sizes: MessageSizes = DEFAULT_SIZES,
): string {
  const end = Math.min(at + size, view.byteLength);
  if (end - at < OUT_HEADER_SIZE) return `tx ${MALFORMED}: ${size} bytes`;
  const head = `tx ${OutHeader.unique.get(view, at)}:`;
  const error = OutHeader.error.get(view, at);
  if (OutHeader.len.get(view, at) !== size || error > 0) return `${head} ${MALFORMED}`;
  if (error !== 0) return `${head} ${-error}=${errnoText(-error)}`;
  const op = opOf(opcode);
  if (op === undefined || op.reply === 'none')
    return size > OUT_HEADER_SIZE ? `${head} OK, ${size - 16}b` : `${head} OK`;
  const parts = formatParts(op.reply, { view, at: at + OUT_HEADER_SIZE, end, messageEnd: at + size, sizes });
  if (parts === undefined) return `${head} ${MALFORMED}`;
  return parts.length === 0 ? `${head} OK` : `${head} OK, ${parts.join(' ')}`;
}

const NOTIFY_BY_CODE = new Map(
  Object.entries(NOTIFIES).map(([name, n]): [number, NamedNotify] => [n.code, { name, ...n }]),
);

interface NamedNotify extends Notify {
  readonly name: string;
}

/** Formats a message that the server sends unasked. */
export function formatNotify(view: DataView, at: number, size: number): string {
  const end = Math.min(at + size, view.byteLength);
  if (end - at < OUT_HEADER_SIZE) return `tx ${MALFORMED}: ${size} bytes`;
  const head = `tx ${OutHeader.unique.get(view, at)}:`;
  const code = OutHeader.error.get(view, at);
  const notify = NOTIFY_BY_CODE.get(code);
  if (OutHeader.len.get(view, at) !== size || code <= 0) return `${head} ${MALFORMED}`;
  if (notify === undefined) return `${head} NOTIFY_${code} ${size - OUT_HEADER_SIZE}b`;
  const cursor: Cursor = { view, at: at + OUT_HEADER_SIZE, end, messageEnd: at + size, sizes: DEFAULT_SIZES };
  const parts = formatParts(notify.parts, cursor);
  return [head, `NOTIFY_${notify.name}`, ...(parts ?? [MALFORMED])].join(' ');
}

/** How far a message has been read. */
interface Cursor {
  readonly view: DataView;
  at: number;
  /** Where the bytes in `view` end. */
  readonly end: number;
  /** Where the message ends, extensions excluded; may be beyond `end`. */
  readonly messageEnd: number;
  readonly sizes: MessageSizes;
}

/** Returns one text per part that is there, or undefined if the message is malformed. */
function formatParts(parts: readonly Part[], cursor: Cursor): readonly string[] | undefined {
  const out: string[] = [];
  for (const part of parts) {
    const text = FORMATTERS[part.part](part as never, cursor);
    if (text === undefined) return undefined;
    if (text !== '') out.push(text);
  }
  return out;
}

type Formatter<K extends Part['part']> = (part: Extract<Part, { part: K }>, cursor: Cursor) => string | undefined;

const FORMATTERS: { readonly [K in Part['part']]: Formatter<K> } = {
  struct: (part, cursor) => formatOne(part.struct, cursor),
  name: (_, cursor) => formatName(cursor),
  bytes: (_, cursor) => formatBytes(cursor),
  many: (part, cursor) => formatMany(part.struct, cursor),
  dirents: (part, cursor) => formatDirents(part.struct, cursor),
  either: (_, cursor) => formatEither(cursor),
  extensions: () => '',
};

function formatOne(struct: AnyStruct, cursor: Cursor): string | undefined {
  const { view, at } = cursor;
  const least = cursor.sizes.of(struct);
  const room = Math.min(cursor.end, cursor.messageEnd) - at;
  if (room < least) return undefined;
  // The one struct whose own flags say how long it is; the long form has what the short one lacks.
  const taken = struct === InitIn ? Math.min(room, sizeOf(InitIn)) : least;
  cursor.at += taken;
  return taken === 0 ? '' : formatStruct(struct, view, at, taken);
}

function formatName(cursor: Cursor): string | undefined {
  const { view, at } = cursor;
  const nul = findNul(view, at, Math.min(cursor.end, cursor.messageEnd));
  if (nul < 0) return undefined;
  cursor.at = nul + 1;
  return quote(view, at, nul - at);
}

function formatBytes(cursor: Cursor): string {
  const { view, at } = cursor;
  const size = Math.max(0, cursor.messageEnd - at);
  const isQuoted = size > 0 && size <= QUOTED_MAX && cursor.messageEnd <= cursor.end;
  cursor.at = cursor.messageEnd;
  return isQuoted ? `${size}b ${quote(view, at, size)}` : `${size}b`;
}

function formatMany(struct: AnyStruct, cursor: Cursor): string | undefined {
  const size = sizeOf(struct);
  const out: string[] = [];
  while (cursor.at + size <= Math.min(cursor.end, cursor.messageEnd)) {
    out.push(formatStruct(struct, cursor.view, cursor.at, size));
    cursor.at += size;
  }
  return cursor.at === cursor.messageEnd ? `[${out.join(' ')}]` : undefined;
}

/** `[2 "." 5 ".."]`: inode numbers and names; plus records show the nodeid too. */
function formatDirents(struct: AnyStruct, cursor: Cursor): string | undefined {
  const { view } = cursor;
  const isPlus = struct === Direntplus;
  const end = Math.min(cursor.end, cursor.messageEnd);
  const out: string[] = [];
  while (cursor.at + sizeOf(struct) <= end) {
    const dirent = cursor.at + sizeOf(struct) - sizeOf(Dirent);
    const length = Dirent.namelen.get(view, dirent);
    const next = cursor.at + ((sizeOf(struct) + length + 7) & ~7);
    if (length === 0 || length > 0xffff || next > end) return undefined;
    const nodeid = isPlus ? `n${bits64(view, cursor.at)} ` : '';
    out.push(`${nodeid}i${bits64(view, dirent)} ${quote(view, dirent + sizeOf(Dirent), length)}`);
    cursor.at = next;
  }
  return cursor.at === cursor.messageEnd ? `[${out.join(', ')}]` : undefined;
}

/** The request, which would tell, is not here: eight bytes that look like a small size are taken for one. */
function formatEither(cursor: Cursor): string | undefined {
  const { view, at } = cursor;
  const isSize = cursor.messageEnd - at === sizeOf(GetxattrOut) && cursor.end >= cursor.messageEnd;
  if (isSize && GetxattrOut.padding.get(view, at) === 0 && GetxattrOut.size.get(view, at) <= 0x10000) {
    return formatOne(GetxattrOut, cursor);
  }
  return formatBytes(cursor);
}

function opName(code: number): string {
  return opNameOf(code) ?? `OP${code}`;
}

function bits64(view: DataView, at: number): string {
  return view.getBigUint64(at, true).toString();
}
