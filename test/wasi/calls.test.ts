/** Each call by itself, as a program makes it. */
import { expect, test } from 'vitest';
import { FsError } from '../../src/guest/errors.ts';
import { ALL_RIGHTS, Bench, FREE } from './bench.ts';

const BADF = 8;
const EXIST = 20;
const INVAL = 28;
const ISDIR = 31;
const NOENT = 44;
const NOTDIR = 54;
const NOTSUP = 58;
const XDEV = 75;
const NOTCAPABLE = 76;
const CREAT = 1;
const DIRECTORY = 2;
const EXCL = 4;
const TRUNC = 8;
const APPEND = 1;
const FD_READ = 1n << 1n;
const FD_WRITE = 1n << 6n;

test('descriptors 3 and on are the preopened directories, by the names that the program knows', () => {
  const bench = new Bench({ preopens: { '/': '/in', '/more/ä': '/in/sub' } });
  const { calls } = bench;
  expect(calls.fd_prestat_get(4, bench.at(FREE))).toBe(0);
  expect([bench.view.getUint32(FREE, true), bench.view.getUint32(FREE + 4, true)]).toEqual([0, 8]);
  expect(calls.fd_prestat_dir_name(4, bench.at(FREE), 8)).toBe(0);
  expect(bench.text(FREE, 8)).toBe('/more/ä');
  expect(calls.fd_prestat_dir_name(4, bench.at(FREE), 7)).toBe(37);
  expect(calls.fd_prestat_get(5, bench.at(FREE))).toBe(BADF);
  expect(calls.fd_prestat_get(0, bench.at(FREE))).toBe(BADF);
  expect(() => new Bench({ preopens: { '/': '/nowhere' } })).toThrow(FsError);
  bench.end();
});

test('a descriptor has the rights that were asked for, never more, and can only lose some', () => {
  const bench = new Bench();
  const { calls } = bench;
  const rightsOf = (fd: number) => {
    expect(calls.fd_fdstat_get(fd, bench.at(FREE))).toBe(0);
    return [bench.view.getBigUint64(FREE + 8, true), bench.view.getBigUint64(FREE + 16, true)];
  };
  const fd = bench.open('f', CREAT, { rights: FD_READ | FD_WRITE, below: 0n });
  expect(rightsOf(fd)).toEqual([FD_READ | FD_WRITE, 0n]);
  expect(calls.fd_sync(fd)).toBe(NOTCAPABLE);
  expect(calls.fd_fdstat_set_rights(fd, FD_READ, 0n)).toBe(0);
  expect(bench.write(fd, 'x')).toBe(NOTCAPABLE);
  expect(calls.fd_fdstat_set_rights(fd, FD_READ | FD_WRITE, 0n)).toBe(NOTCAPABLE);
  expect(calls.fd_fdstat_set_rights(fd, -1n, 0n)).toBe(NOTCAPABLE);
  // A directory passes on what it was told it may.
  const dir = bench.open('sub', DIRECTORY, { below: FD_READ });
  expect(rightsOf(dir)[1]).toBe(FD_READ);
  expect(bench.open('x', CREAT, { dir, rights: FD_WRITE, below: 0n })).toBe(-NOTCAPABLE);
  const lame = bench.open('sub', DIRECTORY, { rights: 1n << 13n });
  expect(bench.open('x', CREAT, { dir: lame })).toBe(-NOTCAPABLE);
  expect(calls.path_create_directory(lame, ...bench.path('x'))).toBe(NOTCAPABLE);
  bench.end();
});

