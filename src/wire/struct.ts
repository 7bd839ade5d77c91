/**
 * A struct of the wire format is a table row list; everything else is derived from it: `WriteIn.offset.get(view, at)`
 * reads in place, `sizeOf`, `decode` and `encode` serve length checks, tests and traces.
 *
 * `struct()` runs once, at import. It refuses a field that is not on its natural alignment, so padding is explicit as
 * in the kernel's header. Where a struct *starts* is up to the message: `fuse_removemapping_one` starts at byte 44.
 */
import { assert } from '../base/assert.ts';
import { Bits64, I32, I64, Sat64, type Scalar, U8, U16, U32, U64, Words } from './types.ts';

/** What a row of a struct table may be: a scalar type, a run of scalars, a nested struct, or a flexible tail. */
export type Row = ScalarRow | NestedRow | FlexibleRow;

export interface ScalarRow<F extends Scalar = Scalar> {
  readonly row: 'scalar';
  readonly size: number;
  readonly align: number;
  readonly make: (offset: number) => F;
}
export interface NestedRow<R extends Rows = Rows> {
  readonly row: 'nested';
  readonly name: string;
  readonly rows: R;
}
export interface FlexibleRow {
  readonly row: 'flexible';
  readonly elementSize: number;
}
export type Rows = { readonly [field: string]: Row };

const scalar = <F extends Scalar>(size: number, make: (offset: number) => F): ScalarRow<F> => ({
  row: 'scalar',
  size,
  align: size,
  make,
});
export const u8 = scalar(1, (o) => new U8(o));
export const u16 = scalar(2, (o) => new U16(o));
export const u32 = scalar(4, (o) => new U32(o));
export const i32 = scalar(4, (o) => new I32(o));
export const u64 = scalar(8, (o) => new U64(o));
export const i64 = scalar(8, (o) => new I64(o));
export const sat64 = scalar(8, (o) => new Sat64(o));
export const bits64 = scalar(8, (o) => new Bits64(o));

/** A fixed array of `count` elements of `elementSize` bytes. */
export function words(elementSize: number, count: number): ScalarRow<Words> {
  return {
    row: 'scalar',
    size: elementSize * count,
    align: elementSize,
    make: (o) => new Words(o, elementSize, count),
  };
}

/** A struct inside a struct. */
export function nested<R extends Rows>(inner: Struct<R>): NestedRow<R> {
  return { row: 'nested', name: inner[NAME], rows: inner[ROWS] };
}

/** Zero-length tail (`name[]`): it only tells where the variable part starts. */
export function flexible(elementSize: number): FlexibleRow {
  return { row: 'flexible', elementSize };
}

/** Marks the place of a flexible tail. */
export interface Tail {
  readonly kind: 'tail';
  readonly offset: number;
  readonly elementSize: number;
}

export type Fields<R extends Rows> = {
  readonly [K in keyof R]: R[K] extends ScalarRow<infer F>
    ? F
    : R[K] extends NestedRow<infer N>
      ? Fields<N>
      : R[K] extends FlexibleRow
        ? Tail
        : never;
};

const NAME = Symbol('name');
const SIZE = Symbol('size');
const ROWS = Symbol('rows');

export type Struct<R extends Rows = Rows> = Fields<R> & {
  readonly [NAME]: string;
  readonly [SIZE]: number;
  readonly [ROWS]: R;
};
export type AnyStruct = { readonly [NAME]: string; readonly [SIZE]: number; readonly [ROWS]: Rows };

/** Decoded values of a struct: for tests, traces and `encode`. */
export type Values<S> = S extends { readonly [ROWS]: infer R extends Rows } ? ValuesOf<R> : never;
type ValuesOf<R extends Rows> = {
  -readonly [K in keyof R as R[K] extends FlexibleRow ? never : K]: R[K] extends ScalarRow<infer F>
    ? F extends { get(view: DataView, at: number): infer V }
      ? V
      : never
    : R[K] extends NestedRow<infer N>
      ? ValuesOf<N>
      : never;
};

/** Declares a struct with the kernel's name and its rows in order. */
export function struct<const R extends Rows>(name: string, rows: R): Struct<R> {
  const built = layOut(name, rows, 0);
  return Object.freeze({ ...built.fields, [NAME]: name, [SIZE]: built.end, [ROWS]: rows }) as Struct<R>;
}

export function sizeOf(s: AnyStruct): number {
  return s[SIZE];
}

export function nameOf(s: AnyStruct): string {
  return s[NAME];
}

