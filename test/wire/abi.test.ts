/** The tables against the ABI as it was measured with a C compiler (test/fixtures/fuse-abi.json). */
import { describe, expect, test } from 'vitest';
import { FLAG_FIELDS } from '../../src/wire/flag-fields.ts';
import * as flags from '../../src/wire/flags.ts';
import * as ids from '../../src/wire/ids.ts';
import { COMPAT_SIZES, OP_BY_CODE, opOf } from '../../src/wire/message.ts';
import { NOTIFIES, OPS, type Op, type Part } from '../../src/wire/ops.ts';
import { INIT_BITS, opIndex, PRIVATE_INIT_BITS, PRIVATE_OPS, PRIVATE_STRUCTS } from '../../src/wire/private.ts';
import { layoutOf, nameOf, sizeOf } from '../../src/wire/struct.ts';
import { STRUCTS } from '../../src/wire/structs.ts';
import abi from '../fixtures/fuse-abi.json' with { type: 'json' };

interface AbiField {
  readonly name: string;
  readonly type: string;
  readonly offset: number;
  readonly size: number;
  readonly count?: number;
  readonly flexible?: boolean;
  readonly element_size?: number;
}
interface AbiStruct {
  readonly size: number;
  readonly fields: readonly AbiField[];
  readonly size_by_minor?: readonly (readonly [string, number])[];
}
const abiStructs: Readonly<Record<string, AbiStruct>> = abi.structs as never;

