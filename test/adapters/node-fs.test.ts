/** What random calls do not reach: wrong arguments, handles, directories, streams, watching, the surface as a whole. */
import type { EventEmitter } from 'node:events';
import * as realFs from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isDeepStrictEqual, promisify } from 'node:util';
import { expect, test } from 'vitest';
import { createInline } from '../../src/index.ts';
import { type NodeFs, nodeFs } from '../../src/node-fs.ts';
import { boot } from '../guest/world.ts';
import { errorOf, plain } from './node-fs-sides.ts';

type AnyFs = Record<string, (...args: unknown[]) => unknown>;

// The compiler's part: what the façade is, is what node:fs is, less what the document lists.
type Subset = Pick<typeof realFs, 'readFileSync' | 'statSync' | 'watch' | 'createReadStream' | 'Dirent'>;
type SubsetOfPromises = Pick<typeof realFs.promises, 'readFile' | 'open' | 'cp'>;
const typed = (fs: NodeFs): Subset & { promises: SubsetOfPromises } => fs;

function start() {
  const world = boot({ guests: 2 });
  const [one, two] = world.mounted.map(({ guest }) => nodeFs(guest, { watchIntervalMs: 5 })) as [NodeFs, NodeFs];
  return { world, fs: one, other: two };
}

/** Two guests that are told what the other does. */
async function startTold() {
  const host = await createInline({ fs: 'memory', windowSize: 0, cacheSize: 16 << 20 });
  const [fs, other] = [host.mount(), host.mount()].map((guest) => nodeFs(guest, { watchIntervalMs: 5 })) as [
    NodeFs,
    NodeFs,
  ];
  return { host, fs, other };
}

function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return errorOf(error);
  }
  return 'nothing';
}

const bad: readonly unknown[] = [undefined, null, 5, -1, 1.5, 'x', {}, [], true, Symbol('s'), () => 1, NaN, 'a\0b'];
/** Never one that is open. Node 20's own words for these end at a NUL, and a symbol ends the whole program. */
function descriptorLike(value: unknown): unknown {
  if (typeof value === 'symbol' || typeof value === 'function' || value === 'a\0b') return 99_999.5;
  return typeof value === 'number' && value >= 0 ? 99_999 : value;
}

const CALLS: readonly (readonly [name: string, make: (value: unknown) => unknown[]])[] = [
  ...['openSync', 'statSync', 'mkdirSync', 'readdirSync', 'readlinkSync', 'unlinkSync', 'rmSync', 'opendirSync'].map(
    (name) => [name, (value: unknown) => [typeof value === 'string' ? `${value}\0` : value]] as const,
  ),
  ...['closeSync', 'fstatSync', 'fsyncSync', 'ftruncateSync'].map(
    (name) => [name, (value: unknown) => [descriptorLike(value)]] as const,
  ),
  ['openSync', (value) => ['/tmp', value === undefined || value === null || value === -1 ? {} : value]],
  ['openSync', (value) => ['/tmp/none', 'r', value]],
  ['accessSync', (value) => ['/', value]],
  ['copyFileSync', (value) => ['/none', '/none', value]],
  ['chmodSync', (value) => ['/none', value]],
  ['chownSync', (value) => ['/none', value, 0]],
  ['chownSync', (value) => ['/none', 0, value]],
  ['utimesSync', (value) => ['/none', value, 1]],
  ['ftruncateSync', (value) => [99_999, value]],
  ['readSync', (value) => [99_999, value]],
  ['readSync', (value) => [99_999, Buffer.alloc(4), value, 1]],
  ['readSync', (value) => [99_999, Buffer.alloc(4), 0, 2, value]],
  ['readvSync', (value) => [99_999, value]],
  ['writevSync', (value) => [99_999, value]],
  ['writeSync', (value) => [99_999, typeof value === 'string' ? 5 : value]],
  ['writeSync', (value) => [99_999, Buffer.alloc(4), value]],
  ['writeFileSync', (value) => ['/none/x', typeof value === 'string' ? 'x' : value]],
  ['readFileSync', (value) => ['/none', typeof value === 'function' ? undefined : value]],
  ['mkdirSync', (value) => ['/none/x', { recursive: typeof value === 'boolean' ? 1 : value }]],
  ['mkdtempSync', (value) => [typeof value === 'string' ? '/none/x' : value]],
  ['rmSync', (value) => ['/none', value]],
  ['rmSync', (value) => ['/none', { maxRetries: value }]],
  ['rmSync', (value) => ['/none', { retryDelay: value }]],
  ['cpSync', (value) => ['/none', '/nothing', { recursive: value }]],
  ['cpSync', (value) => ['/none', '/nothing', { filter: value }]],
  ['symlinkSync', (value) => ['/none', '/none/x', value]],
  ['stat', (value) => ['/none', typeof value === 'function' ? 1 : value]],
  ['readFile', (value) => ['/none', 'utf8', typeof value === 'function' || !value || Number.isNaN(value) ? 1 : value]],
];