/** One leaf of a struct, with its full path (`attr.mode`) and its offset from the struct's start. */
export interface FieldInfo {
  readonly path: string;
  readonly field: Scalar | Tail;
}

/** Lists the scalar fields of a struct in order, nested ones included. */
export function fieldsOf(s: AnyStruct): readonly FieldInfo[] {
  const out: FieldInfo[] = [];
  collect(s[ROWS], s as unknown as Record<string, unknown>, '', out);
  return out;
}

/** Lists the direct fields of a struct: name, offset and size in bytes. */
export function layoutOf(s: AnyStruct): readonly { name: string; offset: number; size: number; type: string }[] {
  let end = 0;
  return Object.entries(s[ROWS]).map(([name, row]) => {
    const offset = end;
    const { size } = measure(row);
    end = offset + size;
    const type = row.row === 'nested' ? row.name : typeName(row);
    return { name, offset, size, type };
  });
}

/** Reads a whole struct into a plain object. Allocates: tests and traces only. */
export function decode<S extends AnyStruct>(s: S, view: DataView, at: number): Values<S> {
  return decodeRows(s[ROWS], s as unknown as Record<string, unknown>, view, at) as Values<S>;
}

/** Writes the given values of a struct; fields left out become zero. */
export function encode<S extends AnyStruct>(s: S, view: DataView, at: number, values: DeepPartial<Values<S>>): void {
  for (let i = 0; i < s[SIZE]; i++) view.setUint8(at + i, 0);
  encodeRows(s as unknown as Record<string, unknown>, view, at, values as Record<string, unknown>);
}

export type DeepPartial<T> = T extends Uint8Array ? T : T extends object ? { [K in keyof T]?: DeepPartial<T[K]> } : T;

function measure(row: Row): { size: number; align: number } {
  if (row.row === 'scalar') return row;
  if (row.row === 'flexible') return { size: 0, align: 1 };
  let size = 0;
  let align = 1;
  for (const inner of Object.values(row.rows)) {
    const m = measure(inner);
    size += m.size;
    align = Math.max(align, m.align);
  }
  return { size, align };
}

function layOut(name: string, rows: Rows, start: number): { fields: Record<string, unknown>; end: number } {
  const fields: Record<string, unknown> = {};
  let at = start;
  for (const [field, row] of Object.entries(rows)) {
    const { size, align } = measure(row);
    assert((at - start) % align === 0, `${name}.${field} is not aligned: offset ${at - start}`);
    if (row.row === 'scalar') fields[field] = row.make(at);
    else if (row.row === 'nested') fields[field] = layOut(row.name, row.rows, at).fields;
    else fields[field] = { kind: 'tail', offset: at, elementSize: row.elementSize } satisfies Tail;
    at += size;
  }
  return { fields, end: at };
}

function typeName(row: ScalarRow | FlexibleRow): string {
  if (row.row === 'flexible') return row.elementSize === 1 ? 'u8[]' : `u${row.elementSize * 8}[]`;
  const field = row.make(0);
  return field.kind === 'words' ? `u${field.elementSize * 8}[${field.count}]` : field.kind;
}

function collect(rows: Rows, fields: Record<string, unknown>, prefix: string, out: FieldInfo[]): void {
  for (const [name, row] of Object.entries(rows)) {
    if (row.row === 'nested') collect(row.rows, fields[name] as Record<string, unknown>, `${prefix}${name}.`, out);
    else out.push({ path: prefix + name, field: fields[name] as Scalar | Tail });
  }
}

function decodeRows(rows: Rows, fields: Record<string, unknown>, view: DataView, at: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, row] of Object.entries(rows)) {
    if (row.row === 'flexible') continue;
    const field = fields[name];
    out[name] =
      row.row === 'nested'
        ? decodeRows(row.rows, field as Record<string, unknown>, view, at)
        : (field as Scalar).get(view, at);
  }
  return out;
}

function encodeRows(
  fields: Record<string, unknown>,
  view: DataView,
  at: number,
  values: Record<string, unknown>,
): void {
  for (const [name, value] of Object.entries(values)) {
    const field = fields[name] as Scalar | Record<string, unknown> | undefined;
    assert(field !== undefined, `no field ${name}`);
    if ('kind' in field && typeof field.kind === 'string')
      (field as { set(v: DataView, a: number, x: unknown): void }).set(view, at, value);
    else encodeRows(field as Record<string, unknown>, view, at, value as Record<string, unknown>);
  }
}
