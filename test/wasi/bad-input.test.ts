/** Whatever a program passes, each call answers with an errno and harms nobody. */
import { expect, test } from 'vitest';
import { CALLS } from '../../src/adapters/wasi/calls.ts';
import { Wasi } from '../../src/adapters/wasi/wasi.ts';
import { Prng } from '../../src/base/prng.ts';
import { codeOf } from '../guest/world.ts';
import { ALL_RIGHTS, Bench, type CallName, FREE } from './bench.ts';

const BADF = 8;
const FAULT = 21;
const ILSEQ = 25;
const INVAL = 28;
const LOOP = 32;
const NAMETOOLONG = 37;

type Kind = 'fd' | 'dir' | 'path' | 'size' | 'at' | 'iovs' | 'count' | 'n' | 'big';

/** What each parameter of each call is. */
const SHAPES: Record<Exclude<CallName, 'proc_exit'>, readonly Kind[]> = {
  args_get: ['at', 'at'],
  args_sizes_get: ['at', 'at'],
  clock_res_get: ['n', 'at'],
  clock_time_get: ['n', 'big', 'at'],
  environ_get: ['at', 'at'],
  environ_sizes_get: ['at', 'at'],
  fd_advise: ['fd', 'big', 'big', 'n'],
  fd_allocate: ['fd', 'big', 'big'],
  fd_close: ['fd'],
  fd_datasync: ['fd'],
  fd_fdstat_get: ['fd', 'at'],
  fd_fdstat_set_flags: ['fd', 'n'],
  fd_fdstat_set_rights: ['fd', 'big', 'big'],
  fd_filestat_get: ['fd', 'at'],
  fd_filestat_set_size: ['fd', 'big'],
  fd_filestat_set_times: ['fd', 'big', 'big', 'n'],
  fd_pread: ['fd', 'iovs', 'count', 'big', 'at'],
  fd_prestat_dir_name: ['dir', 'at', 'size'],
  fd_prestat_get: ['dir', 'at'],
  fd_pwrite: ['fd', 'iovs', 'count', 'big', 'at'],
  fd_read: ['fd', 'iovs', 'count', 'at'],
  fd_readdir: ['dir', 'at', 'size', 'big', 'at'],
  fd_renumber: ['fd', 'fd'],
  fd_seek: ['fd', 'big', 'n', 'at'],
  fd_sync: ['fd'],
  fd_tell: ['fd', 'at'],
  fd_write: ['fd', 'iovs', 'count', 'at'],
  path_create_directory: ['dir', 'path', 'size'],
  path_filestat_get: ['dir', 'n', 'path', 'size', 'at'],
  path_filestat_set_times: ['dir', 'n', 'path', 'size', 'big', 'big', 'n'],
  path_link: ['dir', 'n', 'path', 'size', 'dir', 'path', 'size'],
  path_open: ['dir', 'n', 'path', 'size', 'n', 'big', 'big', 'n', 'at'],
  path_readlink: ['dir', 'path', 'size', 'at', 'size', 'at'],
  path_remove_directory: ['dir', 'path', 'size'],
  path_rename: ['dir', 'path', 'size', 'dir', 'path', 'size'],
  path_symlink: ['path', 'size', 'dir', 'path', 'size'],
  path_unlink_file: ['dir', 'path', 'size'],
  poll_oneoff: ['at', 'at', 'count', 'at'],
  proc_raise: ['n'],
  random_get: ['at', 'size'],
  sched_yield: [],
  sock_accept: ['fd', 'n', 'at'],
  sock_recv: ['fd', 'iovs', 'count', 'n', 'at', 'at'],
  sock_send: ['fd', 'iovs', 'count', 'n', 'at'],
  sock_shutdown: ['fd', 'n'],
};
const NAMES = Object.keys(SHAPES) as (keyof typeof SHAPES)[];
const NO_MEMORY_USED = ['sock_accept', 'sock_recv', 'sock_send'];

test('every function of preview 1 has a shape here', () => {
  expect([...NAMES, 'proc_exit'].sort()).toEqual(Object.keys(CALLS).sort());
});

function prepare(): { bench: Bench; fd: number } {
  const bench = new Bench({ args: ['a'], env: { K: 'V' } });
  bench.world.guest.writeFile('/in/file', 'some text');
  bench.world.guest.symlink('file', '/in/link');
  return { bench, fd: bench.open('file') };
}

/** Arguments with which the call works, or fails late. */
function good(bench: Bench, fd: number, kinds: readonly Kind[]): (number | bigint)[] {
  const [path, size] = bench.path('link');
  const [iovs, count] = bench.iovs([FREE, 4]);
  // A subscription to a clock that has passed.
  bench.bytes.fill(0, FREE, FREE + 48);
  const values: Record<Kind, number | bigint> = { fd, dir: 3, path, size, at: FREE, iovs, count, n: 0, big: 1n };
  return kinds.map((kind) => values[kind]);
}

