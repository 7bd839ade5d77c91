import { beforeAll, expect, test } from 'vitest';
import type { Guest } from '../../src/guest/guest.ts';
import { boot, codeOf } from './world.ts';

let guest: Guest;

beforeAll(() => {
  guest = boot().guest;
  guest.mkdir('/d/sub', { recursive: true });
  guest.writeFile('/f', 'file');
  guest.writeFile('/d/g', 'inner');
  guest.symlink('d', '/to-d');
  guest.symlink('/d/g', '/to-g');
  guest.symlink('f', '/to-f');
  guest.symlink('nowhere', '/dangling');
  guest.symlink('loop', '/loop');
  guest.symlink('../../../../f', '/d/up');
  let previous = 'f';
  for (let i = 1; i <= 41; i++) {
    guest.symlink(previous, `/chain${i}`);
    previous = `chain${i}`;
  }
});

const long = 'n'.repeat(256);
const bytes = (s: string) => new TextEncoder().encode(s);

test.each([
  ['/', 'OK'],
  ['///', 'OK'],
  ['', 'ENOENT'],
  ['/f', 'OK'],
  ['f', 'OK'],
  ['//f', 'OK'],
  ['/./f', 'OK'],
  ['/../../f', 'OK'],
  ['/d/../f', 'OK'],
  ['/f/', 'ENOTDIR'],
  ['/f/.', 'ENOTDIR'],
  ['/f/..', 'ENOTDIR'],
  ['/f/x', 'ENOTDIR'],
  ['/d/', 'OK'],
  ['/d/.', 'OK'],
  ['/d/sub/..', 'OK'],
  ['/missing', 'ENOENT'],
  ['/missing/..', 'ENOENT'],
  ['/to-d/g', 'OK'],
  ['/to-d/', 'OK'],
  ['/to-d/../f', 'OK'],
  ['/to-g', 'OK'],
  ['/to-f/', 'ENOTDIR'],
  ['/d/up', 'OK'],
  ['/dangling', 'ENOENT'],
  ['/loop', 'ELOOP'],
  ['/chain40', 'OK'],
  ['/chain41', 'ELOOP'],
  [`/${long}`, 'ENAMETOOLONG'],
  [`/${'n'.repeat(255)}`, 'ENOENT'],
  [`/${'d/../'.repeat(819)}f`, 'ENAMETOOLONG'],
  ['/a\0b', 'EINVAL'],
])('stat %j is %s', (path, code) => {
  expect(codeOf(() => guest.stat(path))).toBe(code);
});

test.each([
  ['/to-f', true],
  ['/loop', true],
  ['/dangling', true],
  ['/to-d/', false],
  ['/to-d/g', false],
])('lstat %j finds a symlink: %s', (path, isLink) => {
  expect(guest.lstat(path).isSymbolicLink()).toBe(isLink);
});

test.each([
  ['mkdir', '/', () => guest.mkdir('/'), 'EEXIST'],
  ['mkdir', '/d/.', () => guest.mkdir('/d/.'), 'EEXIST'],
  ['mkdir', 'existing', () => guest.mkdir('/d'), 'EEXIST'],
  ['mkdir', 'long', () => guest.mkdir(`/${long}`), 'ENAMETOOLONG'],
  ['mkdir', 'below a file', () => guest.mkdir('/f/x'), 'ENOTDIR'],
  ['mkdir', 'on a dangling link', () => guest.mkdir('/dangling'), 'EEXIST'],
  ['rmdir', '.', () => guest.rmdir('/d/.'), 'EINVAL'],
  ['rmdir', '..', () => guest.rmdir('/d/..'), 'ENOTEMPTY'],
  ['rmdir', '/', () => guest.rmdir('/'), 'EBUSY'],
  ['rmdir', 'file', () => guest.rmdir('/f'), 'ENOTDIR'],
  ['rmdir', 'missing', () => guest.rmdir('/m'), 'ENOENT'],
  ['unlink', 'directory', () => guest.unlink('/d'), 'EISDIR'],
  ['unlink', '.', () => guest.unlink('/d/.'), 'EISDIR'],
  ['unlink', 'file with slash', () => guest.unlink('/f/'), 'ENOTDIR'],
  ['unlink', 'missing', () => guest.unlink('/m'), 'ENOENT'],
  ['symlink', 'trailing slash', () => guest.symlink('x', '/new/'), 'ENOENT'],
  ['symlink', 'existing with slash', () => guest.symlink('x', '/d/'), 'EEXIST'],
  ['symlink', 'empty target', () => guest.symlink('', '/new'), 'ENOENT'],
  ['link', 'directory', () => guest.link('/d', '/new'), 'EPERM'],
  ['rename', '.', () => guest.rename('/d/.', '/new'), 'EBUSY'],
  ['rename', 'onto ..', () => guest.rename('/f', '/d/..'), 'EBUSY'],
  ['rename', 'file with slash', () => guest.rename('/f/', '/new'), 'ENOTDIR'],
  ['rename', 'file to slash', () => guest.rename('/f', '/new/'), 'ENOTDIR'],
  ['rename', 'file onto directory', () => guest.rename('/f', '/d'), 'EISDIR'],
  ['rename', 'directory onto file', () => guest.rename('/d', '/f'), 'ENOTDIR'],
  ['rename', 'missing', () => guest.rename('/m', '/new'), 'ENOENT'],
  ['rename', 'itself', () => guest.rename('/f', '/f'), 'OK'],
  ['open', 'create with slash', () => guest.open('/new/', 'w'), 'EISDIR'],
  ['open', 'create directory', () => guest.open('/d', 'w'), 'EISDIR'],
  ['open', 'exclusive existing', () => guest.open('/f', 'wx'), 'EEXIST'],
  ['open', 'exclusive dangling', () => guest.open('/dangling', 'wx'), 'EEXIST'],
  ['open', 'nofollow', () => guest.open('/to-f', 0o400000), 'ELOOP'],
  ['open', 'O_DIRECTORY on file', () => guest.open('/f', 0o200000), 'ENOTDIR'],
  ['open', 'write directory', () => guest.open('/d', 'r+'), 'EISDIR'],
  ['readlink', 'file', () => guest.readlink('/f'), 'EINVAL'],
  ['readdir', 'file', () => guest.readdir('/f'), 'ENOTDIR'],
  ['readFile', 'directory', () => guest.readFile('/d'), 'EISDIR'],
  ['truncate', 'directory', () => guest.truncate('/d', 0), 'EISDIR'],
])('%s: %s', (_call, _what, run, code) => {
  expect(codeOf(run)).toBe(code);
});

test('opening a dangling symlink with O_CREAT creates its target', () => {
  guest.symlink('made-by-link', '/creator');
  guest.writeFile('/creator', 'x');
  expect(guest.readFile('/made-by-link', 'utf8')).toBe('x');
});

test('names are bytes: what is not UTF-8 can be made, listed and removed', () => {
  const name = Uint8Array.of(0x2f, 0x64, 0x2f, 0xff, 0xfe);
  guest.writeFile(name, 'raw');
  expect(guest.readFile(name, 'utf8')).toBe('raw');
  const entry = guest.readdir('/d', { withTypes: true }).find((e) => e.bytes[0] === 0xff);
  expect(entry?.bytes).toEqual(Uint8Array.of(0xff, 0xfe));
  guest.unlink(name);
  guest.writeFile('/ü', 'x');
  expect(guest.exists(bytes('/ü'))).toBe(true);
});
