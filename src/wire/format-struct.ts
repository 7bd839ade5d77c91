/**
 * One struct → `{…}` for traces. Structs that everybody reads daily have the short form that go-fuse prints; all others
 * are `{field=value …}` from the table, without padding.
 */
import { FLAG_FIELDS, formatFlags, INIT_FLAGS, INIT_FLAGS2 } from './flag-fields.ts';
import { FATTR_FLAGS } from './flags.ts';
import * as fuse from './fuse.ts';
import { type AnyStruct, fieldsOf, nameOf, sizeOf } from './struct.ts';
import type { Scalar, U32 } from './types.ts';

/** Formats the struct of which `size` bytes are at `at`: fewer than it has when the peer speaks an older minor. */
export function formatStruct(struct: AnyStruct, view: DataView, at: number, size: number): string {
  // A copy, zeroes where the struct has grown since: nothing below can read beyond the message.
  const whole = new DataView(new ArrayBuffer(sizeOf(struct)));
  for (let i = 0; i < Math.min(size, whole.byteLength); i++) whole.setUint8(i, view.getUint8(at + i));
  const short = SHORT.get(struct);
  return `{${short === undefined ? formatFields(struct, whole) : short(whole)}}`;
}

/** Quotes a name or data: printable ASCII as it is, everything else escaped. */
export function quote(view: DataView, at: number, size: number): string {
  let text = '"';
  for (let i = at; i < at + size; i++) text += escapeByte(view.getUint8(i));
  return `${text}"`;
}

const ESCAPES = new Map([
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x09, '\\t'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
]);

function escapeByte(byte: number): string {
  const known = ESCAPES.get(byte);
  if (known !== undefined) return known;
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
}

const SILENT = /^(padding|dummy|unused|spare|reserved|__)/;
const OCTAL = /(^|\.)(mode|umask)$/;
/** Two fields that say a range of bytes print as `[position +size)`. */
const RANGES: Readonly<Record<string, string>> = { offset: 'size', foffset: 'len', moffset: 'len', off: 'len' };

function formatFields(struct: AnyStruct, view: DataView): string {
  const fields = fieldsOf(struct).filter((f): f is Leaf => f.field.kind !== 'tail' && f.field.kind !== 'words');
  const out: string[] = [];
  const ends = new Set<Leaf>();
  for (const leaf of fields) {
    const own = leaf.path.slice(leaf.path.lastIndexOf('.') + 1);
    if (ends.has(leaf) || SILENT.test(own)) continue;
    const end = own in RANGES ? fields.find(({ path }) => path === RANGES[own] || path === 'length') : undefined;
    // The second position of SETUPMAPPING has the first one's length.
    const isRange = end !== undefined && !ends.has(end);
    if (isRange) ends.add(end);
    const text = isRange ? range(leaf, end, view) : formatField(struct, leaf, view);
    if (text !== '') out.push(isRange ? text : `${own}=${text}`);
  }
  return out.join(' ');
}

interface Leaf {
  readonly path: string;
  readonly field: Exclude<Scalar, { readonly kind: 'words' }>;
}

/** What is seldom used, and then not 0. */
const QUIET_ZERO = /(^|\.)(lock_owner|backing_id)$/;

/** Returns '' for what need not be said: no flag is set, no lock owner. */
function formatField(struct: AnyStruct, { path, field }: Leaf, view: DataView): string {
  const flags = FLAG_FIELDS[`${nameOf(struct)}.${path}`];
  const value = field.size === 8 ? wide(field, view) : String(field.get(view, 0));
  if (value === '0' && (flags !== undefined || QUIET_ZERO.test(path))) return '';
  if (flags !== undefined) return formatFlags(flags, view.getUint32(field.offset, true));
  return OCTAL.test(path) ? octal(Number(value)) : value;
}

function range(start: Leaf, size: Leaf, view: DataView): string {
  return `[${wide(start.field, view)} +${size.field.size === 8 ? wide(size.field, view) : size.field.get(view, 0)})`;
}

/** 64-bit fields print exactly, whatever they hold; all ones, which Linux sends for "none", print as −1. */
function wide(field: Scalar, view: DataView): string {
  const value = view.getBigInt64(field.offset, true);
  return value === -1n || field.kind === 'i64' ? value.toString() : BigInt.asUintN(64, value).toString();
}

const octal = (mode: number): string => `0${mode.toString(8)}`;

/** Validity times: `1s`, `0.5s`. */
function seconds(whole: Scalar, nanos: U32, view: DataView): string {
  return `${time(whole, nanos, view)}s`;
}

/** A point in time or a span: `1.5` for a second and a half. */
function time(whole: Scalar, nanos: U32, view: DataView): string {
  const fraction = String(nanos.get(view, 0)).padStart(9, '0').replace(/0+$/, '');
  return wide(whole, view) + (fraction === '' ? '' : `.${fraction}`);
}

