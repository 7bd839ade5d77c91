/** The codec: every field of every struct in place, and the edges of the 64-bit kinds. */
import { describe, expect, test } from 'vitest';
import {
  type AnyStruct,
  bits64,
  decode,
  encode,
  fieldsOf,
  i64,
  nameOf,
  sat64,
  sizeOf,
  struct,
  u8,
  u32,
  u64,
} from '../../src/wire/struct.ts';
import { STRUCTS } from '../../src/wire/structs.ts';
import { type Scalar, WireRangeError } from '../../src/wire/types.ts';

/** Structs start wherever the message puts them, also misaligned. */
const AT = 3;
const BEFORE = 0xaa;

describe('every struct', () => {
  test.each(STRUCTS.map((s) => [nameOf(s), s] as const))('%s: fields filled with their ordinals read back', (_, s) => {
    const view = blank(s);
    const fields = scalars(s);
    for (const [i, field] of fields.entries()) write(field, view, i + 1);
    for (const [i, field] of fields.entries()) expect(read(field, view)).toBe(i + 1);
    const again = blank(s);
    encode(s, again, AT, decode(s, view, AT) as never);
    expect(new Uint8Array(again.buffer)).toEqual(new Uint8Array(view.buffer));
    expect([view.getUint8(AT - 1), view.getUint8(AT + sizeOf(s))]).toEqual([BEFORE, BEFORE]);
  });

  test.each(STRUCTS.map((s) => [nameOf(s), s] as const))('%s: a field changes its own bytes alone', (_, s) => {
    for (const field of scalars(s)) {
      const view = blank(s);
      for (let i = 0; i < sizeOf(s); i++) view.setUint8(AT + i, 0xff);
      write(field, view, 0);
      for (let i = 0; i < sizeOf(s); i++) {
        const isOwn = i >= field.offset && i < field.offset + field.size;
        expect(view.getUint8(AT + i), `byte ${i} after ${field.kind} at ${field.offset}`).toBe(isOwn ? 0 : 0xff);
      }
    }
  });

  test('encode leaves the fields that are not given zero', () => {
    const S = struct('s', { a: u32, b: u32 });
    const view = blank(S);
    encode(S, view, AT, { b: 7 });
    expect(decode(S, view, AT)).toEqual({ a: 0, b: 7 });
  });

  test('a struct with a hidden gap is refused where it is declared', () => {
    expect(() => struct('gap', { a: u32, b: u64 })).toThrow('gap.b is not aligned: offset 4');
    expect(() => struct('gap', { a: u8, b: u32 })).toThrow('gap.b is not aligned: offset 1');
  });
});

describe('64-bit fields', () => {
  const S = struct('s', { u: u64, i: i64, sat: sat64, bits: bits64 });
  const MAX = Number.MAX_SAFE_INTEGER;
  const view = new DataView(new ArrayBuffer(sizeOf(S)));

  test.each([0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 52, MAX])(
    '%d is exact in all number kinds',
    (n) => {
      for (const field of [S.u, S.i, S.sat]) {
        field.set(view, 0, n);
        expect(field.get(view, 0)).toBe(n);
        expect(view.getBigUint64(field.offset, true)).toBe(BigInt(n));
      }
    },
  );

  test.each([-1, -(2 ** 31), -(2 ** 32), -(2 ** 32) - 1, -MAX])('%d is exact in an i64', (n) => {
    S.i.set(view, 0, n);
    expect(S.i.get(view, 0)).toBe(n);
    expect(view.getBigInt64(S.i.offset, true)).toBe(BigInt(n));
  });

  test.each([2n ** 53n, 2n ** 63n, 2n ** 64n - 1n])('reading %d as u64 throws, as sat64 gives 2^53 - 1', (n) => {
    view.setBigUint64(S.u.offset, n, true);
    view.setBigUint64(S.sat.offset, n, true);
    expect(() => S.u.get(view, 0)).toThrow(WireRangeError);
    expect(S.sat.get(view, 0)).toBe(MAX);
  });

  test.each([2n ** 53n, -(2n ** 53n) - 1n, -(2n ** 63n)])('reading %d as i64 throws', (n) => {
    view.setBigInt64(S.i.offset, n, true);
    expect(() => S.i.get(view, 0)).toThrow(WireRangeError);
  });

  test.each([-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY])('writing %d to a u64 throws', (n) => {
    expect(() => S.u.set(view, 0, n)).toThrow(WireRangeError);
  });

  test.each([
    [-1, 0],
    [0.5, 0],
    [2 ** 60, MAX],
    [Number.POSITIVE_INFINITY, MAX],
  ])('writing %d to a sat64 writes %d', (n, expected) => {
    S.sat.set(view, 0, n);
    expect(S.sat.get(view, 0)).toBe(expected);
  });

  test('bits64 carries all 64 bits, as a bigint or as two words', () => {
    S.bits.set(view, 0, 0x8000_0001_ffff_fffen);
    expect([S.bits.low(view, 0), S.bits.high(view, 0)]).toEqual([0xffff_fffe, 0x8000_0001]);
    S.bits.setWords(view, 0, 1, 2);
    expect(S.bits.get(view, 0)).toBe(0x2_0000_0001n);
  });
});

function blank(s: AnyStruct): DataView {
  const bytes = new Uint8Array(AT + sizeOf(s) + 1);
  bytes[AT - 1] = BEFORE;
  bytes[AT + sizeOf(s)] = BEFORE;
  return new DataView(bytes.buffer);
}

function scalars(s: AnyStruct): Scalar[] {
  return fieldsOf(s).flatMap(({ field }) => (field.kind === 'tail' ? [] : [field]));
}

function write(field: Scalar, view: DataView, ordinal: number): void {
  if (field.kind === 'words') field.set(view, AT, new Uint8Array(field.size).fill(ordinal));
  else if (field.kind === 'bits64') field.set(view, AT, BigInt(ordinal));
  else field.set(view, AT, ordinal);
}

function read(field: Scalar, view: DataView): number {
  if (field.kind !== 'words') return Number(field.get(view, AT));
  const bytes = field.get(view, AT);
  expect(new Set(bytes).size).toBe(1);
  return bytes[0] as number;
}
