import { expect, test } from 'vitest';
import { bytesOfText, textOfBytes } from '../../src/base/bytes.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { AT_FDCWD, type Process } from '../../src/guest/process.ts';
import * as e from '../../src/wire/errno.ts';
import * as m from '../../src/wire/mode.ts';
import { createInline } from '../../src/worker/inline.ts';

const path = bytesOfText;
const bytes = (text: string) => new TextEncoder().encode(text);
const CREATE = m.O_RDWR | m.O_CREAT;

/** A guest of two CPUs with a process that is a thread on each, and a guest of its own to look from. */
async function boot(options: { window?: boolean; prepare?: (process: Process) => void } = {}) {
  const windowSize = options.window === true ? 8 << 20 : 0;
  const host = await createInline({ cacheSize: 8 << 20, windowSize, guests: 4 });
  const guests = [host.mount()] as Guest[];
  guests.push(host.mount({ guest: guests[0] as Guest }));
  const other = host.mount();
  const one = (guests[0] as Guest).spawn({ pid: 7 });
  options.prepare?.(one);
  const two = (guests[1] as Guest).join(one.share());
  const open = (process: Process, name: string, flags = CREATE) => process.openat(AT_FDCWD, path(name), flags, 0o644);
  const check = () => {
    host.core.server.checkInvariants();
    for (const guest of [...guests, other]) guest.mount.checkInvariants();
  };
  /** Open at the host, of the guest that has several CPUs. */
  const handles = () => {
    while (host.step());
    return [...host.core.server.sessions].reduce((most, { handles: { size } }) => Math.max(most, size), 0);
  };
  /** Nothing is left at the host but its root. */
  const end = () => {
    for (const guest of [...guests, other]) guest.unmount();
    host.step();
    expect(host.stop()).toMatchObject({ inodes: 1 });
  };
  return { host, guests, one, two, other, open, check, handles, end };
}

function readText(process: Process, fd: number, size = 100): string {
  const buffer = new Uint8Array(size);
  const n = process.read(fd, buffer);
  return n < 0 ? `error ${-n}` : new TextDecoder().decode(buffer.subarray(0, n));
}

test.each([true, false])(
  'a descriptor opened in one thread is valid in all, with its position (window: %s)',
  async (window) => {
    const { one, two, other, open, check, handles, end } = await boot({ window });
    other.writeFile('/a', 'hello world');
    const fd = open(one, '/a');
    expect(readText(two, fd, 5)).toBe('hello');
    expect(readText(one, fd, 3)).toBe(' wo');
    expect(two.lseek(fd, 0, m.SEEK_CUR)).toBe(8);
    expect(one.lseek(fd, 1, m.SEEK_SET)).toBe(1);
    expect(two.write(fd, bytes('ELLO'))).toBe(4);
    expect(readText(one, fd)).toBe(' world');
    expect(other.readFile('/a', 'utf8')).toBe('hELLO world');
    check();
    expect(handles()).toBe(3);
    expect(two.close(fd)).toBe(0);
    expect([one.read(fd, new Uint8Array(1)), one.close(fd), two.close(fd)]).toEqual([-e.EBADF, -e.EBADF, -e.EBADF]);
    check();
    expect(handles()).toBe(2);
    end();
  },
);

test('what was open before the process was shared stays, with position and flags', async () => {
  let fd = -1;
  let copy = -1;
  const { one, two, end, check } = await boot({
    prepare: (process) => {
      fd = process.openat(AT_FDCWD, path('/a'), CREATE | m.O_CLOEXEC, 0o644);
      copy = process.dup(fd);
      process.write(fd, bytes('abc'));
    },
  });
  expect(two.write(copy, bytes('def'))).toBe(3);
  expect(one.lseek(fd, 0, m.SEEK_CUR)).toBe(6);
  expect([two.closesOnExec(fd), two.closesOnExec(copy)]).toEqual([true, false]);
  two.exec();
  expect(one.read(fd, new Uint8Array(1))).toBe(-e.EBADF);
  expect(one.lseek(copy, 0, m.SEEK_CUR)).toBe(6);
  check();
  end();
});