test.each(NAMES)('%s: a pointer that leads out of the memory is fault', (name) => {
  const { bench, fd } = prepare();
  const kinds = SHAPES[name];
  for (const [i, kind] of kinds.entries()) {
    if (!['at', 'path', 'iovs'].includes(kind) || NO_MEMORY_USED.includes(name)) continue;
    for (const bad of [bench.bytes.length - 1, bench.bytes.length, 0x7fff_ffff, -2147483648, -1]) {
      const args = good(bench, fd, kinds);
      args[i] = bad;
      expect([i, bad, bench.calls[name](...args)]).toEqual([i, bad, FAULT]);
    }
  }
  bench.end();
});

test.each(NAMES)('%s: a descriptor that is not open is badf, however large', (name) => {
  const { bench, fd } = prepare();
  const kinds = SHAPES[name];
  for (const [i, kind] of kinds.entries()) {
    if (kind !== 'fd' && kind !== 'dir') continue;
    for (const bad of [fd + 1, 1023, 1024, 0x7fff_ffff, -2147483648, -1]) {
      const args = good(bench, fd, kinds);
      args[i] = bad;
      expect([i, bad, bench.calls[name](...args)]).toEqual([i, bad, BADF]);
    }
  }
  bench.end();
});

test.each(NAMES.filter((name) => SHAPES[name].includes('path')))('%s: a path that is not UTF-8 is ilseq', (name) => {
  const { bench, fd } = prepare();
  const kinds = SHAPES[name];
  for (const bad of [[0xff], [0x61, 0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
    for (const [i, kind] of kinds.entries()) {
      if (kind !== 'path') continue;
      const args = good(bench, fd, kinds);
      [args[i], args[i + 1]] = bench.path(Uint8Array.from(bad), FREE + 100);
      expect([i, bad, bench.calls[name](...args)]).toEqual([i, bad, ILSEQ]);
    }
  }
  const args = good(bench, fd, kinds);
  const long = bench.path('x/'.repeat(3000), FREE + 100);
  const i = kinds.lastIndexOf('path');
  [args[i], args[i + 1]] = long;
  expect(bench.calls[name](...args)).toBe(NAMETOOLONG);
  bench.end();
});

test('absurd vectors are refused: too many pieces, one of them outside, more bytes than a count can tell', () => {
  const { bench, fd } = prepare();
  const { fd_read, fd_write, fd_pread, fd_pwrite } = bench.calls;
  for (const count of [1025, 0x7fff_ffff, -1]) {
    expect(fd_read(fd, FREE, count, FREE)).toBe(INVAL);
    expect(fd_write(fd, FREE, count, FREE)).toBe(INVAL);
    expect(fd_pread(fd, FREE, count, 0n, FREE)).toBe(INVAL);
    expect(fd_pwrite(fd, FREE, count, 0n, FREE)).toBe(INVAL);
  }
  const outside = bench.iovs([FREE, 4], [bench.bytes.length - 3, 4]);
  expect(fd_write(fd, ...outside, bench.result)).toBe(FAULT);
  expect(bench.world.guest.readFile('/in/file', 'utf8')).toBe('some text');
  bench.memory.grow(64);
  const large = 4 << 20;
  for (let i = 0; i < 1024; i++) {
    bench.view.setUint32(large + i * 8, 0, true);
    bench.view.setUint32(large + i * 8 + 4, 3 << 20, true);
  }
  expect(fd_write(fd, large, 1024, bench.result)).toBe(INVAL);
  expect(fd_read(fd, large, 1024, bench.result)).toBe(INVAL);
  bench.end();
});

test('offsets and sizes that nobody can have are refused', () => {
  const { bench, fd } = prepare();
  const { calls } = bench;
  const iovs = bench.iovs([FREE, 4]);
  expect(calls.fd_pread(fd, ...iovs, -1n, bench.result)).toBe(INVAL);
  expect(calls.fd_pwrite(fd, ...iovs, -1n, bench.result)).toBe(22);
  expect(calls.fd_filestat_set_size(fd, -1n)).toBe(22);
  expect(calls.fd_allocate(fd, -1n, 1n)).toBe(22);
  expect(calls.fd_allocate(fd, 0n, 0n)).toBe(INVAL);
  expect(calls.fd_seek(fd, -1n, 0, bench.result)).toBe(INVAL);
  expect(calls.fd_seek(fd, 1n << 62n, 0, bench.result)).toBe(INVAL);
  expect(calls.fd_seek(fd, 0n, 3, bench.result)).toBe(INVAL);
  expect(calls.fd_seek(fd, 0n, -1, bench.result)).toBe(INVAL);
  expect(calls.fd_advise(fd, 0n, 0n, 6)).toBe(INVAL);
  expect(calls.fd_fdstat_set_flags(fd, 32)).toBe(INVAL);
  expect(calls.fd_filestat_set_times(fd, 0n, 0n, 3)).toBe(INVAL);
  expect(calls.fd_filestat_set_times(fd, 0n, 0n, 12)).toBe(INVAL);
  expect(calls.fd_filestat_set_times(fd, 0n, 0n, 16)).toBe(INVAL);
  expect(calls.poll_oneoff(FREE, FREE, 0, bench.result)).toBe(INVAL);
  expect(calls.poll_oneoff(FREE, FREE, -1, bench.result)).toBe(INVAL);
  expect(calls.clock_time_get(4, 0n, bench.result)).toBe(INVAL);
  expect(calls.clock_res_get(-1, bench.result)).toBe(INVAL);
  expect(bench.open('file', 16)).toBe(-INVAL);
  expect(bench.open('file', 0, { fdflags: 32 })).toBe(-INVAL);
  expect(calls.path_create_directory(3, FREE, 0)).toBe(44);
  bench.end();
});

test('symlinks that lead to each other are loop', () => {
  const { bench } = prepare();
  bench.world.guest.symlink('two', '/in/one');
  bench.world.guest.symlink('one', '/in/two');
  expect(bench.open('one')).toBe(-LOOP);
  expect(bench.open('one/x')).toBe(-LOOP);
  expect(bench.open('one', 1)).toBe(-LOOP);
  expect(bench.calls.path_filestat_get(3, 1, ...bench.path('one'), FREE)).toBe(LOOP);
  expect(bench.calls.path_filestat_get(3, 0, ...bench.path('one'), FREE)).toBe(0);
  bench.end();
});

test('calls before a program has a memory are fault, and none throws', () => {
  const { bench } = prepare();
  const wasi = new Wasi({ guest: bench.world.guest });
  const imports = wasi.imports()['wasi_snapshot_preview1'] as unknown as Bench['calls'];
  expect(imports.args_sizes_get(0, 4)).toBe(FAULT);
  expect(imports.fd_write(1, 0, 1, 0)).toBe(FAULT);
  expect(imports.random_get(0, 1)).toBe(FAULT);
  bench.end();
});

test('a program may have 1024 descriptors, then it is mfile', () => {
  const { bench } = prepare();
  let count = 0;
  let fd = 0;
  for (; fd >= 0; count++) fd = bench.open('file');
  expect([count, fd]).toEqual([1024 - 4, -33]);
  bench.end();
});

test('random calls with random arguments never throw, and break nothing', () => {
  const seed = Number(process.env['SEED'] ?? 1);
  const prng = new Prng(seed);
  const { bench } = prepare();
  let succeeded = 0;
  for (let i = 0; i < 60_000; i++) {
    const name = NAMES[prng.below(NAMES.length)] as keyof typeof SHAPES;
    if (i % 50 === 0)
      bench.bytes.set(
        Uint8Array.from({ length: 64 }, () => prng.below(256)),
        prng.below(65536),
      );
    if (i % 500 === 0) bench.open('file', 1);
    const args = SHAPES[name].map((kind) => randomArgument(bench, prng, kind));
    const code = codeOf(() => {
      const errno = bench.calls[name](...args);
      if (!Number.isInteger(errno) || errno < 0 || errno > 76) throw new Error(`errno ${errno}`);
      if (errno === 0) succeeded++;
    });
    expect(code, `SEED=${seed} step ${i}: ${name}(${args.join(', ')})`).toBe('OK');
  }
  expect(succeeded).toBeGreaterThan(5000);
  bench.end();
});

const TEXTS = ['file', 'link', 'sub', 'sub/x', '..', '../in/file', '/in/file', '.', '', 'a', 'sub/../file', 'ä'];

function randomArgument(bench: Bench, prng: Prng, kind: Kind): number | bigint {
  const odd = [0, 1, 3, 65536, bench.bytes.length - 8, 0x7fff_ffff, -1, -2147483648];
  if (prng.below(12) === 0 && kind !== 'big') return odd[prng.below(odd.length)] as number;
  switch (kind) {
    case 'fd':
      return prng.below(12);
    case 'dir':
      return prng.below(4) === 0 ? prng.below(12) : 3;
    case 'path':
      return bench.path(TEXTS[prng.below(TEXTS.length)] as string, 1024 + prng.below(4) * 64)[0];
    case 'size':
      return prng.below(12);
    case 'iovs':
      return bench.iovs([FREE + prng.below(5000), prng.below(5000)], [FREE, prng.below(100)])[0];
    case 'count':
      return prng.below(3);
    case 'at':
      return prng.below(4) === 0 ? prng.below(1 << 18) : FREE + prng.below(100);
    case 'n':
      return prng.below(20);
    case 'big':
      return [0n, 1n, 5n, -1n, ALL_RIGHTS, 1n << 40n, 100_000n][prng.below(7)] as bigint;
  }
}
