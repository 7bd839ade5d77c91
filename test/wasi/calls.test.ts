/** Each call by itself, as a program makes it. */
import { expect, test } from 'vitest';
import { FsError } from '../../src/guest/errors.ts';
import { ALL_RIGHTS, Bench, FREE } from './bench.ts';

const BADF = 8;
const EXIST = 20;
const INVAL = 28;
const ISDIR = 31;
const NOENT = 44;
const NOSYS = 52;
const NOTDIR = 54;
const NOTSOCK = 57;
const NOTSUP = 58;
const SPIPE = 70;
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

test('streams are read and written, have no position, and are no files', () => {
  const written: string[] = [];
  const bench = new Bench({
    stdin: { read: (into) => Math.min(into.length, into.fill(65).length, 5), isTerminal: true },
    stdout: { write: (from) => written.push(new TextDecoder().decode(from.slice())) && from.length },
    stderr: { write: () => -32 },
  });
  const { calls } = bench;
  expect(calls.fd_read(0, ...bench.iovs([FREE, 3], [FREE + 3, 100], [FREE + 200, 9]), bench.result)).toBe(0);
  expect([bench.result32(), bench.text(FREE, 8)]).toEqual([8, 'AAAAAAAA']);
  expect(bench.write(1, 'hello')).toBe(0);
  expect(bench.write(2, 'hello')).toBe(64);
  expect(written).toEqual(['hello']);
  expect(calls.fd_seek(1, 0n, 1, bench.result)).toBe(SPIPE);
  expect(calls.fd_tell(0, bench.result)).toBe(SPIPE);
  expect(calls.fd_pread(0, ...bench.iovs([FREE, 3]), 0n, bench.result)).toBe(SPIPE);
  expect(calls.fd_filestat_get(0, bench.at(FREE))).toBe(0);
  expect(bench.view.getUint8(FREE + 16)).toBe(2);
  expect(calls.path_create_directory(1, ...bench.path('x'))).toBe(NOTDIR);
  expect(calls.fd_readdir(1, bench.at(FREE), 100, 0n, bench.result)).toBe(NOTDIR);
  expect(calls.fd_close(0)).toBe(0);
  expect(calls.fd_close(0)).toBe(BADF);
  bench.end();
});

test('arguments and environment, sockets and signals that are not there, chance as it is given', () => {
  const random = (into: Uint8Array) => void into.fill(7);
  const bench = new Bench({ args: ['prog', 'ä b'], env: { A: '1', PATH: '/bin' }, random });
  const { calls } = bench;
  expect(calls.args_sizes_get(bench.at(FREE), bench.at(FREE + 4))).toBe(0);
  expect([bench.view.getUint32(FREE, true), bench.view.getUint32(FREE + 4, true)]).toEqual([2, 10]);
  expect(calls.args_get(bench.at(FREE), bench.at(FREE + 100))).toBe(0);
  expect(bench.text(FREE + 100, 10)).toBe('prog\0ä b\0');
  expect(bench.view.getUint32(FREE + 4, true)).toBe(bench.at(FREE + 105));
  expect(calls.environ_get(bench.at(FREE), bench.at(FREE + 100))).toBe(0);
  expect(bench.text(FREE + 100, 14)).toBe('A=1\0PATH=/bin\0');
  const fd = bench.open('f', CREAT);
  expect([calls.sock_shutdown(fd, 3), calls.sock_accept(fd, 0, 0), calls.sock_recv(3)]).toEqual([
    NOTSOCK,
    NOTSOCK,
    NOTSOCK,
  ]);
  expect([calls.sock_send(1), calls.sock_send(77)]).toEqual([NOTSOCK, BADF]);
  expect([calls.proc_raise(6), calls.sched_yield()]).toEqual([NOSYS, 0]);
  expect(calls.random_get(bench.at(FREE), 70_000)).toBe(0);
  expect(bench.bytes.slice(FREE, FREE + 70_001).lastIndexOf(7)).toBe(69_999);
  for (const env of [{ 'A=B': '' }, { '': 'x' }, { A: '\0' }]) expect(() => new Bench({ env })).toThrow(TypeError);
  bench.end();
});

test('poll: clocks by the one that comes first, files at once', () => {
  const bench = new Bench();
  const { calls, world } = bench;
  const fd = bench.open('f', CREAT);
  bench.write(fd, 'hello');
  calls.fd_seek(fd, 2n, 0, bench.result);
  const subscribe = (i: number, type: number, what: number, timeout = 0n, flags = 0) => {
    const at = FREE + i * 48;
    bench.bytes.fill(0, at, at + 48);
    bench.view.setBigUint64(at, BigInt(100 + i), true);
    bench.view.setUint8(at + 8, type);
    bench.view.setUint32(at + 16, what, true);
    bench.view.setBigUint64(at + 24, timeout, true);
    bench.view.setUint16(at + 40, flags, true);
  };
  const poll = (count: number) => {
    expect(calls.poll_oneoff(bench.at(FREE), bench.at(FREE + 4096), count, bench.result)).toBe(0);
    return Array.from({ length: bench.result32() }, (_, i) => {
      const at = FREE + 4096 + i * 32;
      const { view } = bench;
      return [
        Number(view.getBigUint64(at, true)),
        view.getUint16(at + 8, true),
        view.getUint8(at + 10),
        Number(view.getBigUint64(at + 16, true)),
      ];
    });
  };
  const start = world.clock.monotonicMs();
  subscribe(0, 0, 1, 50_000_000n);
  subscribe(1, 0, 1, 20_000_000n);
  expect(poll(2)).toEqual([[101, 0, 0, 0]]);
  expect(world.clock.monotonicMs() - start).toBe(20);
  subscribe(0, 0, 0, 1n, 1);
  expect(poll(1)).toEqual([[100, 0, 0, 0]]);
  expect(world.clock.monotonicMs() - start).toBe(20);
  subscribe(0, 0, 1, 1_000_000_000n);
  subscribe(1, 1, fd);
  subscribe(2, 2, fd);
  subscribe(3, 1, 99);
  subscribe(4, 0, 9);
  expect(poll(5)).toEqual([
    [101, 0, 1, 3],
    [102, 0, 2, 1],
    [103, BADF, 1, 0],
    [104, INVAL, 0, 0],
  ]);
  expect(world.clock.monotonicMs() - start).toBe(20);
  subscribe(0, 7, 0);
  expect(calls.poll_oneoff(bench.at(FREE), bench.at(FREE + 4096), 1, bench.result)).toBe(INVAL);
  bench.end();
});

test('rights beyond those of preview 1 are no reason to refuse', () => {
  const bench = new Bench();
  expect(bench.open('f', CREAT, { rights: -1n, below: ALL_RIGHTS | (1n << 40n) })).toBe(4);
  bench.end();
});
