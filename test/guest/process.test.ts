import { expect, test } from 'vitest';
import { bytesOfText, textOfBytes } from '../../src/base/bytes.ts';
import { AT_FDCWD, type Process } from '../../src/guest/process.ts';
import * as e from '../../src/wire/errno.ts';
import * as m from '../../src/wire/mode.ts';
import { createInline } from '../../src/worker/inline.ts';
import { boot } from './world.ts';

const path = bytesOfText;
const bytes = (text: string) => new TextEncoder().encode(text);
const CREATE = m.O_RDWR | m.O_CREAT;

function readText(process: Process, fd: number, size = 100): string {
  const buffer = new Uint8Array(size);
  return new TextDecoder().decode(buffer.subarray(0, process.read(fd, buffer)));
}

test('descriptors are the lowest free numbers, and dup shares the position', () => {
  const world = boot();
  const process = world.guest.spawn();
  const open = () => process.openat(AT_FDCWD, path('/a'), CREATE, 0o644);
  expect([open(), open(), open()]).toEqual([0, 1, 2]);
  expect(process.close(1)).toBe(0);
  expect(process.dup(0)).toBe(1);
  expect(process.dup(0, 10)).toBe(10);
  process.write(0, bytes('hello'));
  expect(process.lseek(1, 0, m.SEEK_CUR)).toBe(5);
  process.lseek(10, 1, m.SEEK_SET);
  expect(readText(process, 0)).toBe('ello');
  expect(process.close(0)).toBe(0);
  expect(process.close(0)).toBe(-e.EBADF);
  expect(readText(process, 1)).toBe('');
  expect(process.dup2(10, 2)).toBe(2);
  expect(process.dup2(10, 5000)).toBe(-e.EBADF);
  process.exit();
  world.check();
  world.unmountAll();
});

test('relative paths start at the working directory or at a directory descriptor', () => {
  const world = boot();
  world.guest.mkdir('/d/e', { recursive: true });
  const process = world.guest.spawn();
  expect(process.chdir(path('d'))).toBe(0);
  expect(process.getcwd()).toBe('/d');
  const fd = process.openat(AT_FDCWD, path('e'), m.O_RDONLY | m.O_DIRECTORY);
  expect(process.openat(fd, path('f'), CREATE, 0o644)).toBeGreaterThan(fd);
  expect(world.guest.exists('/d/e/f')).toBe(true);
  expect(process.fchdir(fd)).toBe(0);
  expect(process.getcwd()).toBe('/d/e');
  expect(process.openat(fd + 1, path('x'), m.O_RDONLY)).toBe(-e.ENOTDIR);
  expect(process.openat(99, path('x'), m.O_RDONLY)).toBe(-e.EBADF);
  expect(process.openat(99, path('/d/e/f'), m.O_RDONLY)).toBeGreaterThan(0);
  process.exit();
  world.unmountAll();
});

test('chroot keeps absolute paths, links and dots inside', () => {
  const world = boot();
  world.guest.mkdir('/jail');
  world.guest.writeFile('/secret', 'x');
  world.guest.writeFile('/jail/own', 'y');
  world.guest.symlink('/secret', '/jail/link');
  const process = world.guest.spawn();
  expect(process.chroot(path('/jail'))).toBe(0);
  expect(process.getcwd()).toBe(e.ENOENT);
  expect(process.chdir(path('/'))).toBe(0);
  expect(process.getcwd()).toBe('/');
  for (const outside of ['/secret', '/../secret', '../../secret', '/link']) {
    expect(process.openat(AT_FDCWD, path(outside), m.O_RDONLY)).toBe(-e.ENOENT);
  }
  expect(process.openat(AT_FDCWD, path('/../own'), m.O_RDONLY)).toBe(0);
  // The guest itself is somebody else.
  expect(world.guest.readFile('/secret', 'utf8')).toBe('x');
  process.exit();
  world.unmountAll();
});

test('fork shares descriptions, and exec closes what asked for it', () => {
  const world = boot();
  const parent = world.guest.spawn();
  const fd = parent.openat(AT_FDCWD, path('/a'), CREATE, 0o644);
  const closing = parent.openat(AT_FDCWD, path('/a'), m.O_RDONLY | m.O_CLOEXEC);
  const child = parent.fork(2);
  child.exec();
  expect(child.close(closing)).toBe(-e.EBADF);
  expect(parent.lseek(closing, 0, m.SEEK_CUR)).toBe(0);
  child.write(fd, bytes('abc'));
  expect(parent.lseek(fd, 0, m.SEEK_CUR)).toBe(3);
  child.exit();
  expect(parent.write(fd, bytes('d'))).toBe(1);
  expect(world.guest.readFile('/a', 'utf8')).toBe('abcd');
  parent.exit();
  world.unmountAll();
});

test('each process has its own credentials, groups and umask', () => {
  const world = boot();
  world.guest.mkdir('/open');
  world.guest.chmod('/open', 0o777);
  world.guest.writeFile('/open/group', 'x');
  world.guest.chown('/open/group', 0, 50);
  world.guest.chmod('/open/group', 0o640);
  const one = world.guest.spawn({ uid: 1000, gid: 1000, umask: 0o077 });
  const two = world.guest.spawn({ uid: 1001, gid: 1001, groups: [50] });
  one.openat(AT_FDCWD, path('/open/one'), CREATE, 0o666);
  expect(world.guest.stat('/open/one')).toMatchObject({ uid: 1000, gid: 1000, mode: m.S_IFREG | 0o600 });
  expect(one.openat(AT_FDCWD, path('/open/group'), m.O_RDONLY)).toBe(-e.EACCES);
  expect(two.openat(AT_FDCWD, path('/open/group'), m.O_RDONLY)).toBe(0);
  expect(two.openat(AT_FDCWD, path('/open/one'), m.O_RDONLY)).toBe(-e.EACCES);
  expect(two.umask(0)).toBe(0o022);
  world.guest.writeFile('/by-root', '');
  expect(world.guest.stat('/by-root').uid).toBe(0);
  one.exit();
  two.exit();
  world.unmountAll();
});

