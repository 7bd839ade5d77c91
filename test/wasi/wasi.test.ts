/** The object as a whole: how a program starts and ends, and how often its bytes are copied. */
import { readFileSync } from 'node:fs';
import { afterAll, expect, test, vi } from 'vitest';
import { Wasi } from '../../src/adapters/wasi/wasi.ts';
import { boot } from '../guest/world.ts';
import { Bench, FREE } from './bench.ts';
import { Collector, skipReason, Toolchain, title } from './toolchain.ts';

const tools = new Toolchain();
afterAll(() => tools.remove());
const isSkipped = skipReason !== undefined;
const SIZE = 3_000_000;

/** An instance as far as `start` looks at one. */
function fake(exports: Record<string, unknown>): WebAssembly.Instance {
  return { exports: { memory: new WebAssembly.Memory({ initial: 1 }), ...exports } } as WebAssembly.Instance;
}

test('bytes go from the window to the program without a copy between', () => {
  const bench = new Bench({}, { ranges: 4 });
  const { guest } = bench.world;
  guest.writeFile(
    '/in/large',
    Uint8Array.from({ length: SIZE }, (_, i) => i * 7),
  );
  bench.memory.grow(64);
  const window = guest.mount.dax?.window;
  if (window === undefined) throw new Error('there is a window');
  const [read, write] = [vi.spyOn(window, 'read'), vi.spyOn(window, 'write')];
  const fd = bench.open('large');
  const before = guest.stats;
  expect(bench.calls.fd_read(fd, ...bench.iovs([FREE, 1_000_001], [FREE + 1_000_001, SIZE]), bench.result)).toBe(0);
  expect(bench.result32()).toBe(SIZE);
  expect(bench.calls.fd_pwrite(fd, ...bench.iovs([FREE, SIZE]), 0n, bench.result)).toBe(0);
  const after = guest.stats;
  expect(after.bytes.readDax - before.bytes.readDax).toBe(SIZE);
  expect(after.bytes.writtenDax - before.bytes.writtenDax).toBe(SIZE);
  expect([after.bytes.readFuse, after.requests.READ]).toEqual([before.bytes.readFuse, before.requests.READ]);
  expect(after.requests.WRITE).toBe(before.requests.WRITE);
  // The window is given the program's own memory: there is no buffer between them.
  for (const [, , buffer] of [...read.mock.calls, ...write.mock.calls]) expect(buffer.buffer).toBe(bench.memory.buffer);
  expect(bench.bytes.subarray(FREE, FREE + SIZE).every((byte, i) => byte === ((i * 7) & 255))).toBe(true);
  bench.end();
});

test('a program in our own memory is read into by the window itself, and by READ without a bounce', () => {
  for (const dax of ['always', 'never'] as const) {
    const bench = new Bench({}, { ranges: 4, mount: { dax } }, ({ pages }) => [pages.memory, pages.room]);
    const { guest } = bench.world;
    guest.writeFile('/in/f', 'straight into it');
    const window = guest.mount.dax?.window;
    const [readTo, read] = window === undefined ? [] : [vi.spyOn(window, 'readTo'), vi.spyOn(window, 'read')];
    const fd = bench.open('f');
    expect(bench.calls.fd_read(fd, ...bench.iovs([FREE, 100]), bench.result)).toBe(0);
    expect(bench.text(FREE, bench.result32())).toBe('straight into it');
    if (dax === 'always') {
      expect([readTo?.mock.calls[0]?.[2], read?.mock.calls.length]).toEqual([bench.at(FREE), 0]);
    } else expect(guest.stats.bytes.readFuse).toBe(16);
    bench.end();
  }
});

test('a program may have a shared memory of its own, as threads need it', () => {
  const shared = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  const bench = new Bench({ args: ['ä'] }, { ranges: 4 }, () => [shared, 0]);
  const fd = bench.open('ä', 1);
  expect(bench.write(fd, 'through shared memory')).toBe(0);
  expect(bench.calls.fd_pread(fd, ...bench.iovs([FREE + 100, 50]), 0n, bench.result)).toBe(0);
  expect(bench.text(FREE + 100, bench.result32())).toBe('through shared memory');
  expect(bench.calls.random_get(bench.at(FREE), 1000)).toBe(0);
  expect(bench.calls.args_get(bench.at(FREE), bench.at(FREE + 8))).toBe(0);
  expect(bench.list(3, 1000)).toContain(Buffer.from('ä').toString('latin1'));
  bench.end();
});

