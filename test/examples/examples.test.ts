/** The examples as their readers run them, and their length. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { hasClient } from '../clients/python.ts';

const EXAMPLES = new URL('../../examples/', import.meta.url).pathname;
const PYODIDE = new URL('../clients/node_modules/pyodide/pyodide.mjs', import.meta.url).href;

/** Runs an example and returns what it printed. */
async function run(name: string, ...args: string[]): Promise<string> {
  const options = { env: { ...process.env, PYODIDE }, timeout: 50_000 };
  const { stdout } = await promisify(execFile)(process.execPath, [join(EXAMPLES, name), ...args], options);
  return stdout;
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
  });
});

test('each example has under 40 lines', () => {
  const sizes = readdirSync(EXAMPLES).map((name) => [
    name,
    readFileSync(EXAMPLES + name, 'utf8').split('\n').length - 1,
  ]);
  expect(sizes.filter(([, size]) => (size as number) >= 40)).toEqual([]);
});
