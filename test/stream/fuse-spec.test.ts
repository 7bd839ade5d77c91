/** Guests of `fuse:SOCKET` in workers of their own; the foreign server is our own `serve`, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, test } from 'vitest';
import type { CreateHostOptions, Host } from '../../src/index.ts';
import { runGuest } from '../workers/run-guest.ts';

const { createHost, createInline, mount }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const CLI = new URL('../../dist/cli.js', import.meta.url).pathname;
const directory = mkdtempSync(join(tmpdir(), 'virtiofs-serve-'));
const hosts: Host[] = [];
const children: ChildProcess[] = [];
let sockets = 0;

interface Served {
  readonly path: string;
  readonly child: ChildProcess;
  readonly stderr: string[];
  /** Sends SIGTERM and returns the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

function serve(...args: string[]): { child: ChildProcess; stderr: string[]; ended: Promise<number | null> } {
  const child = spawn(process.execPath, [CLI, 'serve', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  const stderr: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => stderr.push(line));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, stderr, ended };
}

async function start(spec: string, path = join(directory, `socket-${++sockets}`)): Promise<Served> {
  const { child, stderr, ended } = serve(spec, '--socket', path);
  if (child.stdout === null) throw new Error('no stdout');
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended.then(() => stderr)]);
  expect(line).toBe(`serving ${spec} on ${path}`);
  const stop = (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal);
    return ended;
  };
  return { path, child, stderr, stop };
}

async function hostOf(path: string, options: CreateHostOptions = {}): Promise<Host> {
  const host = await createHost({ fs: `fuse:${path}`, guests: 4, log: () => {}, ...options });
  hosts.push(host);
  return host;
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.terminate();
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

test('guests of one host see one foreign tree; the directory behind it has it all after the end', async () => {
  const root = join(directory, 'root');
  mkdirSync(root);
  const served = await start(`dir:${root}`);
  const host = await hostOf(served.path);
  const code = `
    guest.mkdir('/' + data);
    for (let i = 0; i < 20; i++) guest.writeFile('/' + data + '/' + i, new Uint8Array(i * 20000).fill(i));
    guest.rename('/' + data + '/0', '/' + data + '/renamed');
    guest.unlink('/' + data + '/1');
    return guest.readdir('/' + data).length;`;
  const counts = await Promise.all(['a', 'b', 'c'].map((name) => runGuest(host, code, name).result));
  expect(counts).toEqual([19, 19, 19]);
  const reader = mount(host.attach());
  expect(reader.readdir('/').sort()).toEqual(['a', 'b', 'c']);
  expect(reader.readFile('/b/19')).toEqual(new Uint8Array(380_000).fill(19));
  reader.unmount();
  const report = await host.stop();
  expect(report?.inodes).toBe(0);
  expect(await served.stop()).toBe(0);
  expect(served.stderr).toEqual([]);
  expect(existsSync(served.path)).toBe(false);
  expect(readFileSync(join(root, 'c', '19')).length).toBe(380_000);
});

test('a guest that dies holds nothing on the foreign server: the server itself says so when it ends', async () => {
  const served = await start('memory:64MiB');
  const host = await hostOf(served.path);
  const survivor = mount(host.attach());
  for (let round = 0; round < 3; round++) {
    const victim = runGuest(
      host,
      `const files = [];
       for (let i = 0; i < 10; i++) files.push(guest.open('/' + i, 'w'));
       say('open');
       for (;;) guest.readdir('/');`,
    );
    await victim.said();
    await victim.worker.terminate();
    await victim.exited;
    survivor.writeFile('/survivor', 'still here');
  }
  expect(survivor.readdir('/').length).toBe(11);
  survivor.unmount();
  const report = await host.stop();
  expect(report?.inodes).toBe(0);
  expect(await served.stop('SIGINT')).toBe(0);
  expect(served.stderr).toEqual([]);
});

test('a server that is killed leaves its guests with ENOTCONN, and the host ends all the same', async () => {
  const served = await start('memory');
  const lines: string[] = [];
  const host = await hostOf(served.path, { log: (level, text) => lines.push(`${level} ${text}`) });
  const guest = mount(host.attach());
  guest.writeFile('/file', 'x');
  await served.stop('SIGKILL');
  expect(() => guest.readFile('/file')).toThrow(expect.objectContaining({ code: 'ENOTCONN' }));
  expect(() => guest.readdir('/')).toThrow(expect.objectContaining({ code: 'ENOTCONN' }));
  await host.stop();
  expect(lines).toEqual([`error fuse:${served.path}: the server closed the connection`]);
  // What the killed one left is replaced.
  expect(statSync(served.path).isSocket()).toBe(true);
  const again = await start('memory', served.path);
  expect(await again.stop()).toBe(0);
});

test('a server that never answers does not keep the host from ending', async () => {
  const path = join(directory, 'mute');
  let hear: () => void = () => {};
  const heard = new Promise<void>((resolve) => {
    hear = resolve;
  });
  const mute = createServer((socket) => socket.on('data', hear)).listen(path);
  await once(mute, 'listening');
  const host = await hostOf(path);
  const guest = runGuest(host, `return guest.stat('/');`);
  await heard;
  await host.stop();
  await expect(guest.result).rejects.toMatchObject({ code: expect.stringMatching(/ENOTCONN|ECONNREFUSED/) });
  mute.close();
}, 15_000);

test('a socket that is not there, or that nobody serves, is refused with its name', async () => {
  await expect(hostOf(join(directory, 'nowhere'))).rejects.toThrow(/cannot connect to fuse:.*nowhere: connect ENOENT/);
  await expect(createInline({ fs: 'fuse:/some/where' })).rejects.toThrow(/guests of createHost\(\) only/);
  await expect(createHost({ fs: 'fuse:' })).rejects.toThrow(/needs the path of a Unix socket/);
});

test.each([
  [['memory'], /^virtiofs: usage: virtiofs serve SPEC --socket PATH$/],
  [['--socket', 'x'], /^virtiofs: usage/],
  [['memory', 'more', '--socket', 'x'], /^virtiofs: usage/],
  [['floppy:a', '--socket', 'x'], /^virtiofs: unknown file system 'floppy:a'/],
  [['fuse:/x', '--socket', 'x'], /^virtiofs: fuse:\/x is served on a socket already/],
  [['memory:9G', '--socket', 'x'], /^virtiofs: memory:\d+ is too large/],
  [['dir:/does/not/exist', '--socket', 'x'], /^virtiofs: .*\/does\/not\/exist/],
  [['memory', '--socket', 'x', '--wrong'], /^virtiofs: Unknown option '--wrong'/],
  [['memory', '--socket', join(directory, 'precious')], /^virtiofs: .*precious exists and is no socket/],
])('serve %j is one line and exit code 2', async (args, message) => {
  writeFileSync(join(directory, 'precious'), 'text');
  const { stderr, ended } = serve(...args);
  expect(await ended).toBe(2);
  expect(stderr).toEqual([expect.stringMatching(message)]);
  expect(readFileSync(join(directory, 'precious'), 'utf8')).toBe('text');
});

test('a path that is served cannot be served by another; nobody else may connect to it', async () => {
  const served = await start('memory');
  const { stderr, ended } = serve('memory', '--socket', served.path);
  expect(await ended).toBe(2);
  expect(stderr).toEqual([`virtiofs: ${served.path} is served by somebody else already`]);
  expect(statSync(served.path).mode & 0o777).toBe(0o600);
  expect(await served.stop()).toBe(0);
  rmSync(directory, { recursive: true, force: true });
});
