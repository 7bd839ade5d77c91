/** docs/wire.md, written from the tables. Regenerate with `npx vitest run test/wire/wire-doc.test.ts -u`. */
import { FLAG_FIELDS, type FlagSet } from '../../src/wire/flag-fields.ts';
import * as flags from '../../src/wire/flags.ts';
import { FUSE_KERNEL_MINOR_VERSION, FUSE_KERNEL_VERSION, IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../../src/wire/ids.ts';
import { COMPAT_SIZES } from '../../src/wire/message.ts';
import * as mode from '../../src/wire/mode.ts';
import { NOTIFIES, type Notify, OPS, type Op, type Part } from '../../src/wire/ops.ts';
import {
  MAP_FLAGS,
  MAP_OUT_FLAGS,
  PRIVATE_INIT_BITS,
  PRIVATE_OPS,
  PRIVATE_STRUCTS,
  UNMAP_FLAGS,
} from '../../src/wire/private.ts';
import { type AnyStruct, layoutOf, nameOf, sizeOf } from '../../src/wire/struct.ts';
import { STRUCTS } from '../../src/wire/structs.ts';

type InitFlag = keyof typeof flags.INIT_FLAG_BITS;

/** Which INIT flags each end of this project deals with; without it the columns are left out. */
export interface InitSupport {
  readonly guestOffers: readonly InitFlag[];
  readonly hostAccepts: readonly InitFlag[];
}

export function wireDoc(support?: InitSupport): string {
  const standard = [head(), operations(), notifications(), structs(), initFlags(support), flagSets(), compatSizes()];
  const sections = [...standard, additions()];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function head(): string[] {
  return [
    '# The wire format',
    '',
    `FUSE ${FUSE_KERNEL_VERSION}.${FUSE_KERNEL_MINOR_VERSION}, little-endian.`,
    'Generated from the tables in `src/wire`; a test fails when it is stale, and',
    '`npx vitest run test/wire/wire-doc.test.ts -u` writes it anew.',
    '',
    `A request is a \`fuse_in_header\` (${IN_HEADER_SIZE} bytes) and its parts,`,
    `a reply a \`fuse_out_header\` (${OUT_HEADER_SIZE} bytes) and its parts; an`,
    'error reply is its header alone. Parts follow each other without padding.',
  ];
}

function operations(): string[] {
  const rows = Object.entries(OPS as Readonly<Record<string, Op>>).map(([name, op]) => {
    const answer = op.reply === 'none' ? 'no reply' : partsOf(op.reply);
    return row(op.code, name, op.since === 0 ? '' : `7.${op.since}`, op.queue, partsOf(op.request), answer);
  });
  return [
    '## Operations',
    '',
    '`"name"` is a NUL-terminated string, `bytes` run to the end, `{struct}*` repeats,',
    '`ext` is `total_extlen` × 8 bytes of extensions. Since: the protocol minor; empty = older than its change log.',
    '',
    ...table(['no.', 'name', 'since', 'queue', 'request', 'reply']),
    ...rows,
  ];
}

function notifications(): string[] {
  const rows = Object.entries(NOTIFIES as Readonly<Record<string, Notify>>).map(([name, n]) =>
    row(n.code, name, `7.${n.since}`, partsOf(n.parts)),
  );
  return [
    '## Notifications',
    '',
    'Messages of the server’s own: `error` holds the code, `unique` is 0.',
    '',
    ...table(['code', 'name', 'since', 'parts']),
    ...rows,
  ];
}

function structs(): string[] {
  const about = [
    '## Structs',
    '',
    'Types: `u8` to `u64`, `i32`, `i64` are exact numbers; a 64-bit one beyond 2^53 − 1 makes the message malformed.',
    '`sat64` reads as at most 2^53 − 1; `bits64` is carried and not computed with.',
  ];
  return [...about, ...STRUCTS.flatMap((s) => ['', `### ${nameOf(s)} (${sizeOf(s)} bytes)`, '', ...structTable(s)])];
}

/** Kept apart: nothing of it is FUSE. */
function additions(): string[] {
  const ops = Object.entries(PRIVATE_OPS).map(([name, op]) =>
    row(`0x${op.code.toString(16)}`, name, op.queue, partsOf(op.request), partsOf(op.reply)),
  );
  const bits = Object.entries(PRIVATE_INIT_BITS).map(([name, bit]) => row(bit, 'flags2', name));
  const sets = OWN_SETS.map(([name, set]) => setRow(name, set));
  return [
    '## Private additions',
    '',
    'Not FUSE: between ends of this project that agreed on the bit, never offered to a kernel. With PRIVATE_MAP the',
    'server chooses where a mapping goes (MAP), asks for ranges back in the reply (a list of grants), and is answered',
    'by UNMAP: given back, or pinned; SETUPMAPPING and REMOVEMAPPING are refused. `moffset` of all ones: the server',
    'chooses; else it is the client’s wish, and the reply’s flags tell which of the two it was. With',
    'PRIVATE_MAPPED_LENGTH the reply to SETUPMAPPING is `virtiofs_setupmapping_out`.',
    '',
    ...table(['no.', 'name', 'queue', 'request', 'reply']),
    ...ops,
    '',
    ...table(['bit', 'word', 'name']),
    ...bits,
    '',
    ...table(['set', 'flags']),
    ...sets,
    ...PRIVATE_STRUCTS.flatMap((s) => ['', `### ${nameOf(s)} (${sizeOf(s)} bytes)`, '', ...structTable(s)]),
  ];
}

function structTable(s: AnyStruct): string[] {
  const rows = layoutOf(s).map((f) => {
    const set = FLAG_FIELDS[`${nameOf(s)}.${f.name}`];
    return row(f.offset, f.size, f.name, f.type, set === undefined ? '' : (SET_NAMES.get(set) ?? 'INIT flags'));
  });
  return [...table(['offset', 'size', 'field', 'type', 'flags']), ...rows];
}

const { INIT_FLAG_BITS: _bits, NOTIFY_CODES: _codes, ...fuseSets } = flags;

/** The sets by the name of their constant. */
const SETS = Object.entries({ ...fuseSets, ...mode }).flatMap(([name, set]): [string, FlagSet][] =>
  typeof set === 'object' ? [[name, set]] : [],
);
const OWN_SETS = Object.entries({ MAP_FLAGS, MAP_OUT_FLAGS, UNMAP_FLAGS });
const SET_NAMES = new Map<FlagSet, string>([...SETS, ...OWN_SETS].map(([name, set]) => [set, name]));

function initFlags(support: InitSupport | undefined): string[] {
  const rows = Object.entries(flags.INIT_FLAG_BITS).map(([name, bit]) => {
    const word = bit < 32 ? 'flags' : 'flags2';
    if (support === undefined) return row(bit, word, name);
    const { guestOffers, hostAccepts } = support;
    return row(
      bit,
      word,
      name,
      mark(guestOffers.includes(name as InitFlag)),
      mark(hostAccepts.includes(name as InitFlag)),
    );
  });
  const columns = ['bit', 'word', 'name', ...(support === undefined ? [] : ['guest offers', 'host accepts'])];
  return ['## INIT flags', '', '`flags2` counts only with FUSE_INIT_EXT.', '', ...table(columns), ...rows];
}

function flagSets(): string[] {
  const rows = SETS.map(([name, set]) => setRow(name, set));
  return ['## Other flags', '', ...table(['set', 'flags']), ...rows];
}

function setRow(name: string, set: FlagSet): string {
  const values = Object.entries(set).map(([flag, value]) => `${flag}=0x${value.toString(16)}`);
  return row(name, values.join(', '));
}

function compatSizes(): string[] {
  const rows = COMPAT_SIZES.map((c) => {
    const when = c.belowMinor === undefined ? `without ${c.without}` : `minor < ${c.belowMinor}`;
    return row(nameOf(c.struct), when, c.size, sizeOf(c.struct));
  });
  return ['## Sizes that depend on INIT', '', ...table(['struct', 'when', 'size', 'otherwise']), ...rows];
}

function partsOf(parts: readonly Part[]): string {
  return parts.length === 0 ? '—' : parts.map(partText).join(' + ');
}

function partText(part: Part): string {
  switch (part.part) {
    case 'struct':
      return `${nameOf(part.struct)} (${sizeOf(part.struct)})`;
    case 'name':
      return `"${part.name}"`;
    case 'bytes':
      return `bytes: ${part.name}`;
    case 'many':
      return `{${nameOf(part.struct)} (${sizeOf(part.struct)})}*`;
    case 'dirents':
      return `{${nameOf(part.struct)} (${sizeOf(part.struct)}) + name, padded to 8}*`;
    case 'either':
      return `${nameOf(part.struct)} (${sizeOf(part.struct)}) if size = 0, else bytes: ${part.name}`;
    case 'extensions':
      return 'ext';
  }
}

const mark = (fact: boolean): string => (fact ? 'yes' : '');
const row = (...cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;

function table(columns: readonly string[]): string[] {
  return [row(...columns), `|${' --- |'.repeat(columns.length)}`];
}
