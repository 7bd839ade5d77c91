/** POSIX conduct for several users: a table of rules, and random calls compared with those on a tmpfs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Command, isMounted, skipReason, titled, umount } from './mounted.ts';

const HERE = import.meta.dirname;
const TABLE = join(HERE, 'posix-rules/rules.txt');
const SEED = process.env['SEED'] ?? '1';
const SEEDS = '2';
const OPERATIONS = '200';
/** What `dir` does not have: docs/file-systems.md. */
const DIR_LACKS = ['specials', 'xattrs', 'exchange', 'tmpfile'];

const hasCompiler = spawnSync('gcc', ['--version']).status === 0;
const reason = skipReason ?? (hasCompiler ? undefined : 'no gcc: apt-get install gcc');

interface Case {
  readonly kind: 'memory' | 'dir';
  readonly options: string;
  readonly lacking: readonly string[];
  readonly words: readonly string[];
}

const CASES: readonly Case[] = [
  { kind: 'memory', options: 'allow_other', lacking: [], words: [] },
  { kind: 'memory', options: 'allow_other,no_default_permissions', lacking: [], words: ['no-permissions'] },
  { kind: 'memory', options: 'allow_other,writeback_cache', lacking: ['own-times'], words: ['writeback'] },
  { kind: 'dir', options: 'allow_other', lacking: DIR_LACKS, words: ['dir'] },
  { kind: 'dir', options: 'allow_other,no_default_permissions', lacking: DIR_LACKS, words: ['dir', 'no-permissions'] },
];

describe.skipIf(reason !== undefined)(titled(`POSIX conduct${hasCompiler ? '' : ` [skipped: ${reason}]`}`), () => {
  let base = '';
  let tmpfs = '';

  const run = (program: string, ...args: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(join(base, program), args, { encoding: 'utf8' });
    return { status, said: status === 0 ? '' : `${stdout}${stderr}` };
  };
  const fresh = (parent: string, name: string): string => {
    const path = join(parent, name);
    mkdirSync(path, { recursive: true });
    return path;
  };

  beforeAll(() => {
    base = mkdtempSync(join(tmpdir(), 'virtiofs-posix-'));
    tmpfs = fresh(base, 'tmpfs');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'posix', tmpfs]);
    execFileSync('gcc', ['-O0', '-o', join(base, 'rules'), join(HERE, 'posix-rules/rules.c')]);
    const parts = readdirSync(join(HERE, 'posix-fuzz')).filter((name) => name.endsWith('.c'));
    execFileSync('gcc', ['-O0', '-o', join(base, 'fuzz'), ...parts.map((name) => join(HERE, 'posix-fuzz', name))]);
  });
  afterAll(() => {
    umount(tmpfs);
    rmSync(base, { recursive: true });
  });

  test('the table of rules holds on tmpfs', () => {
    expect(run('rules', fresh(tmpfs, 'rules'), TABLE)).toEqual({ status: 0, said: '' });
  });

  test.each(CASES)('$kind, -o $options', async ({ kind, options, lacking, words }) => {
    const dir = fresh(base, 'mount');
    const name = `${kind}-${options}`;
    const spec = kind === 'dir' ? `dir:${fresh(tmpfs, `${name}-backing`)}` : kind;
    const command = new Command(['mount', spec, dir, '-o', options]);
    try {
      await command.says('mounted');
      expect(run('rules', fresh(dir, 'rules'), TABLE, ...lacking)).toEqual({ status: 0, said: '' });
      const places = [fresh(tmpfs, name), fresh(dir, 'fuzz')];
      expect(run('fuzz', ...places, SEED, SEEDS, OPERATIONS, ...words)).toEqual({ status: 0, said: '' });
    } finally {
      if (isMounted(dir)) umount(dir);
      else command.child.kill('SIGKILL');
    }
    // Also says that no inode, frame or descriptor is left.
    expect(await command.ended).toMatchObject({ code: 0, stderr: '' });
  });
});
