import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { compareSums } from '../../src/cli/demo/sums.ts';

const cli = new URL('../../dist/cli.js', import.meta.url).pathname;
const tree = mkdtempSync(join(tmpdir(), 'virtiofs-demo-'));
mkdirSync(join(tree, 'deep/er'), { recursive: true });
writeFileSync(join(tree, 'empty'), '');
writeFileSync(join(tree, 'small'), 'hello');
writeFileSync(join(tree, 'deep/er/large'), Buffer.alloc(5_000_000, 'pattern'));
writeFileSync(join(tree, 'name with ünïcode'), 'x');
symlinkSync('small', join(tree, 'link'));
symlinkSync('/nowhere/at all', join(tree, 'dangling'));
afterAll(() => rmSync(tree, { recursive: true }));

function run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [cli, ...args]);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}

describe('virtiofs demo', () => {
  test('reads a tree without a mismatch and says so in JSON', async () => {
    const { code, stdout, stderr } = await run('demo', '--dir', tree, '--json');
    expect(stderr).toBe('');
    const report = JSON.parse(stdout);
    expect(report.read).toMatchObject({ files: 6, bytes: 5_000_006, mismatches: 0, bytesCopiedPerByteRead: 1 });
    expect(report.read.mappings.setUp).toBeGreaterThanOrEqual(5);
    expect(report.read.requests.READ).toBeUndefined();
    expect(report.write).toMatchObject({ created: 1200, renamed: 1200, deleted: 400, mismatches: 0 });
    expect(code).toBe(0);
  });

  test('prints a table in a pipe, without progress or colours, and can do without the window', async () => {
    const { code, stdout } = await run('demo', '--dir', tree, '--no-dax');
    expect(stdout).not.toContain('\r');
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toMatch(/mismatches against node:fs +0\n/);
    expect(stdout).toMatch(/ {4}READ +\d+\n/);
    expect(stdout).toMatch(/bytes copied per byte read +2\.000\n/);
    expect(code).toBe(0);
  });
});

describe('mistakes on the command line', () => {
  test.each([
    [['frobnicate'], "virtiofs: unknown command 'frobnicate': virtiofs --help lists them\n"],
    [['demo', '--dir', '/no/such/dir'], 'virtiofs: --dir /no/such/dir: no such directory\n'],
    [['demo', '--dir', '/dev/null'], 'virtiofs: --dir /dev/null: not a directory\n'],
    [
      ['bench', 'nothing'],
      "virtiofs: unknown benchmark 'nothing': there are copy, roundtrip, window, mapped, kernel, allocation, fio\n",
    ],
  ])('%j is one line and exit code 2', async (args, message) => {
    expect(await run(...args)).toEqual({ code: 2, stdout: '', stderr: message });
  });

  test('an unknown option is one line and exit code 2', async () => {
    const { code, stderr } = await run('demo', '--fast');
    expect(stderr).toMatch(/^virtiofs: Unknown option '--fast'.*\n$/);
    expect(code).toBe(2);
  });

  test('no command prints the help and is a mistake too', async () => {
    const { code, stderr } = await run();
    expect(stderr).toMatch(/^Usage: virtiofs COMMAND/);
    expect(code).toBe(2);
  });
});

test('sums that differ, files that only one side has and files read twice are all mismatches', () => {
  const direct = new Map([
    ['/same', '1'],
    ['/other', '2'],
    ['/unread', '3'],
  ]);
  const guests = [
    { path: '/same', sum: '1' },
    { path: '/other', sum: 'x' },
    { path: '/extra', sum: '4' },
    { path: '/same', sum: '1' },
  ];
  expect(compareSums(direct, guests)).toEqual([
    '/other: another sum than by node:fs',
    '/extra: not in the directory',
    '/same: read twice',
    '/unread: no guest read it',
  ]);
});