test.runIf(process.version.startsWith('v20.'))('wrong arguments are refused as Node refuses them', () => {
  const { world, fs } = start();
  world.guest.mkdir('/tmp');
  world.guest.chmod('/tmp', 0o777);
  const differences: unknown[] = [];
  for (const [name, make] of CALLS) {
    for (const value of bad) {
      const args = make(value);
      const [got, expected] = [fs, realFs].map((side) => thrown(() => (side as unknown as AnyFs)[name]?.(...args)));
      if (!isDeepStrictEqual(got, expected)) differences.push({ call: name, args, got, expected });
    }
  }
  expect(differences).toEqual([]);
});

test('every export of the running node:fs is here or listed in the document, and so are those of its promises', () => {
  const { fs } = start();
  const document = realFs.readFileSync(new URL('../../docs/node-fs.md', import.meta.url), 'utf8');
  for (const name of Object.keys(realFs).filter((key) => key !== 'default')) {
    expect(document, name).toMatch(new RegExp(`\`${name}\``));
    const isMissing = new RegExp(`^\\|.*\`${name}\`.*\\| missing`, 'm').test(document);
    expect(name in fs, name).toBe(!isMissing);
  }
  for (const name of Object.keys(realFs.promises)) {
    expect(document, name).toMatch(new RegExp(`\`${name}\``));
    expect(name in fs.promises || document.includes(`\`promises.${name}\``), name).toBe(true);
  }
  expect(typed(fs).promises).toBe(fs.promises);
  expect(Object.getOwnPropertyDescriptor(fs, 'promises')?.enumerable).toBe(true);
  expect(fs.constants).toMatchObject({ O_RDONLY: 0, O_CREAT: 64, UV_FS_COPYFILE_EXCL: 1 });
});

test('the ten promises that isomorphic-git lives by', async () => {
  const { fs } = start();
  const { promises: git } = fs;
  await git.mkdir('/repo');
  await git.writeFile('/repo/HEAD', 'ref: refs/heads/main\n');
  expect(await git.readFile('/repo/HEAD', { encoding: 'utf8' })).toBe('ref: refs/heads/main\n');
  expect(Buffer.isBuffer(await git.readFile('/repo/HEAD'))).toBe(true);
  await git.symlink('HEAD', '/repo/link');
  expect(await git.readlink('/repo/link')).toBe('HEAD');
  expect((await git.lstat('/repo/link')).isSymbolicLink()).toBe(true);
  expect((await git.stat('/repo/link')).isFile()).toBe(true);
  expect(await git.readdir('/repo')).toEqual(['HEAD', 'link']);
  await git.unlink('/repo/link');
  await expect(git.rmdir('/repo')).rejects.toMatchObject({ code: 'ENOTEMPTY', syscall: 'rmdir', path: '/repo' });
  await expect(git.stat('/none')).rejects.toMatchObject({ message: "ENOENT: no such file or directory, stat '/none'" });
});

test('a FileHandle reads and writes until it is closed, once', async () => {
  const { fs } = start();
  const handle = await fs.promises.open('/a', 'w+');
  expect(handle.fd).toBeGreaterThan(2);
  let closes = 0;
  (handle as unknown as EventEmitter).on('close', () => closes++);
  expect(await handle.write('hello')).toEqual({ bytesWritten: 5, buffer: 'hello' });
  const buffer = Buffer.alloc(10);
  expect(await handle.read(buffer, 0, 10, 1)).toEqual({ bytesRead: 4, buffer });
  await handle.appendFile([' wo', 'rld'] as unknown as string);
  expect((await handle.stat({ bigint: true })).size).toBe(11n);
  await handle.truncate(5);
  expect(await handle.readv([Buffer.alloc(2), Buffer.alloc(9)], 0)).toMatchObject({ bytesRead: 5 });
  const { fd } = handle;
  await handle.close();
  await handle.close();
  expect([closes, handle.fd]).toEqual([1, -1]);
  await expect(handle.stat()).rejects.toMatchObject({ code: 'EBADF', syscall: 'fstat', message: 'file closed' });
  expect(() => fs.fstatSync(fd)).toThrow('EBADF');
});