test('record locks belong to the process, and any close of the file ends them', () => {
  const world = boot();
  const one = world.guest.spawn({ pid: 11 });
  const two = world.guest.spawn({ pid: 12 });
  const fds = [one, two].map((process) => process.openat(AT_FDCWD, path('/a'), CREATE, 0o644));
  const lock = (process: Process, fd: number) => process.lock(fd, { type: 'exclusive', length: 10 });
  expect(lock(one, fds[0] as number)).toBe(0);
  expect(lock(two, fds[1] as number)).toBe(-e.EAGAIN);
  const copy = one.dup(fds[0] as number);
  one.close(copy);
  expect(lock(two, fds[1] as number)).toBe(0);
  one.exit();
  two.exit();
  world.unmountAll();
});

test('an open directory is listed by its own cookies, and read as a file it is EISDIR', () => {
  const world = boot();
  for (const name of ['a', 'b', 'c']) world.guest.writeFile(`/${name}`, '');
  const process = world.guest.spawn();
  const fd = process.openat(AT_FDCWD, path('/'), m.O_RDONLY);
  expect(process.read(fd, new Uint8Array(10))).toBe(-e.EISDIR);
  const directory = process.directory(fd);
  const names: string[] = [];
  const cookies: (readonly [number, number])[] = [];
  while (directory?.next() === 1) {
    names.push(textOfBytes(directory.name));
    cookies.push(directory.cookie);
  }
  expect(names.sort()).toEqual(['.', '..', 'a', 'b', 'c']);
  directory?.seek(...(cookies[3] as [number, number]));
  expect([directory?.next(), directory?.next()]).toEqual([1, 0]);
  process.exit();
  world.unmountAll();
});

test('an append leaves the position behind its bytes, whatever is written or cut through others after it', async () => {
  const host = await createInline({ cacheSize: 4 << 20, windowSize: 0 });
  const guest = host.mount();
  const process = guest.spawn();
  const fd = process.openat(AT_FDCWD, path('/a'), CREATE | m.O_APPEND, 0o644);
  const other = process.openat(AT_FDCWD, path('/a'), m.O_RDWR);
  process.write(fd, bytes('1234'));
  process.pwrite(other, bytes('89'), 0, 2, 7);
  expect(process.lseek(fd, 0, m.SEEK_CUR)).toBe(4);
  process.write(fd, bytes('abc'));
  process.ftruncate(other, 2);
  expect(process.lseek(fd, 0, m.SEEK_CUR)).toBe(12);
  guest.unmount();
  host.stop();
});

test('an append leaves the position where the next write goes when O_APPEND is taken away', () => {
  const world = boot();
  const process = world.guest.spawn();
  const fd = process.openat(AT_FDCWD, path('/a'), CREATE | m.O_APPEND, 0o644);
  process.write(fd, bytes('1234'));
  process.setFlags(fd, 0);
  process.write(fd, bytes('5'));
  expect(world.guest.readFile('/a', 'utf8')).toBe('12345');
  process.exit();
  world.unmountAll();
});

test('a link to a directory is EPERM, unless the new name is wrong by itself', () => {
  const world = boot();
  world.guest.mkdir('/d');
  world.guest.writeFile('/f', '');
  const process = world.guest.spawn();
  const link = (to: string) => process.linkat(AT_FDCWD, path('/d'), AT_FDCWD, path(to));
  expect([link('/new'), link('/f'), link('/none/x'), link('/f/x')]).toEqual([
    -e.EPERM,
    -e.EEXIST,
    -e.ENOENT,
    -e.ENOTDIR,
  ]);
  process.exit();
  world.unmountAll();
});

test('a write at a position far behind the end of a file opened for appending does not stretch it', async () => {
  const host = await createInline({ cacheSize: 4 << 20, windowSize: 4 << 20 });
  const guest = host.mount();
  const process = guest.spawn();
  const fd = process.openat(AT_FDCWD, path('/a'), CREATE | m.O_APPEND, 0o644);
  expect(process.pwrite(fd, bytes('1234'), 0, 4, 9000)).toBe(4);
  expect(process.pread(fd, new Uint8Array(10), 0, 10, 0)).toBe(4);
  guest.unmount();
  host.stop();
});

test('a directory that moves into itself is EINVAL, whatever has the new name', () => {
  const world = boot();
  world.guest.mkdir('/d');
  world.guest.writeFile('/d/f', '');
  world.guest.writeFile('/g', '');
  const process = world.guest.spawn();
  const rename = (to: string) => process.renameat(AT_FDCWD, path('/d'), AT_FDCWD, path(to));
  expect([rename('/d/new'), rename('/d/f'), rename('/g')]).toEqual([-e.EINVAL, -e.EINVAL, -e.ENOTDIR]);
  process.exit();
  world.unmountAll();
});

test('pwrite to a file opened for appending leaves the position behind the last write, before its own bytes', () => {
  const world = boot();
  const process = world.guest.spawn();
  const fd = process.openat(AT_FDCWD, path('/a'), CREATE | m.O_APPEND, 0o644);
  process.write(fd, bytes('abc'));
  expect(process.pwrite(fd, bytes('defg'), 0, 4, 0)).toBe(4);
  expect(readText(process, fd)).toBe('defg');
  process.exit();
  world.unmountAll();
});
