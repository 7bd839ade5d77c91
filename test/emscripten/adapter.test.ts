import { expect, test } from 'vitest';
import { codeOf } from '../../src/adapters/emscripten/errno.ts';
import { Syscalls } from '../../src/emscripten.ts';
import * as e from '../../src/wire/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK, O_CREAT, O_EXCL, O_RDONLY, O_RDWR } from '../../src/wire/mode.ts';
import { boot } from '../guest/world.ts';
import { Program } from './program.ts';

const [F_GETLK, F_SETLK, F_SETFL] = [12, 13, 4];
const [PROT_READ, PROT_WRITE, MAP_SHARED, MAP_PRIVATE] = [1, 2, 1, 2];
const CREATE = O_RDWR | O_CREAT;

function errnoOf(call: () => unknown): number {
  try {
    call();
    return 0;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
}

function text(program: Program, at: number, size: number): string {
  return new TextDecoder().decode(program.HEAPU8.slice(at, at + size));
}

function store(program: Program, at: number, what: string): void {
  program.HEAPU8.set(new TextEncoder().encode(what), at);
}

test('errors have the numbers of Emscripten, whatever their sign; what it has no number for is EIO', () => {
  const known = [0, e.ENOENT, e.EEXIST, e.ENOTEMPTY, -e.EAGAIN, e.EDEADLK, e.ENOTDIR, e.EXDEV, e.E2BIG, e.EOPNOTSUPP];
  expect(known.map(codeOf)).toEqual([0, 44, 20, 55, 6, 16, 54, 75, 1, 138]);
  expect([codeOf(e.ERFKILL), codeOf(-e.EUCLEAN)]).toEqual([29, 29]);
});

test('a file that another guest creates between look and creation is opened; with O_EXCL it is EEXIST', () => {
  const world = boot({ guests: 2 });
  const [program, other] = [new Program(world.guest), (world.mounted[1] as { guest: typeof world.guest }).guest];
  program.onCreate = () => other.writeFile('/raced', 'theirs');
  const stream = program.FS.open('/raced', CREATE);
  expect(program.read(stream)).toBe('theirs');
  other.unlink('/raced');
  expect(errnoOf(() => program.FS.open('/raced', CREATE | O_EXCL))).toBe(20);
  program.close(stream);
  world.unmountAll();
});

test('a name that is gone by the time a listing asks for it is passed over; by path it is ENOENT', () => {
  const world = boot();
  const program = new Program(world.guest);
  world.guest.mkdir('/dir');
  world.guest.writeFile('/dir/a', '');
  const stream = program.FS.open('/dir', O_RDONLY);
  expect(program.ops(stream.node).readdir(stream.node)).toEqual(['.', '..', 'a']);
  world.guest.unlink('/dir/a');
  expect(errnoOf(() => program.ops(stream.node).lookup(stream.node, 'a'))).toBe(28);
  expect(errnoOf(() => program.node('/dir/a'))).toBe(44);
  program.close(stream);
  world.unmountAll();
});

test('an open that fails leaves no stream behind, and one that is closed no descriptor', () => {
  const world = boot({ mount: { uid: 1000, gid: 1000 } });
  const program = new Program(world.guest);
  world.memory.root.mode = 0o40777;
  world.guest.writeFile('/secret', 'x', { mode: 0 });
  expect(errnoOf(() => program.FS.open('/secret', O_RDONLY))).toBe(codeOf(e.EACCES));
  expect(program.streams.filter((stream) => stream !== undefined)).toEqual([]);
  program.close(program.FS.open('/mine', CREATE));
  expect(world.session.handles.size).toBe(0);
  world.unmountAll();
});

test('locks of two programs exclude each other, and are told of; without a patch each is granted', () => {
  const world = boot({ guests: 2 });
  const [one, two] = world.mounted.map(({ guest }) => new Program(guest)) as [Program, Program];
  const [mine, theirs] = [one.FS.open('/f', CREATE), two.FS.open('/f', CREATE)];
  expect(one.lock(mine.fd, F_SETLK, F_WRLCK, 10, 5)[0]).toBe(0);
  expect(two.lock(theirs.fd, F_SETLK, F_RDLCK, 14, 1)[0]).toBe(-6);
  expect(two.lock(theirs.fd, F_SETLK, F_WRLCK, 15, 1)[0]).toBe(0);
  expect(two.lock(theirs.fd, F_GETLK, F_WRLCK)).toEqual([0, F_WRLCK, 10, 5]);
  expect(one.lock(mine.fd, F_SETLK, F_UNLCK)[0]).toBe(0);
  expect(two.lock(theirs.fd, F_GETLK, F_WRLCK)).toEqual([0, F_UNLCK, 0, 0]);
  expect(two.lock(theirs.fd, F_SETLK, 7)[0]).toBe(-28);
  one.lock(mine.fd, F_SETLK, F_WRLCK);
  const careless = new Program(world.guest, false);
  expect(careless.lock(careless.FS.open('/f', CREATE).fd, F_SETLK, F_WRLCK)[0]).toBe(0);
  for (const [program, stream] of [
    [one, mine],
    [two, theirs],
  ] as const)
    program.close(stream);
  world.unmountAll();
});

test('a call for a stream that is not ours goes to the program’s own function, which keeps its signature', () => {
  const world = boot();
  const program = new Program(world.guest);
  expect(program.lock(77, F_SETLK, F_WRLCK)[0]).toBe(0);
  expect(program.call('_munmap_js', 4096)).toBe(0);
  expect((program.imports.env['__syscall_fcntl64'] as { sig?: string }).sig).toBe('iiip');
  const stream = program.FS.open('/f', CREATE);
  new DataView(program.HEAPU8.buffer).setUint32(0, 0o2000, true);
  expect([program.call('__syscall_fcntl64', stream.fd, F_SETFL, 0), stream.flags & 0o2000]).toEqual([0, 0o2000]);
  program.close(stream);
  world.unmountAll();
});

test('a mapping outlives its descriptor, is exchanged at munmap, and its memory is left alone from then on', () => {
  const world = boot();
  const program = new Program(world.guest);
  const stream = program.FS.open('/f', CREATE);
  program.write(stream, 'abcdef', 0);
  const { ptr } = program.streamOps(stream).mmap(stream, 6, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
  expect(text(program, ptr, 6)).toBe('abcdef');
  program.close(stream);
  store(program, ptr + 1, 'B');
  const file = world.guest.open('/f', 'r+');
  file.write(new TextEncoder().encode('E'), 0, 1, 4);
  expect(program.call('_munmap_js', ptr)).toBe(0);
  expect([world.guest.readFile('/f', 'utf8'), text(program, ptr, 6)]).toEqual(['aBcdEf', 'aBcdEf']);
  file.write(new TextEncoder().encode('X'), 0, 1, 0);
  const again = program.FS.open('/f', O_RDWR);
  program.read(again);
  expect(text(program, ptr, 1)).toBe('a');
  program.close(again);
  file.close();
  expect(world.session.handles.size).toBe(0);
  world.unmountAll();
});

test('what was stored in a mapping is there for a read, and does not win over a later write', () => {
  const world = boot();
  const program = new Program(world.guest);
  const stream = program.FS.open('/f', CREATE);
  program.write(stream, 'abcdef', 0);
  const { ptr } = program.streamOps(stream).mmap(stream, 6, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
  store(program, ptr, 'AB');
  expect(program.read(stream)).toBe('ABcdef');
  store(program, ptr, 'xy');
  program.write(stream, '1', 0);
  expect([program.read(stream), text(program, ptr, 2)]).toEqual(['1ycdef', '1y']);
  expect(program.call('_munmap_js', ptr)).toBe(0);
  program.close(stream);
  world.unmountAll();
});

test('a lock hears what others stored, an unlock tells: a private mapping does neither', () => {
  const world = boot({ guests: 2 });
  const [one, two] = world.mounted.map(({ guest }) => new Program(guest)) as [Program, Program];
  const streams = [one, two].map((program) => program.FS.open('/f', CREATE));
  const [mine, theirs] = streams as [(typeof streams)[0], (typeof streams)[0]];
  one.write(mine, 'abc', 0);
  const [a, b] = [one.streamOps(mine), two.streamOps(theirs)];
  const shared = [a.mmap(mine, 3, 0, 3, MAP_SHARED).ptr, b.mmap(theirs, 3, 0, 3, MAP_SHARED).ptr] as const;
  const own = b.mmap(theirs, 3, 0, 3, MAP_PRIVATE).ptr;
  one.lock(mine.fd, F_SETLK, F_WRLCK);
  store(one, shared[0], 'A');
  store(two, own + 1, 'Z');
  expect(text(two, shared[1], 3)).toBe('abc');
  one.lock(mine.fd, F_SETLK, F_UNLCK);
  two.lock(theirs.fd, F_SETLK, F_WRLCK);
  expect([text(two, shared[1], 3), text(two, own, 3)]).toEqual(['Abc', 'aZc']);
  for (const ptr of [shared[1], own]) expect(two.call('_munmap_js', ptr)).toBe(0);
  expect(one.call('_msync_js', shared[0])).toBe(0);
  expect(one.call('_munmap_js', shared[0])).toBe(0);
  expect(world.guest.readFile('/f', 'utf8')).toBe('Abc');
  one.close(mine);
  two.close(theirs);
  world.unmountAll();
});

test('without a patch msync writes what it is given, as far as the file reaches', () => {
  const world = boot();
  const program = new Program(world.guest, false);
  const stream = program.FS.open('/f', CREATE);
  program.write(stream, 'abcd', 0);
  const ops = program.streamOps(stream);
  ops.mmap(stream, 8, 0, PROT_READ | PROT_WRITE, MAP_SHARED);
  expect(ops.msync(stream, new TextEncoder().encode('ABCDEFGH'), 0, 8, MAP_SHARED)).toBe(0);
  expect(ops.msync(stream, new TextEncoder().encode('private!'), 0, 8, MAP_PRIVATE)).toBe(0);
  expect(world.guest.readFile('/f', 'utf8')).toBe('ABCD');
  program.close(stream);
  world.unmountAll();
});

test('imports are patched while a program is loaded; then WebAssembly is as it was, even after a failure', async () => {
  const { instantiate, instantiateStreaming } = WebAssembly;
  const empty = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  const own = () => 0;
  const imports = { env: { __syscall_fcntl64: own, other: own } };
  await new Syscalls().during(() => WebAssembly.instantiate(empty, imports));
  expect([imports.env.__syscall_fcntl64 === own, imports.env.other === own]).toEqual([false, true]);
  await expect(new Syscalls().during(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect([WebAssembly.instantiate, WebAssembly.instantiateStreaming]).toEqual([instantiate, instantiateStreaming]);
});