test('a handle as web stream gives all bytes', async () => {
  const { fs } = start();
  fs.writeFileSync('/a', 'x'.repeat(40_000));
  const handle = await fs.promises.open('/a');
  let size = 0;
  for await (const chunk of handle.readableWebStream() as AsyncIterable<Uint8Array>) size += chunk.length;
  expect(size).toBe(40_000);
  await handle.close();
});

test('bigint stats have exact nanoseconds', () => {
  const { fs } = start();
  fs.writeFileSync('/a', 'abc');
  fs.utimesSync('/a', 1.5, 1_234_567_890.123456);
  const stats = fs.statSync('/a', { bigint: true });
  expect([stats.atimeNs, stats.mtimeNs, stats.mtimeMs]).toEqual([
    1_500_000_000n,
    1_234_567_890_123_456_000n,
    1_234_567_890_123n,
  ]);
  expect(fs.statSync('/a').mtime).toEqual(new Date(1_234_567_890_123));
});

test('a Dir is iterated, read one by one, and closed once', async () => {
  const { fs } = start();
  for (const name of ['a', 'b', 'c/d']) fs.mkdirSync(`/top/${name}`, { recursive: true });
  const names: string[] = [];
  for await (const entry of await fs.promises.opendir('/top')) names.push(`${entry.parentPath}/${entry.name}`);
  expect(names.sort()).toEqual(['/top/a', '/top/b', '/top/c']);
  const dir = fs.opendirSync('/top');
  expect([dir.path, dir.readSync()?.isDirectory()]).toEqual(['/top', true]);
  expect((await dir.read())?.isDirectory()).toBe(true);
  dir.closeSync();
  expect(() => dir.readSync()).toThrow('Directory handle was closed');
  await expect(dir.close()).rejects.toMatchObject({ code: 'ERR_DIR_CLOSED' });
});

test('streams read a part, write at a place, and close what they opened', async () => {
  const { fs } = start();
  fs.writeFileSync('/a', '0123456789');
  const sizes: number[] = [];
  const part = fs.createReadStream('/a', { start: 2, end: 7, highWaterMark: 4 });
  for await (const chunk of part) sizes.push((chunk as Buffer).length);
  expect(sizes).toEqual([4, 2]);
  await pipeline(Readable.from(['abc', 'de']), fs.createWriteStream('/a', { start: 3, flags: 'r+' }));
  expect(fs.readFileSync('/a', 'utf8')).toBe('012abcde89');
  await expect(pipeline(fs.createReadStream('/none'), fs.createWriteStream('/b'))).rejects.toThrow(
    "ENOENT: no such file or directory, open '/none'",
  );
  const handle = await fs.promises.open('/a');
  expect(await handle.createReadStream({ encoding: 'utf8' }).toArray()).toEqual(['012abcde89']);
  expect(handle.fd).toBe(-1);
});

test('callbacks come later and in order; promisify gives both results', async () => {
  const { fs } = start();
  const told: string[] = [];
  const done = new Promise<void>((settled) => {
    fs.writeFile('/a', 'abc', () => told.push('written'));
    fs.readFile('/a', 'utf8', (_, text) => told.push(text));
    fs.exists('/a', (found) => {
      told.push(String(found));
      settled();
    });
  });
  expect(told).toEqual([]);
  await done;
  expect(told).toEqual(['written', 'abc', 'true']);
  const fd = fs.openSync('/a', 'r');
  expect(await promisify(fs.read)(fd, Buffer.alloc(3), 0, 3, 0)).toMatchObject({
    bytesRead: 3,
    buffer: Buffer.from('abc'),
  });
});

