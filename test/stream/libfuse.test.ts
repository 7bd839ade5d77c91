/**
 * Guests of a server that nobody here wrote: libfuse, over a small file system in C. Needs gcc, pkg-config and
 * libfuse ≥ 3.13; with `libfuse` in VIRTIOFS_REQUIRE the lack of them is a failure.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, test } from 'vitest';
import { runGuest } from '../workers/run-guest.ts';

const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const SOURCE = new URL('hello-server.c', import.meta.url).pathname;
const PKG_CONFIG = process.env['PKG_CONFIG'] ?? 'pkg-config';
const INSTALL = 'needs gcc, pkg-config and libfuse: apt-get install gcc pkg-config libfuse3-dev';
const directory = mkdtempSync(join(tmpdir(), 'virtiofs-libfuse-'));
const program = join(directory, 'hello-server');
const problem = build();
let sockets = 0;

/** What the server counted during its life; `nodes` are those it has at the end. */
interface Counts {
  readonly lookups: number;
  readonly forgets: number;
  readonly opens: number;
  readonly releases: number;
  readonly opendirs: number;
  readonly releasedirs: number;
  readonly inits: number;
  readonly destroys: number;
  readonly reads: number;
  readonly writes: number;
  readonly nodes: number;
}

afterAll(() => rmSync(directory, { recursive: true }));

/** Compiles the server; returns why that was impossible. */
function build(): string | undefined {
  const query = ['--cflags', '--libs', 'fuse3 >= 3.13'];
  const flags = spawnSync(PKG_CONFIG, query, { encoding: 'utf8' });
  if (flags.status !== 0) return INSTALL;
  const options = ['-Wall', '-Wextra', '-Werror', '-O1', SOURCE, '-o', program, ...flags.stdout.trim().split(/\s+/)];
  const done = spawnSync('gcc', options, { encoding: 'utf8' });
  if (done.error !== undefined) return INSTALL;
  if (done.status !== 0) throw new Error(done.stderr);
  return undefined;
}

async function serve(lacking: readonly string[]) {
  const path = join(directory, `socket-${++sockets}`);
  const child = spawn(program, [path, ...lacking], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('listening');
  const end = async (): Promise<Counts> => {
    const { value } = await lines.next();
    expect((await closed)[0]).toBe(0);
    return JSON.parse(value ?? '');
  };
  return { path, end };
}

/** Reads and writes as a program would; what it leaves: a directory and two files. */
const WORK = `
  const root = '/' + data;
  guest.mkdir(root);
  for (let i = 0; i < 40; i++) guest.writeFile(root + '/' + i, 'x'.repeat(i * 5000));
  if (guest.readdir(root).length !== 40) throw new Error('readdir');
  for (let i = 0; i < 40; i++) if (guest.readFile(root + '/' + i, 'utf8') !== 'x'.repeat(i * 5000)) throw new Error(i);
  guest.rename(root + '/39', root + '/0');
  guest.truncate(root + '/0', 12345);
  const file = guest.open(root + '/1', 'r+');
  const positions = [file.seek(0, 'data'), file.seek(0, 'hole')];
  guest.unlink(root + '/1');
  file.write(new TextEncoder().encode('unlinked, but open'));
  file.close();
  for (let i = 2; i < 38; i++) guest.unlink(root + '/' + i);
  guest.mkdir(root + '/empty');
  guest.rmdir(root + '/empty');
  let code = '';
  try { guest.stat(root + '/nobody'); } catch (error) { code = error.code; }
  return [guest.readdir(root).sort(), guest.stat(root + '/0').size, positions, code];`;

if (problem !== undefined && (process.env['VIRTIOFS_REQUIRE'] ?? '').includes('libfuse')) throw new Error(problem);

const skipped = problem === undefined ? '' : ` (${problem})`;

test
  .skipIf(problem !== undefined)
  .each([
    'nothing',
    'create',
    'readdirplus lseek',
    'open',
    'opendir',
    'create readdirplus lseek open opendir forget_multi',
  ])(`three guests share a libfuse server that lacks %s${skipped}`, async (lacking) => {
  const { path, end } = await serve(lacking === 'nothing' ? [] : lacking.split(' '));
  const host = await createHost({ fs: `fuse:${path}`, guests: 4 });
  const guests = ['a', 'b', 'c'].map((name) => runGuest(host, WORK, name));
  for (const result of await Promise.all(guests.map((guest) => guest.result))) {
    expect(result).toEqual([['0', '38'], 12345, [0, 5000], 'ENOENT']);
  }
  await host.stop();
  const counts = await end();
  expect(counts.forgets).toBe(counts.lookups);
  expect(counts.releases).toBe(counts.opens);
  expect(counts.releasedirs).toBe(counts.opendirs);
  expect([counts.inits, counts.destroys]).toEqual([1, 1]);
  expect(counts.nodes).toBe(1 + 3 * 3);
});

test.skipIf(problem !== undefined)(`a libfuse server is told what a guest that dies had${skipped}`, async () => {
  const { path, end } = await serve([]);
  const host = await createHost({ fs: `fuse:${path}`, guests: 1 });
  const victim = runGuest(
    host,
    `const files = [];
     guest.mkdir('/d');
     for (let i = 0; i < 10; i++) files.push(guest.open('/d/' + i, 'w'), guest.opendir('/d'));
     guest.unlink('/d/0');
     say('open');
     for (let i = 0; ; i++) guest.writeFile('/d/' + (i % 10), 'y'.repeat(i));`,
  );
  await victim.said();
  await victim.worker.terminate();
  await victim.exited;
  await host.stop();
  const counts = await end();
  expect(counts.opens).toBeGreaterThanOrEqual(10);
  expect(counts.forgets).toBe(counts.lookups);
  expect([counts.releases, counts.releasedirs, counts.destroys]).toEqual([counts.opens, counts.opendirs, 1]);
});
