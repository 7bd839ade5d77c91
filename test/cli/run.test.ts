import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { realTree, skipReason, Toolchain, title } from '../wasi/toolchain.ts';

const cli = new URL('../../dist/cli.js', import.meta.url).pathname;
const tools = new Toolchain();
const scratch = mkdtempSync(join(tmpdir(), 'virtiofs-run-'));
afterAll(() => {
  tools.remove();
  rmSync(scratch, { recursive: true });
});
const isSkipped = skipReason !== undefined;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `virtiofs run`; `said` resolves when something was written to stdout. */
function start(
  args: readonly string[],
  input?: string,
): { child: ReturnType<typeof spawn>; said: Promise<void>; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [cli, 'run', ...args], { stdio: 'pipe' });
  if (input !== undefined) child.stdin.end(input);
  let [stdout, stderr] = ['', ''];
  const said = new Promise<void>((resolve) => {
    child.stdout.on('data', (data) => {
      stdout += data;
      resolve();
    });
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
  return { child, said, ended };
}

function run(args: readonly string[], input = ''): Promise<Ended> {
  return start(args, input).ended;
}

describe('virtiofs run', () => {
  test.skipIf(isSkipped)(title('passes arguments, environment, streams and the exit code through'), async () => {
    const world = tools.wasm('world');
    const { stdout } = tools.runNative('world', { args: ['42', '--dir'], env: { GREETING: 'a=b' }, stdin: 'x\n' });
    expect(await run(['--env', 'GREETING=a=b', world, '42', '--dir'], 'x\n')).toEqual({
      code: 42,
      stdout,
      stderr: 'to stderr\n',
    });
    // More input than is handed over at a time.
    const lines = Array.from({ length: 30_000 }, (_, i) => `line ${i}\n`).join('');
    const long = await run([world], lines);
    expect([long.code, long.stdout.match(/^read line \d+$/gm)?.length]).toEqual([0, 30_000]);
  });

  test.skipIf(isSkipped).each(['files', 'names'])(
    title('%s.c leaves on a dir what it leaves natively'),
    async (name) => {
      const directory = mkdtempSync(join(scratch, 'dir-'));
      const native = tools.runNative(name);
      const ours = await run(['--dir', `/::dir:${directory}`, tools.wasm(name)]);
      expect({ ...ours, tree: realTree(directory, '').sort() }).toEqual(native);
      const { tree: _, ...said } = native;
      expect(await run(['--dir=/::memory:256M', tools.wasm(name)])).toEqual(said);
    },
  );

  test.skipIf(isSkipped)(title('several directories: two of one backing are one tree, others are apart'), async () => {
    const directory = mkdtempSync(join(scratch, 'several-'));
    writeFileSync(join(directory, 'f'), 'x'.repeat(100_000));
    const spec = `dir:${directory}`;
    const move = tools.wasm('move');
    const apart = await run(['--dir', `/a::${spec}`, '--dir', '/b::memory', move, '/a/f', '/b/g']);
    expect(apart.stdout).toBe('from: ok\nto: ok\n100000 bytes\nrename: EXDEV\nlink: EXDEV\n');
    const one = await run(['--dir', `/a::${spec}`, '--dir', `/b::${spec}`, move, '/a/f', '/b/g']);
    expect(one.stdout).toBe('from: ok\nto: ok\n100000 bytes\nrename: ok\nlink: ok\n');
    expect(readFileSync(join(directory, 'g'), 'latin1')).toBe('x'.repeat(100_000));
    const none = await run([move, '/a/f', '/b/g']);
    expect(none).toMatchObject({ code: 1, stderr: '' });
  });

  test.skipIf(isSkipped)(title('a trap is one line and 134'), async () => {
    const world = tools.wasm('world');
    const { code, stderr } = await run([world, 'trap']);
    expect([code, stderr]).toEqual([134, `to stderr\nvirtiofs: ${world}: the program trapped: unreachable\n`]);
  });

  test.skipIf(isSkipped).each([
    ['computes', 'SIGINT', 130],
    ['sleeps', 'SIGTERM', 143],
    ['reads', 'SIGINT', 130],
  ] as const)(title('a program that %s is ended by %s, and what it wrote is kept'), async (how, signal, expected) => {
    const directory = mkdtempSync(join(scratch, 'signal-'));
    const { child, said, ended } = start(['--dir', `/::dir:${directory}`, tools.wasm('stays'), how]);
    await said;
    child.kill(signal);
    expect(await ended).toEqual({ code: expected, stdout: 'staying\n', stderr: '' });
    expect(readFileSync(join(directory, 'left'), 'latin1')).toBe('left by'.padEnd(4096, 'x'));
  });
});

describe('mistakes are one line and exit code 2', () => {
  const file = (name: string, bytes: readonly number[]): string => {
    writeFileSync(join(scratch, name), Uint8Array.from(bytes));
    return join(scratch, name);
  };
  const HEAD = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const name = (text: string) => [text.length, ...Buffer.from(text)];
  const section = (id: number, body: readonly number[]) => [id, body.length, ...body];
  const TYPE = section(1, [1, 0x60, 0, 0]);
  const imports = (module: string, field: string, kind: readonly number[]) => [
    ...HEAD,
    ...TYPE,
    ...section(2, [1, ...name(module), ...name(field), ...kind]),
  ];
  const program = [
    ...[...HEAD, ...TYPE, ...section(3, [1, 0]), ...section(5, [1, 0, 1])],
    ...section(7, [2, ...name('memory'), 2, 0, ...name('_start'), 0, 0]),
    ...section(10, [1, 2, 0, 0x0b]),
  ];

  test.each([
    [['nowhere.wasm'], 'nowhere.wasm: no such file or directory'],
    [['/'], '/: illegal operation on a directory'],
    [[file('empty.wasm', HEAD)], `${scratch}/empty.wasm: exports no '_start'`],
    [[file('text.wasm', [...Buffer.from('hello')])], `${scratch}/text.wasm: not a WebAssembly module: .*`],
    [
      [file('other.wasm', imports('env', 'f', [0, 0]))],
      `${scratch}/other.wasm: imports env.f, which WASI preview 1 does not have`,
    ],
    [
      [file('old.wasm', imports('wasi_unstable', 'fd_read', [0, 0]))],
      `${scratch}/old.wasm: built for a draft of WASI: build it for preview 1 \\(wasm32-wasip1\\)`,
    ],
    [
      [file('threads.wasm', imports('env', 'memory', [2, 3, 1, 1]))],
      `${scratch}/threads.wasm: needs threads \\(wasi-threads\\), which cannot be started here`,
    ],
    [['--fast', 'x.wasm'], "unknown option '--fast': usage: virtiofs run .*"],
    [[], 'usage: virtiofs run .*'],
    [['--dir'], '--dir needs a value: usage: .*'],
    [['--dir', '/data', 'x.wasm'], '--dir /data: expected GUEST::SPEC, as in .*'],
    [['--dir', '/::nothing:x', 'x.wasm'], "--dir /::nothing:x: unknown file system 'nothing:x': .*"],
    [['--dir', '/::memory', '--dir', '/::memory', 'x.wasm'], '--dir /:: is given twice'],
    [['--env', 'NAME', 'x.wasm'], '--env NAME: expected NAME=VALUE'],
    [['--dir', '/::dir:/no/such', file('p.wasm', program)], "dir:/no/such: cannot serve '/no/such': no such file .*"],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(new RegExp(`^virtiofs: ${message}\n$`));
    expect([code, stdout]).toEqual([2, '']);
  });

  test('a program that does nothing ends with 0, after its options', async () => {
    expect(await run(['--', file('nothing.wasm', program)])).toEqual({ code: 0, stdout: '', stderr: '' });
    const { code, stdout } = await run(['--help']);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^usage: virtiofs run .*\n$/)]);
  });
});