test('cp copies trees, rm removes them, mkdtemp makes new names', async () => {
  const { fs } = start();
  fs.mkdirSync('/src/in', { recursive: true });
  fs.writeFileSync('/src/in/a', 'abc', { mode: 0o640 });
  fs.symlinkSync('in/a', '/src/link');
  await fs.promises.cp('/src', '/dest', { recursive: true, filter: async (from) => !from.endsWith('link') });
  expect(fs.readdirSync('/dest', { recursive: true })).toEqual(['in', 'in/a']);
  expect(plain(fs.statSync('/dest/in/a'))).toMatchObject({ mode: 0o100640, size: 3 });
  expect(() => fs.cpSync('/src', '/src/in/deeper', { recursive: true })).toThrow('to a subdirectory of self');
  expect(() => fs.rmSync('/dest')).toThrow('Path is a directory: rm returned EISDIR (is a directory) /dest');
  fs.rmSync('/dest', { recursive: true });
  fs.rmSync('/dest', { force: true });
  const [one, two] = [fs.mkdtempSync('/t-'), await fs.promises.mkdtemp('/t-')];
  expect([one, two]).toEqual([expect.stringMatching(/^\/t-\w{6}$/), expect.stringMatching(/^\/t-\w{6}$/)]);
  expect(one).not.toBe(two);
});

test('a watcher hears what another guest makes, changes and removes', async () => {
  const { host, fs, other } = await startTold();
  fs.mkdirSync('/dir/in', { recursive: true });
  const stop = new AbortController();
  const events: string[] = [];
  const over = (async () => {
    for await (const { eventType, filename } of fs.promises.watch('/dir', { recursive: true, signal: stop.signal })) {
      events.push(`${eventType} ${filename}`);
    }
  })();
  const until = async (text: string) => {
    for (let i = 0; i < 400 && !events.includes(text); i++) await new Promise((settled) => setTimeout(settled, 5));
    expect(events).toContain(text);
  };
  await new Promise((settled) => setTimeout(settled, 20));
  other.writeFileSync('/dir/a', 'x');
  await until('rename a');
  other.appendFileSync('/dir/a', 'y');
  await until('change a');
  other.writeFileSync('/dir/in/b', 'x');
  await until('rename in/b');
  events.length = 0;
  other.unlinkSync('/dir/a');
  await until('rename a');
  stop.abort();
  await expect(over).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' });
  host.stop();
});

test('watch and watchFile tell a listener, and stop when asked', async () => {
  const { host, fs, other } = await startTold();
  fs.writeFileSync('/a', 'x');
  expect(() => fs.watch('/none')).toThrow("ENOENT: no such file or directory, watch '/none'");
  const changed = new Promise((settled) => {
    const watcher = fs.watch('/a', { persistent: false }, (event, name) => {
      watcher.close();
      settled([event, name]);
    });
  });
  const sizes = new Promise((settled) => {
    fs.watchFile('/a', { interval: 5, persistent: false }, (now, before) => settled([now.size, before.size]));
  });
  other.appendFileSync('/a', 'yz');
  expect(await changed).toEqual(['change', 'a']);
  expect(await sizes).toEqual([3, 1]);
  fs.unwatchFile('/a');
  host.stop();
});

test('without a Buffer results are bytes, and without streams the call says what is missing', () => {
  const { world } = start();
  const fs = nodeFs(world.guest, { Buffer: undefined, ReadStream: undefined } as object);
  for (const [encoding, text] of [
    ['hex', 'c3a9'],
    ['latin1', '\u00c3\u00a9'],
    ['base64', 'w6k='],
    ['utf8', 'é'],
  ] as const) {
    fs.writeFileSync('/a', text, encoding);
    expect(fs.readFileSync('/a')).toEqual(new Uint8Array([0xc3, 0xa9]));
    expect(fs.readFileSync('/a', encoding)).toBe(text);
  }
  expect(() => fs.createReadStream('/a')).toThrow('ReadStream is not available here');
});

test('descriptors are those of the process that was given', () => {
  const { world } = start();
  const own = world.guest.spawn();
  const fs = nodeFs(world.guest, { process: own });
  const fd = fs.openSync('/a', 'w');
  expect(own.write(fd, new Uint8Array(4))).toBe(4);
  expect(fs.fstatSync(fd).size).toBe(4);
  own.exit();
  expect(() => fs.closeSync(fd)).toThrow('EBADF: bad file descriptor, close');
});