/** Our word for a field's type → the fixture's. */
function abiType(type: string): string {
  const base = type.replace(/\[.*/, '');
  return { sat64: 'u64', bits64: 'u64', i64: 'u64' }[base] ?? base;
}

/** Differences that the header has and that mean nothing on the wire: signed words for us, chars, nested names. */
function normal(type: string): string {
  return type.replace('struct ', '').replace('char', 'u8').replace('i64', 'u64').replace(/\[.*/, '');
}

describe('structs', () => {
  test('there are exactly the 76 structs of the fixture', () => {
    expect(STRUCTS.map(nameOf).sort()).toEqual(Object.keys(abiStructs).sort());
    expect(STRUCTS).toHaveLength(76);
  });

  test.each(STRUCTS.map((s) => [nameOf(s), s] as const))('%s has the size and fields of the fixture', (name, s) => {
    const expected = abiStructs[name] as AbiStruct;
    expect(sizeOf(s)).toBe(expected.size);
    const ours = layoutOf(s).map((f) => ({ ...f, type: abiType(f.type) }));
    expect(ours).toEqual(
      expected.fields.map(({ name, offset, size, type }) => ({ name, offset, size, type: normal(type) })),
    );
  });

  test('the sizes by minor are those of the fixture', () => {
    const expected: string[] = [];
    for (const [name, s] of Object.entries(abiStructs)) {
      for (const [when, size] of s.size_by_minor ?? []) {
        if (size !== s.size) expected.push(`${name} ${when} ${size}`);
      }
    }
    const ours = COMPAT_SIZES.map((row) => {
      const when = row.belowMinor === undefined ? `without ${row.without?.slice(5)}` : `<${row.belowMinor}`;
      return `${nameOf(row.struct)} ${when} ${row.size}`;
    });
    expect(ours.sort()).toEqual(expected.sort());
  });

  test('the constants of the compatible sizes are in the table', () => {
    const sizes = COMPAT_SIZES.map((row) => row.size);
    for (const size of Object.values(abi.compat_sizes)) expect(sizes).toContain(size);
  });
});

describe('operations', () => {
  const ops = Object.entries(OPS) as [string, Op][];

  test('there are exactly the 52 operations of the fixture', () => {
    const ours = ops.map(([name, op]) => [op.code, name]);
    const expected = abi.opcodes.map((op) => [op.number, op.name.replace(/^FUSE_/, '')]);
    expect(ours.sort()).toEqual(expected.sort());
    expect(ours).toHaveLength(52);
  });

  test('no two operations share a number', () => {
    expect(new Set(ops.map(([, op]) => op.code)).size).toBe(ops.length);
  });

  test.each(abi.opcodes)('$name has the fixture’s minor, queue, parts and sizes', (expected) => {
    const op = OPS[expected.name.replace(/^FUSE_/, '') as keyof typeof OPS] as Op;
    expect(op.since).toBe(expected.since_minor ?? 0);
    expect(op.queue).toBe(expected.queue);
    expect(op.reply !== 'none').toBe(expected.reply);
    expect(ids.IN_HEADER_SIZE + fixedSize(op.request)).toBe(expected.fixed_in_size);
    const replySize = op.reply === 'none' ? 0 : ids.OUT_HEADER_SIZE + fixedSize(op.reply);
    expect(replySize).toBe(expected.fixed_out_size);
    expect(op.request.map(partName)).toEqual(expected.in.map(abiPartName));
    expect(op.reply === 'none' ? [] : op.reply.map(partName)).toEqual(expected.out.map(abiPartName));
  });

  test('the table by number holds every operation but CUSE_INIT, which never travels over virtio', () => {
    const byNumber = OP_BY_CODE.filter((op) => op !== undefined);
    expect(byNumber).toEqual(ops.map(([, op]) => op).filter((op) => op !== OPS.CUSE_INIT));
    for (const [code, op] of OP_BY_CODE.entries()) expect(op === undefined || op.code === code).toBe(true);
  });
});

describe('flags and codes', () => {
  test('the INIT flags have the fixture’s bits', () => {
    expect(flags.INIT_FLAG_BITS).toEqual(Object.fromEntries(abi.init_flags.map((f) => [f.name, f.bit])));
  });

  const groups: Readonly<Record<keyof typeof abi.flag_groups, Readonly<Record<string, number>>>> = {
    open_out_flags: flags.FOPEN_FLAGS,
    setattr_valid: flags.FATTR_FLAGS,
    attr_flags: flags.FUSE_ATTR_FLAGS,
    setupmapping_flags: flags.SETUPMAPPING_FLAGS,
    release_flags: flags.RELEASE_FLAGS,
    getattr_flags: flags.GETATTR_FLAGS,
    lk_flags: flags.LK_FLAGS,
    write_flags: flags.WRITE_FLAGS,
    read_flags: flags.READ_FLAGS,
    ioctl_flags: flags.IOCTL_FLAGS,
    poll_flags: flags.POLL_FLAGS,
    fsync_flags: flags.FSYNC_FLAGS,
    open_in_flags: flags.OPEN_IN_FLAGS,
    setxattr_flags: flags.SETXATTR_FLAGS,
    notify_inval_entry_flags: flags.INVAL_ENTRY_FLAGS,
    cuse_init_flags: flags.CUSE_FLAGS,
  };

  test.each(Object.entries(groups))('the %s have the fixture’s values', (group, set) => {
    const expected: readonly { name: string; value: number }[] = abi.flag_groups[group as keyof typeof groups];
    expect(set).toEqual(Object.fromEntries(expected.map((f) => [f.name, f.value])));
  });

  test('the fixture has no group of flags that the tables lack', () => {
    expect(Object.keys(groups).sort()).toEqual(Object.keys(abi.flag_groups).sort());
  });

  test('two flags of one set never share a bit', () => {
    for (const [field, set] of Object.entries({ ...groups, ...FLAG_FIELDS })) {
      let seen = 0;
      for (const [name, bits] of Object.entries(set)) {
        expect(seen & bits, `${field}: ${name}`).toBe(0);
        expect(bits & (bits - 1), `${name} is one bit`).toBe(0);
        seen |= bits;
      }
    }
  });

  test('a field with flags is a field of the struct table', () => {
    const fields = [...STRUCTS, ...PRIVATE_STRUCTS].flatMap((s) => layoutOf(s).map((f) => `${nameOf(s)}.${f.name}`));
    for (const field of Object.keys(FLAG_FIELDS)) expect(fields).toContain(field);
  });

  test('the notifications have the fixture’s codes, minors and payloads', () => {
    expect(flags.NOTIFY_CODES).toEqual(Object.fromEntries(abi.notify_codes.map((n) => [n.name, n.code])));
    for (const expected of abi.notify_codes) {
      const ours = NOTIFIES[expected.name.replace('FUSE_NOTIFY_', '') as keyof typeof NOTIFIES];
      expect({ code: ours.code, since: ours.since }).toEqual({ code: expected.code, since: expected.since_minor });
      const struct = ours.parts.flatMap((p: Part) => (p.part === 'struct' ? [nameOf(p.struct)] : []));
      expect(struct.join() || 'none').toBe(expected.payload.split(' ')[0]);
    }
  });

  test('the constants of ids.ts are the fixture’s', () => {
    expect(ids.FUSE_ROOT_ID).toBe(abi.constants.FUSE_ROOT_ID);
    expect(ids.FUSE_KERNEL_VERSION).toBe(abi.protocol.major);
    expect(ids.FUSE_KERNEL_MINOR_VERSION).toBe(abi.protocol.minor);
  });
});

describe('what is ours alone', () => {
  test('no private operation, bit or struct has the number or name of one of the ABI', () => {
    const numbers: number[] = abi.opcodes.map((op) => op.number);
    for (const op of Object.values(PRIVATE_OPS)) expect(numbers).not.toContain(op.code);
    const bits = Object.values(PRIVATE_INIT_BITS);
    for (const { bit } of abi.init_flags) expect(bits).not.toContain(bit);
    for (const bit of bits) expect(bit).toBeGreaterThanOrEqual(62);
    for (const s of PRIVATE_STRUCTS) expect(nameOf(s)).toMatch(/^virtiofs_/);
    expect(Object.keys(INIT_BITS)).toHaveLength(abi.init_flags.length + bits.length);
  });

  test('a private operation is found under its own number and under no other', () => {
    for (const [code, op] of OP_BY_CODE.entries()) expect(opOf(code)).toBe(op);
    for (const op of Object.values(PRIVATE_OPS)) {
      expect(opOf(op.code)).toBe(op);
      expect(opOf(opIndex(op.code))).toBeUndefined();
    }
    for (const code of [54, 63, 64, 4096, 0x4cff, 0x4d02, 0xffff_ffff]) expect(opOf(code)).toBeUndefined();
  });

  test.each(PRIVATE_STRUCTS.map((s) => [nameOf(s), s] as const))('%s ends on a multiple of 8', (_, s) => {
    expect(sizeOf(s) % 8).toBe(0);
  });
});

function fixedSize(parts: readonly Part[]): number {
  return parts.reduce((sum, p) => (p.part === 'struct' ? sum + sizeOf(p.struct) : sum), 0);
}

function partName(p: Part): string {
  if (p.part === 'struct') return nameOf(p.struct);
  if (p.part === 'many' || p.part === 'dirents') return `many ${nameOf(p.struct)}`;
  if (p.part === 'either') return `either ${nameOf(p.struct)}`;
  return p.part;
}

function abiPartName(part: object): string {
  const p = part as Readonly<Record<string, string | readonly string[]>>;
  if (p['struct'] !== undefined) return String(p['struct']);
  if (p['array'] !== undefined) return `many ${String(p['array']).split(' ')[0]}`;
  if (p['either'] !== undefined) return `either ${p['either']?.[0]?.split(' ')[0]}`;
  if (p['cstring'] !== undefined) return 'name';
  return p['bytes'] !== undefined ? 'bytes' : 'extensions';
}