test('nothing above a directory is reached from it', () => {
  const bench = new Bench();
  const { guest } = bench.world;
  guest.writeFile('/secret', 'x');
  guest.mkdir('/outside');
  guest.symlink('/secret', '/in/absolute');
  guest.symlink('/in/sub', '/in/own');
  guest.symlink('../secret', '/in/up');
  guest.symlink('../..', '/in/sub/updown');
  guest.symlink('up', '/in/chain');
  guest.symlink('../../outside/new', '/in/sub/create');
  guest.symlink('..', '/in/sub/back');
  guest.writeFile('/in/f', 'mine');
  const outside = [
    ...['..', '/', '/secret', '../secret', 'sub/../../secret', './../secret', 'sub/.././../in/f', '../in/f', '/in/f'],
    ...[
      'absolute',
      'own',
      'own/x',
      'up',
      'chain',
      'sub/updown',
      'sub/updown/secret',
      'sub/create',
      'sub/back/../secret',
    ],
  ];
  const { calls } = bench;
  for (const path of outside) {
    expect([path, bench.open(path)]).toEqual([path, -NOTCAPABLE]);
    expect([path, bench.open(path, CREAT)]).toEqual([path, -NOTCAPABLE]);
    expect([path, calls.path_filestat_get(3, 1, ...bench.path(path), bench.at(FREE))]).toEqual([path, NOTCAPABLE]);
    expect([path, calls.path_filestat_set_times(3, 1, ...bench.path(path), 0n, 0n, 5)]).toEqual([path, NOTCAPABLE]);
    expect([path, bench.link(path, 'hard', 1)]).toEqual([path, NOTCAPABLE]);
  }
  for (const path of ['../x', '/x', 'sub/../../x', 'sub/updown/x', 'own/x', 'sub/back/../x']) {
    expect([path, calls.path_create_directory(3, ...bench.path(path))]).toEqual([path, NOTCAPABLE]);
    expect([path, calls.path_unlink_file(3, ...bench.path(path))]).toEqual([path, NOTCAPABLE]);
    expect([path, calls.path_remove_directory(3, ...bench.path(path))]).toEqual([path, NOTCAPABLE]);
    expect([path, calls.path_symlink(...bench.path('f', 9000), 3, ...bench.path(path))]).toEqual([path, NOTCAPABLE]);
    expect([path, calls.path_readlink(3, ...bench.path(path), FREE, 9, bench.result)]).toEqual([path, NOTCAPABLE]);
    expect([path, bench.rename('f', path)]).toEqual([path, NOTCAPABLE]);
    expect([path, bench.rename(path, 'g')]).toEqual([path, NOTCAPABLE]);
    expect([path, bench.link('f', path)]).toEqual([path, NOTCAPABLE]);
  }
  // What stays beneath works: dots, and links that come back.
  for (const path of ['sub/../f', './f', 'sub/back/f', 'sub/back/sub/back/f'])
    expect(bench.open(path)).toBeGreaterThan(3);
  // Seen from a directory below, the one above it is outside as well.
  const sub = bench.open('sub', DIRECTORY);
  expect(bench.open('../f', 0, { dir: sub })).toBe(-NOTCAPABLE);
  expect(bench.open('back/f', 0, { dir: sub })).toBe(-NOTCAPABLE);
  expect([guest.readdir('/').sort(), guest.readdir('/outside')]).toEqual([['in', 'outside', 'secret'], []]);
  bench.end();
});

test('a directory that another guest moves out does not take the walk along', () => {
  const bench = new Bench({}, { guests: 2 });
  const { guest, mounted } = bench.world;
  const other = mounted[1]?.guest;
  guest.writeFile('/secret', 'x');
  guest.mkdir('/in/sub/deep');
  const deep = bench.open('sub/deep', DIRECTORY);
  expect(bench.open('sub/deep/../x')).toBe(-NOENT);
  other?.rename('/in/sub/deep', '/deep');
  guest.stat('/deep');
  expect(bench.open('../secret', 0, { dir: deep })).toBe(-NOTCAPABLE);
  expect(bench.open('sub/deep/../secret')).toBe(-NOENT);
  expect(bench.open('x', CREAT, { dir: deep })).toBeGreaterThan(3);
  expect(guest.exists('/deep/x')).toBe(true);
  bench.end();
});

test('links and renames between directories of two guests are xdev', () => {
  const bench = new Bench({}, { guests: 2 });
  const other = bench.world.mounted[1]?.guest;
  if (other === undefined) throw new Error('there are two guests');
  const two = new Bench({ preopens: { '/a': '/in', '/b': { guest: other, path: '/in/sub' } } }, { guests: 1 });
  bench.world.guest.writeFile('/in/f', 'x');
  two.world.guest.writeFile('/in/f', 'x');
  const [path, size] = two.path('f');
  expect(two.calls.path_rename(3, path, size, 4, path, size)).toBe(XDEV);
  expect(two.calls.path_link(3, 0, path, size, 4, path, size)).toBe(XDEV);
  expect(two.open('made', CREAT, { dir: 4 })).toBe(5);
  expect(bench.world.guest.readdir('/in/sub')).toEqual(['made']);
  two.end();
  bench.end();
});