test('numbers are the lowest that no thread uses, and dup2 closes for all', async () => {
  const { one, two, open, end, handles } = await boot();
  expect([open(one, '/a'), open(two, '/b'), open(one, '/c')]).toEqual([0, 1, 2]);
  two.close(0);
  expect(one.dup(1)).toBe(0);
  expect(two.dup(2, 10)).toBe(10);
  expect(one.dup2(10, 1)).toBe(1);
  two.write(1, bytes('x'));
  expect(one.lseek(2, 0, m.SEEK_CUR)).toBe(1);
  expect([one.dup(50), one.dup2(50, 1), one.dup2(1, 5000), one.dup(1, 5000)]).toEqual(
    [e.EBADF, e.EBADF, e.EBADF, e.EINVAL].map((errno) => -errno),
  );
  expect(handles()).toBe(4);
  end();
});

test('O_APPEND set by one thread is everybody’s, and the end is where the last one left it', async () => {
  const { one, two, other, open, end } = await boot({ window: true });
  const fd = open(one, '/a');
  one.write(fd, bytes('12345'));
  two.lseek(fd, 0, m.SEEK_SET);
  expect(two.setFlags(fd, m.O_APPEND)).toBe(0);
  expect(one.getFlags(fd) & m.O_APPEND).toBe(m.O_APPEND);
  one.write(fd, bytes('67'));
  other.appendFile('/a', '8');
  expect(two.write(fd, bytes('9'))).toBe(1);
  expect(one.lseek(fd, 0, m.SEEK_CUR)).toBe(9);
  expect(other.readFile('/a', 'utf8')).toBe('123456789');
  end();
});

test('working directory, root, umask and credentials are those of all threads', async () => {
  const { one, two, other, open, check, end } = await boot();
  other.mkdir('/d/e', { recursive: true });
  other.writeFile('/d/e/f', 'x');
  expect(one.chdir(path('/d'))).toBe(0);
  expect(two.getcwd()).toBe('/d');
  expect(two.chdir(path('e'))).toBe(0);
  expect(readText(one, open(one, 'f', m.O_RDONLY))).toBe('x');
  expect(one.getcwd()).toBe('/d/e');
  expect(one.openat(AT_FDCWD, path('../../d/e/f'), m.O_RDONLY)).toBe(1);
  expect(two.umask(0o077)).toBe(0o022);
  expect(one.umask(0o077)).toBe(0o077);
  one.setCredentials({ uid: 5, gid: 6, groups: [7, 8] });
  expect(two.as(() => two.task.credentials)).toEqual({ uid: 5, gid: 6, groups: [7, 8], pid: 7, umask: 0o077 });
  two.setCredentials({ uid: 0 });
  expect(two.chroot(path('/d'))).toBe(0);
  expect(one.fstatat(AT_FDCWD, path('/e/f'), true)).toMatchObject({ size: 1 });
  expect(one.fstatat(AT_FDCWD, path('/d'), true)).toBe(e.ENOENT);
  expect(two.getcwd()).toBe('/e');
  check();
  end();
});

test('a removed directory stays the working directory of all, and relative descriptors work in all', async () => {
  const { one, two, other, open, check, end } = await boot();
  other.mkdir('/gone');
  other.mkdir('/d');
  const fd = open(one, '/d', m.O_RDONLY | m.O_DIRECTORY);
  expect(two.openat(fd, path('made'), CREATE, 0o644)).toBe(1);
  expect(other.exists('/d/made')).toBe(true);
  one.chdir(path('/gone'));
  other.rmdir('/gone');
  expect(two.openat(AT_FDCWD, path('x'), CREATE, 0o644)).toBe(-e.ENOENT);
  expect(two.getcwd()).toBe(e.ENOENT);
  other.rename('/d', '/moved');
  expect(two.fstatat(fd, path('made'), false)).toMatchObject({ size: 0 });
  check();
  end();
});

test('a directory is listed on by another thread, and rewound for both', async () => {
  const { one, two, other, open, end } = await boot();
  for (let i = 0; i < 300; i++) other.writeFile(`/f${String(i).padStart(3, '0')}`, '');
  const fd = open(one, '/', m.O_RDONLY);
  const names: string[] = [];
  const next = (process: Process) => {
    const directory = process.directory(fd);
    if (directory?.next() !== 1) return false;
    names.push(textOfBytes(directory.name));
    return true;
  };
  for (let i = 0; next(i % 3 === 0 ? one : two); i++);
  expect(names.length).toBe(302);
  expect(new Set(names).size).toBe(302);
  expect(next(one)).toBe(false);
  other.writeFile('/late', '');
  two.directory(fd)?.seek(0, 0);
  names.length = 0;
  while (next(one));
  expect(names).toContain('late');
  end();
});