const { attr: entryAttr } = fuse.EntryOut;

/** `i` inode, `M` mode, `SZ` size, `L` links, uid:gid, `B` blocks, then the three times. */
function attr(fields: typeof entryAttr, view: DataView): string {
  const flags = fields.flags.get(view, 0);
  return [
    `i${wide(fields.ino, view)} M${octal(fields.mode.get(view, 0))} SZ=${wide(fields.size, view)}`,
    `L=${fields.nlink.get(view, 0)} ${fields.uid.get(view, 0)}:${fields.gid.get(view, 0)}`,
    `B${wide(fields.blocks, view)}`,
    `A ${time(fields.atime, fields.atimensec, view)} M ${time(fields.mtime, fields.mtimensec, view)}`,
    `C ${time(fields.ctime, fields.ctimensec, view)}`,
    ...(flags === 0 ? [] : [formatFlags(FLAG_FIELDS['fuse_attr.flags'] ?? {}, flags)]),
  ].join(' ');
}

function entryOut(view: DataView): string {
  const { nodeid, generation, entry_valid, entry_valid_nsec, attr_valid, attr_valid_nsec } = fuse.EntryOut;
  const valid = `tE=${seconds(entry_valid, entry_valid_nsec, view)} tA=${seconds(attr_valid, attr_valid_nsec, view)}`;
  return `n${wide(nodeid, view)} g${wide(generation, view)} ${valid} {${attr(entryAttr, view)}}`;
}

function attrOut(view: DataView): string {
  const { attr_valid, attr_valid_nsec, attr: fields } = fuse.AttrOut;
  return `tA=${seconds(attr_valid, attr_valid_nsec, view)} {${attr(fields, view)}}`;
}

/** Only what `valid` names counts. */
function setattrIn(view: DataView): string {
  const f = fuse.SetattrIn;
  const valid = f.valid.get(view, 0);
  const has = (name: keyof typeof FATTR_FLAGS): boolean => (valid & FATTR_FLAGS[name]) !== 0;
  const out: string[] = [];
  if (has('FATTR_MODE')) out.push(`mode=${octal(f.mode.get(view, 0))}`);
  if (has('FATTR_UID')) out.push(`uid=${f.uid.get(view, 0)}`);
  if (has('FATTR_GID')) out.push(`gid=${f.gid.get(view, 0)}`);
  if (has('FATTR_SIZE')) out.push(`size=${wide(f.size, view)}`);
  if (has('FATTR_ATIME')) out.push(`atime=${has('FATTR_ATIME_NOW') ? 'now' : time(f.atime, f.atimensec, view)}`);
  if (has('FATTR_MTIME')) out.push(`mtime=${has('FATTR_MTIME_NOW') ? 'now' : time(f.mtime, f.mtimensec, view)}`);
  if (has('FATTR_CTIME')) out.push(`ctime=${time(f.ctime, f.ctimensec, view)}`);
  if (has('FATTR_FH')) out.push(`fh=${wide(f.fh, view)}`);
  if (has('FATTR_LOCKOWNER')) out.push(`lock_owner=${wide(f.lock_owner, view)}`);
  if (has('FATTR_KILL_SUIDGID')) out.push('KILL_SUIDGID');
  return out.join(' ');
}

function initIn(view: DataView): string {
  const f = fuse.InitIn;
  const flags = initFlags(f.flags.get(view, 0), f.flags2.get(view, 0));
  return `${f.major.get(view, 0)}.${f.minor.get(view, 0)} Ra ${f.max_readahead.get(view, 0)} ${flags}`;
}

function initOut(view: DataView): string {
  const f = fuse.InitOut;
  return [
    `${f.major.get(view, 0)}.${f.minor.get(view, 0)} Ra ${f.max_readahead.get(view, 0)}`,
    initFlags(f.flags.get(view, 0), f.flags2.get(view, 0)),
    `${f.congestion_threshold.get(view, 0)}/${f.max_background.get(view, 0)} Wr ${f.max_write.get(view, 0)}`,
    `Tg ${f.time_gran.get(view, 0)} MaxPages ${f.max_pages.get(view, 0)} MapAlign ${f.map_alignment.get(view, 0)}`,
  ].join(' ');
}

function initFlags(flags: number, flags2: number): string {
  const low = formatFlags(INIT_FLAGS, flags);
  return flags2 === 0 ? low : `${low}|${formatFlags(INIT_FLAGS2, flags2)}`;
}

/** A formatter gets a whole struct at position 0. */
const SHORT = new Map<AnyStruct, (view: DataView) => string>([
  [fuse.InitIn, initIn],
  [fuse.InitOut, initOut],
  [fuse.EntryOut, entryOut],
  [fuse.AttrOut, attrOut],
  [fuse.SetattrIn, setattrIn],
]);