test('fdflags are kept and can be changed; an append of several pieces is one write', () => {
  const bench = new Bench();
  const { calls, world } = bench;
  const flagsOf = (fd: number) => {
    expect(calls.fd_fdstat_get(fd, bench.at(FREE))).toBe(0);
    return bench.view.getUint16(FREE + 2, true);
  };
  const fd = bench.open('log', CREAT, { fdflags: APPEND | 4 | 16 });
  expect(flagsOf(fd)).toBe(APPEND | 4 | 16);
  bench.bytes.set(new TextEncoder().encode('onetwo'), FREE);
  const before = world.guest.stats.requests.WRITE ?? 0;
  expect(calls.fd_write(fd, ...bench.iovs([FREE, 3], [FREE, 0], [FREE + 3, 3]), bench.result)).toBe(0);
  expect([bench.result32(), (world.guest.stats.requests.WRITE ?? 0) - before]).toEqual([6, 1]);
  expect(calls.fd_fdstat_set_flags(fd, 2)).toBe(0);
  expect(flagsOf(fd)).toBe(2);
  expect(calls.fd_seek(fd, 0n, 0, bench.result)).toBe(0);
  expect(bench.write(fd, 'ONE')).toBe(0);
  expect(world.guest.readFile('/in/log', 'utf8')).toBe('ONEtwo');
  bench.end();
});

test('open flags: created once, truncated, a directory as one', () => {
  const bench = new Bench();
  const fd = bench.open('f', CREAT | EXCL);
  bench.write(fd, 'text');
  expect(bench.open('f', CREAT | EXCL)).toBe(-EXIST);
  expect(bench.open('f', DIRECTORY)).toBe(-NOTDIR);
  expect(bench.open('sub', CREAT)).toBe(-ISDIR);
  expect(bench.open('sub', 0, { rights: FD_WRITE })).toBe(-ISDIR);
  expect(bench.open('sub', DIRECTORY | CREAT)).toBe(-INVAL);
  expect(bench.open('sub', DIRECTORY)).toBeGreaterThan(fd);
  bench.open('f', TRUNC);
  expect(bench.world.guest.stat('/in/f').size).toBe(0);
  expect(bench.world.guest.stat('/in/f').mode & 0o777).toBe(0o644);
  bench.world.guest.symlink('f', '/in/l');
  expect(bench.open('l', 0, { lookup: 0 })).toBe(-32);
  bench.end();
});

test('renumber moves a descriptor onto an open one, which is closed; preopened directories stay', () => {
  const bench = new Bench();
  const { calls, world } = bench;
  const [one, two] = [bench.open('one', CREAT), bench.open('two', CREAT)];
  expect(calls.fd_renumber(one, two)).toBe(0);
  expect(bench.write(two, 'to one')).toBe(0);
  expect(bench.write(one, 'x')).toBe(BADF);
  expect(world.guest.readFile('/in/one', 'utf8')).toBe('to one');
  expect(calls.fd_renumber(two, two)).toBe(0);
  expect(calls.fd_renumber(two, 3)).toBe(NOTSUP);
  expect(calls.fd_renumber(3, two)).toBe(NOTSUP);
  expect(calls.fd_renumber(two, 1)).toBe(0);
  expect(bench.write(1, '!')).toBe(0);
  expect(world.guest.mount.openFiles.size).toBe(1);
  expect(calls.fd_close(1)).toBe(0);
  expect(world.guest.mount.openFiles.size).toBe(0);
  bench.end();
});

test('a directory is the same whatever the size of the buffer, from any cookie, and while others change it', () => {
  const bench = new Bench({}, { guests: 2 });
  const { guest, mounted } = bench.world;
  const names = Array.from({ length: 300 }, (_, i) => `${i}-${'x'.repeat(i % 97)}`);
  for (const name of names) guest.writeFile(`/in/sub/${name}`, '');
  const fd = bench.open('sub', DIRECTORY);
  const whole = bench.list(fd, 60_000);
  expect(whole.toSorted()).toEqual(['.', '..', ...names].sort());
  for (const size of [125, 200, 1000, 4096]) expect(bench.list(fd, size)).toEqual(whole);
  // A buffer smaller than an entry's head is filled all the same: it is not the end.
  expect(bench.calls.fd_readdir(fd, bench.at(FREE), 10, 0n, bench.result)).toBe(0);
  expect(bench.result32()).toBe(10);
  let count = 0;
  const other = mounted[1]?.guest;
  const seen = bench.list(fd, 500, () => {
    other?.writeFile(`/in/sub/new${count}`, '');
    if (count < 3) other?.unlink(`/in/sub/${names[count]}`);
    count++;
  });
  for (const name of names.slice(3)) expect(seen.filter((each) => each === name)).toEqual([name]);
  bench.end();
});

