/** The tables against a C compiler and this machine's own linux/fuse.h, which may be older than the tables. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as flags from '../../src/wire/flags.ts';
import * as mode from '../../src/wire/mode.ts';
import { OPS } from '../../src/wire/ops.ts';
import { layoutOf, nameOf, sizeOf } from '../../src/wire/struct.ts';
import { STRUCTS } from '../../src/wire/structs.ts';

const HEADER = '/usr/include/linux/fuse.h';

function whatIsMissing(): string {
  if (spawnSync('gcc', ['--version']).error !== undefined) return 'gcc is missing (install gcc)';
  if (!existsSync(HEADER)) return `${HEADER} is missing (install linux-libc-dev)`;
  return '';
}

const missing = whatIsMissing();
const unless = missing === '' ? '' : ` [skipped: ${missing}]`;

test.skipIf(missing !== '')(`gcc finds our sizes, offsets and numbers in ${HEADER}${unless}`, () => {
  const header = readFileSync(HEADER, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const expected = [...structFacts(header), ...numberFacts(header), ...modeFacts()];
  expect(expected.length).toBeGreaterThan(400);
  const measured = measure(expected.map(([expression]) => expression));
  const wrong = expected.flatMap(([expression, ours], i) =>
    measured[i] === ours ? [] : [`${expression}: ours ${ours}, gcc ${measured[i]}`],
  );
  expect(wrong).toEqual([]);
});

/** A C expression and what it must be. */
type Fact = readonly [expression: string, ours: string];

function structFacts(header: string): Fact[] {
  const facts: Fact[] = [];
  for (const s of STRUCTS) {
    const name = nameOf(s);
    const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(header)?.[1];
    if (body === undefined) continue;
    facts.push([`sizeof(struct ${name})`, String(sizeOf(s))]);
    for (const field of layoutOf(s)) {
      // Reserved space that got a use since: an older header has `unused` longer, and the new field not at all.
      if (field.name === 'unused' || !new RegExp(`\\b${field.name}\\b`).test(body)) continue;
      facts.push([`offsetof(struct ${name}, ${field.name})`, String(field.offset)]);
      if (field.type.endsWith('[]')) continue;
      facts.push([`sizeof(((struct ${name} *)0)->${field.name})`, String(field.size)]);
    }
  }
  return facts;
}

function numberFacts(header: string): Fact[] {
  const numbers: [string, number][] = [];
  for (const [name, op] of Object.entries(OPS)) numbers.push([name === 'CUSE_INIT' ? name : `FUSE_${name}`, op.code]);
  const { INIT_FLAG_BITS: _, ...sets } = flags;
  for (const set of Object.values(sets)) numbers.push(...Object.entries(set));
  const isKnown = ([name]: readonly [string, unknown]): boolean => new RegExp(`\\b${name}\\b`).test(header);
  const init = Object.entries(flags.INIT_FLAG_BITS).filter(isKnown);
  return [
    ...numbers.filter(isKnown).map(([name, value]): Fact => [name, String(value)]),
    // Bit 31 is a negative number in C, so the low word is compared as unsigned.
    ...init.map(([name, bit]): Fact => [bit < 32 ? `(unsigned)${name}` : name, String(1n << BigInt(bit))]),
  ];
}

/** Linux spells some otherwise in C. */
const IN_C: Readonly<Record<string, string>> = { O_ASYNC: 'FASYNC', S_IALLUGO: '(S_ISUID|S_ISGID|S_ISVTX|0777)' };

/** The constants of mode.ts have Linux's names; arm64 and others number some open flags differently. */
function modeFacts(): Fact[] {
  const numbers = Object.entries(mode).filter(([, value]) => typeof value === 'number');
  const here = numbers.filter(([name]) => process.arch === 'x64' || !name.startsWith('O_'));
  return here.map(([name, value]): Fact => [IN_C[name] ?? name, String(value)]);
}

function measure(expressions: readonly string[]): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'fuse-abi-'));
  try {
    const source = join(folder, 'abi.c');
    const program = join(folder, 'abi');
    const lines = expressions.map((e) => `  printf("%llu\\n", (unsigned long long)(${e}));`);
    writeFileSync(source, `${INCLUDES.join('\n')}\nint main(void) {\n${lines.join('\n')}\n  return 0;\n}\n`);
    execFileSync('gcc', ['-w', '-o', program, source]);
    return execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const INCLUDES = [
  '#define _GNU_SOURCE',
  '#include <stddef.h>',
  '#include <stdio.h>',
  '#include <dirent.h>',
  '#include <sys/stat.h>',
  '#include <unistd.h>',
  '#include <linux/falloc.h>',
  '#include <linux/limits.h>',
  '#include <linux/xattr.h>',
  '#include <linux/fs.h>',
  '#include <linux/fuse.h>',
  // The kernel's own, because glibc's O_LARGEFILE is 0 where all files are large.
  '#include <asm/fcntl.h>',
];