test('a program that traps, or exits deep inside, leaves nothing open', () => {
  for (const end of ['trap', 'exit', 'return'] as const) {
    const world = boot();
    const { guest } = world;
    guest.writeFile('/f', 'x');
    const wasi = new Wasi({ guest, preopens: { '/': '/', '/again': '/' } });
    const calls = wasi.imports()['wasi_snapshot_preview1'] as unknown as Bench['calls'];
    const memory = new WebAssembly.Memory({ initial: 1 });
    const start = () => {
      new Uint8Array(memory.buffer)[0] = 0x66;
      expect(calls.path_open(3, 1, 0, 1, 0, 2n, 0n, 0, 8)).toBe(0);
      expect(guest.mount.openFiles.size).toBe(1);
      if (end === 'trap') throw new WebAssembly.RuntimeError('unreachable');
      if (end === 'exit') calls.proc_exit(-1);
    };
    const run = () => wasi.start(fake({ memory, _start: start }));
    if (end === 'trap') expect(run).toThrow(WebAssembly.RuntimeError);
    else expect(run()).toBe(end === 'exit' ? 0xffff_ffff : 0);
    expect(guest.mount.openFiles.size).toBe(0);
    expect(calls.fd_close(3)).toBe(8);
    expect(() => wasi.start(fake({ memory, _start: start }))).toThrow('once');
    world.check();
    world.unmountAll();
  }
});

test('what is no WASI program is refused by one clear sentence', () => {
  const { guest } = boot();
  const start = (exports: Record<string, unknown>) => () => new Wasi({ guest }).start(fake(exports));
  expect(start({})).toThrow('not a WASI command: it exports no function "_start"');
  expect(start({ _start: () => {}, memory: undefined })).toThrow('not a WASI program: it exports no "memory"');
  expect(start({ _start: () => {}, _initialize: () => {} })).toThrow('must not export "_initialize"');
  expect(() => new Wasi({ guest }).initialize(fake({ _start: () => {} }))).toThrow('must not export "_start"');
  expect(() => new Wasi({})).toThrow('needs a "guest", a "process" or a "clock"');
  expect(() => new Wasi({ process: guest.spawn(), preopens: { '/': '/x' } })).toThrow('ENOENT');
});

test('a reactor is initialized once and then called until it is released', () => {
  const world = boot();
  world.guest.writeFile('/f', 'x');
  const wasi = new Wasi({ guest: world.guest, preopens: { '/': '/' } });
  const calls = wasi.imports()['wasi_snapshot_preview1'] as unknown as Bench['calls'];
  let count = 0;
  wasi.initialize(fake({ _initialize: () => void count++ }));
  expect([count, calls.fd_sync(3)]).toEqual([1, 0]);
  wasi.release();
  wasi.release();
  expect(calls.fd_sync(3)).toBe(8);
  world.unmountAll();
});

test('a program has the root, the credentials and the umask of the process that it is given', () => {
  const world = boot();
  const { guest } = world;
  guest.mkdir('/jail/own', { recursive: true });
  guest.chown('/jail/own', 1000, 1000);
  const process = guest.spawn({ uid: 1000, gid: 1000, umask: 0o077 });
  expect(process.chroot('/jail' as never)).toBe(0);
  const bench = new Bench();
  const wasi = new Wasi({ process, preopens: { '/': '/own' } });
  const calls = wasi.imports(bench.memory)['wasi_snapshot_preview1'] as unknown as Bench['calls'];
  expect(calls.path_open(3, 1, ...bench.path('f'), 1, 64n, 0n, 0, bench.result)).toBe(0);
  expect(guest.stat('/jail/own/f')).toMatchObject({ uid: 1000, mode: 0o100600 });
  wasi.release();
  process.exit();
  world.unmountAll();
});

test('no thread can be started', () => {
  const { guest } = boot();
  const { wasi } = new Wasi({ guest }).imports() as { wasi: { 'thread-spawn': (argument: number) => number } };
  expect(wasi['thread-spawn'](0)).toBe(-6);
});

test.skipIf(isSkipped)(title('a trap of a real program is thrown, after what it said'), async () => {
  const { guest } = boot();
  const stdout = new Collector();
  const wasi = new Wasi({ guest, args: ['p', 'trap'], stdout });
  const { instance } = await WebAssembly.instantiate(readFileSync(tools.wasm('world')), wasi.imports());
  expect(() => wasi.start(instance)).toThrow(WebAssembly.RuntimeError);
  expect(stdout.text).toContain('argument trap');
});