test('times: each of the two set, set to now, or left', () => {
  const bench = new Bench();
  const { calls, world } = bench;
  const fd = bench.open('f', CREAT);
  const times = () => {
    expect(calls.fd_filestat_get(fd, bench.at(FREE))).toBe(0);
    return [bench.view.getBigUint64(FREE + 40, true), bench.view.getBigUint64(FREE + 48, true)];
  };
  const stat = () => world.guest.stat('/in/f').mtime.getTime();
  expect(calls.fd_filestat_set_times(fd, 1_234_567_890_123_456_789n, 5n, 1 | 4)).toBe(0);
  expect(times()).toEqual([1_234_567_890_123_456_789n, 5n]);
  expect(calls.path_filestat_set_times(3, 0, ...bench.path('f'), 7n, 9n, 4)).toBe(0);
  expect(times()).toEqual([1_234_567_890_123_456_789n, 9n]);
  expect(calls.fd_filestat_set_times(fd, 1n, 1n, 1 | 8)).toBe(0);
  expect(times()[0]).toBe(1n);
  expect(stat()).toBeGreaterThan(1_600_000_000_000);
  expect(calls.fd_filestat_set_times(fd, 1n, 1n, 0)).toBe(0);
  expect(times()[0]).toBe(1n);
  bench.end();
});

test('allocate makes a file longer, never shorter; positions are told and set', () => {
  const bench = new Bench();
  const { calls, world } = bench;
  const fd = bench.open('f', CREAT);
  bench.write(fd, 'abc');
  expect(calls.fd_allocate(fd, 100n, 50n)).toBe(0);
  expect(world.guest.stat('/in/f').size).toBe(150);
  expect(calls.fd_allocate(fd, 0n, 10n)).toBe(0);
  expect(world.guest.stat('/in/f').size).toBe(150);
  expect(calls.fd_tell(fd, bench.result)).toBe(0);
  expect(bench.result64()).toBe(3n);
  expect(calls.fd_seek(fd, -10n, 2, bench.result)).toBe(0);
  expect(bench.result64()).toBe(140n);
  expect(calls.fd_filestat_set_size(fd, 2n)).toBe(0);
  expect(world.guest.readFile('/in/f', 'utf8')).toBe('ab');
  expect(calls.fd_advise(fd, 0n, 0n, 3)).toBe(0);
  expect([calls.fd_sync(fd), calls.fd_datasync(fd), calls.fd_datasync(3)]).toEqual([0, 0, 0]);
  bench.end();
});

test('links: hard ones, symlinks followed and not, targets cut to the buffer', () => {
  const bench = new Bench();
  const { calls, world } = bench;
  world.guest.writeFile('/in/f', 'x');
  expect(calls.path_symlink(...bench.path('f', 9000), 3, ...bench.path('s'))).toBe(0);
  expect(calls.path_symlink(...bench.path('/any/where', 9000), 3, ...bench.path('away'))).toBe(0);
  expect(bench.link('f', 'hard')).toBe(0);
  expect(bench.link('s', 'through', 1)).toBe(0);
  expect(bench.link('s', 'itself')).toBe(0);
  expect(world.guest.stat('/in/f').nlink).toBe(3);
  expect(world.guest.lstat('/in/itself').isSymbolicLink()).toBe(true);
  expect(calls.path_readlink(3, ...bench.path('away'), bench.at(FREE), 4, bench.result)).toBe(0);
  expect([bench.result32(), bench.text(FREE, 4)]).toEqual([4, '/any']);
  expect(calls.path_unlink_file(3, ...bench.path('sub'))).toBe(ISDIR);
  expect(calls.path_remove_directory(3, ...bench.path('f'))).toBe(NOTDIR);
  expect(bench.rename('hard', 'f')).toBe(0);
  bench.end();
});

test('rights beyond those of preview 1 are no reason to refuse', () => {
  const bench = new Bench();
  expect(bench.open('f', CREAT, { rights: -1n, below: ALL_RIGHTS | (1n << 40n) })).toBe(4);
  bench.end();
});
