/** The examples as their readers run them, and their length. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { hasClient } from '../clients/python.ts';
import { skipReason, titled } from '../kernel/mounted.ts';

const EXAMPLES = new URL('../../examples/', import.meta.url).pathname;
const PYODIDE = new URL('../clients/node_modules/pyodide/pyodide.mjs', import.meta.url).href;

/** Runs an example and returns what it printed. */
async function run(name: string, ...args: string[]): Promise<string> {
  const options = { env: { ...process.env, PYODIDE }, timeout: 100_000 };
  const { stdout } = await promisify(execFile)(process.execPath, [join(EXAMPLES, name), ...args], options);
  return stdout;
}

/** Never in this thread: what waits for the mount must not keep others from running. */
async function sh(script: string): Promise<string> {
  return (await promisify(execFile)('/bin/sh', ['-c', script], { timeout: 10_000 })).stdout;
}

test('two workers share a tree', async () => {
  expect(await run('two-workers.mjs')).toBe('count: 200\nfiles: anna.txt ben.txt count\n');
});

test('three workers share a mapping', async () => {
  expect(await run('mmap.mjs')).toBe('together: 30000, each: 10000 10000 10000\n');
});

describe.skipIf(!hasClient('pyodide'))('with Pyodide (npm ci --prefix test/clients)', () => {
  test('SQLite writes a database in a directory of this machine', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'virtiofs-example-'));
    expect(await run('sqlite-in-pyodide.mjs', directory)).toBe('notes: 1\n');
    expect(await run('sqlite-in-pyodide.mjs', directory)).toBe('notes: 2\n');
    expect(readFileSync(join(directory, 'notes.db'), 'latin1')).toContain('from Python in a worker');
    rmSync(directory, { recursive: true });
  }, 240_000);
});

const OWN_FILES = 'guest: hello.txt: Hello from sixty lines.\nguest: answer.txt: 42\n';

test('a file system of its own, served to a guest', async () => {
  expect(await run('serve-own-file-system.mjs')).toBe(OWN_FILES);
});

test.skipIf(skipReason !== undefined)(titled('and to the kernel'), async () => {
  const directory = mkdtempSync(join(tmpdir(), 'virtiofs-example-'));
  const served = run('serve-own-file-system.mjs', directory);
  try {
    await vi.waitFor(async () => expect(await sh(`ls ${directory}`)).toBe('answer.txt\nhello.txt\n'), 10_000);
    expect(await sh(`cat ${directory}/*.txt; cat ${directory}/nothing 2>/dev/null || echo none`)).toBe(
      '42\nHello from sixty lines.\nnone\n',
    );
  } finally {
    await sh(`umount ${directory} || umount -l ${directory}`);
    rmdirSync(directory);
  }
  expect(await served).toBe(OWN_FILES);
});

test('each example has under 40 lines, the file system under 60', () => {
  const sizes = readdirSync(EXAMPLES).map((name) => [
    name,
    readFileSync(EXAMPLES + name, 'utf8').split('\n').length - 1,
  ]);
  const limit = (name: unknown) => (name === 'own-file-system.mjs' ? 60 : 40);
  expect(sizes.filter(([name, size]) => (size as number) >= limit(name))).toEqual([]);
});