test('record locks are the process’s, and go when any thread closes the file', async () => {
  const { one, two, other, open, end } = await boot();
  const [a, b] = [open(one, '/a'), open(two, '/a')];
  const theirs = other.open('/a', 'r+');
  const isFree = () => theirs.getLock('exclusive') === null;
  expect(one.lock(a, { type: 'exclusive' })).toBe(0);
  expect(two.lock(b, { type: 'exclusive' })).toBe(0);
  expect(isFree()).toBe(false);
  two.close(b);
  expect(isFree()).toBe(true);
  expect(two.flock(a, 'exclusive')).toBe(0);
  expect(one.flock(a, 'shared')).toBe(0);
  expect(() => theirs.flock('exclusive')).toThrow('EAGAIN');
  one.close(a);
  theirs.flock('exclusive');
  theirs.close();
  end();
});

test('a mapping in one thread keeps the file that another closed', async () => {
  const { one, two, other, open, handles, end, check } = await boot({ window: true });
  other.writeFile('/a', 'x'.repeat(5000));
  const fd = open(one, '/a');
  const { mmapFile } = await import('../../src/guest/mapping.ts');
  const file = two.file(fd);
  const mapping = file === undefined ? e.EBADF : mmapFile(file, { writable: true });
  if (typeof mapping === 'number') throw new Error(`mmap: ${mapping}`);
  const before = handles();
  one.close(fd);
  expect(handles()).toBe(before);
  mapping.write(0, bytes('mapped'));
  mapping.unmap();
  expect(handles()).toBe(before - 1);
  expect(other.readFile('/a', 'utf8').slice(0, 7)).toBe('mappedx');
  check();
  end();
});

test('a read that runs while another thread closes finishes, and the handle is released once', async () => {
  const { host, one, two, other, open, handles, end } = await boot();
  other.writeFile('/a', 'abcdefgh');
  const fd = open(one, '/a');
  const before = handles();
  // While the host works for one, the other closes.
  const { files } = one.mount;
  const read = files.read.bind(files);
  let isFirst = true;
  files.read = (...args) => {
    if (isFirst) {
      isFirst = false;
      expect(two.close(fd)).toBe(0);
      expect(handles()).toBe(before);
    }
    return read(...args);
  };
  expect(readText(one, fd)).toBe('abcdefgh');
  host.step();
  expect(handles()).toBe(before - 1);
  expect(one.read(fd, new Uint8Array(1))).toBe(-e.EBADF);
  end();
});

test('exit ends the process for all threads; the last thread that leaves ends it, too', async () => {
  const { host, guests, one, two, open, handles, check, end } = await boot();
  open(one, '/a');
  two.exit();
  expect([one.isOver, open(one, '/b'), one.read(0, new Uint8Array(1))]).toEqual([true, -e.ESRCH, -e.EBADF]);
  expect(one.getcwd()).toBe(e.ESRCH);
  host.step();
  one.leave();
  host.step();
  expect(handles()).toBe(0);
  const again = (guests[0] as Guest).spawn();
  const thread = (guests[1] as Guest).join(again.share());
  open(thread, '/a');
  again.leave();
  expect(open(thread, '/b')).toBe(1);
  thread.leave();
  host.step();
  expect(handles()).toBe(0);
  check();
  end();
});

test('a thread that dies takes its process down, and any other gives back what it had open', async () => {
  const { host, guests, one, two, other, open, handles, check } = await boot();
  open(one, '/a');
  const fd = open(two, '/b');
  expect(two.lock(fd, { type: 'exclusive' })).toBe(0);
  const theirs = other.open('/b', 'r+');
  host.detach(guests[1] as Guest);
  expect(theirs.getLock('exclusive')).not.toBe(null);
  expect(open(one, '/c')).toBe(-e.ESRCH);
  expect([one.isOver, one.read(fd, new Uint8Array(1)), one.dup(0)]).toEqual([true, -e.EBADF, -e.EBADF]);
  one.exit();
  host.step();
  expect(handles()).toBe(1);
  expect(theirs.getLock('exclusive')).toBe(null);
  theirs.close();
  check();
  (guests[0] as Guest).unmount();
  other.unmount();
  expect(host.stop()).toMatchObject({ inodes: 1 });
});

test('a process that was forked cannot be shared, nor a shared one forked', async () => {
  const { guests, one, end, open } = await boot();
  expect(() => one.fork(9)).toThrow('cannot be forked');
  const parent = (guests[0] as Guest).spawn();
  open(parent, '/a');
  const child = parent.fork(3);
  expect(() => child.share()).toThrow('was forked');
  child.exit();
  parent.exit();
  end();
});
