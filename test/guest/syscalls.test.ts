import { describe, expect, test } from 'vitest';
import { FsError } from '../../src/guest/errors.ts';
import { boot, codeOf, requestsOf } from './world.ts';

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (s: string) => new TextEncoder().encode(s);

describe.each([0, 4])('system calls with a window of %i ranges', (ranges) => {
  test('a file that was written can be read back', () => {
    const world = boot({ ranges });
    world.guest.writeFile('/a', 'hello');
    expect(world.guest.readFile('/a', 'utf8')).toBe('hello');
    world.check();
    world.unmountAll();
  });

  test('reads and writes at a position leave the file position alone', () => {
    const { guest, unmountAll } = boot({ ranges });
    const file = guest.open('/a', 'w+');
    file.write(bytes('0123456789'));
    file.write(bytes('AB'), 0, 2, 3n);
    const buffer = new Uint8Array(4);
    expect(file.read(buffer, 0, 4, 2)).toBe(4);
    expect(text(buffer)).toBe('2AB5');
    expect(file.seek(0, 'cur')).toBe(10);
    expect(file.read(buffer)).toBe(0);
    file.close();
    unmountAll();
  });

  test('a write beyond the end leaves a hole of zeros', () => {
    const { guest, unmountAll } = boot({ ranges });
    const file = guest.open('/a', 'w+');
    file.write(bytes('x'), 0, 1, 5000);
    expect(file.stat().size).toBe(5001);
    expect(
      file
        .readAll()
        .subarray(0, 5000)
        .every((b) => b === 0),
    ).toBe(true);
    expect(file.seek(0, 'data')).toBe(4096);
    expect(file.seek(0, 'hole')).toBe(0);
    file.close();
    unmountAll();
  });

  test('two guests that append do not overwrite each other', () => {
    const world = boot({ ranges, guests: 2, session: { attrTimeoutMs: 60_000, entryTimeoutMs: 60_000 } });
    const [a, b] = world.mounted.map((m) => m.guest.open('/log', 'a+'));
    a?.write(bytes('a1 '));
    b?.write(bytes('b1 '));
    a?.write(bytes('a2 '));
    expect(a?.seek(0, 'cur')).toBe(9);
    expect(world.guest.readFile('/log', 'utf8')).toBe('a1 b1 a2 ');
    world.unmountAll();
  });

  test('a buffer in the memory that host and guest share needs no bounce', () => {
    const { guest, pages, unmountAll } = boot({ ranges });
    const shared = pages.pageCache.bytes.subarray(pages.room, pages.room + 4096);
    shared.fill(7);
    const file = guest.open('/a', 'w+');
    expect(file.write(shared, 0, 4096)).toBe(4096);
    shared.fill(8);
    expect(file.write(shared, 0, 10, 100)).toBe(10);
    shared.fill(0);
    expect(file.read(shared, 96, 4000, 96)).toBe(4000);
    expect([...shared.subarray(95, 112)]).toEqual([0, 7, 7, 7, 7, ...Array.from({ length: 10 }, () => 8), 7, 7]);
    file.close();
    unmountAll();
  });

  test('with O_APPEND even a write at a position goes to the end', () => {
    const { guest, unmountAll } = boot({ ranges });
    guest.writeFile('/a', '0123456789');
    const file = guest.open('/a', 'a');
    file.write(bytes('x'), 0, 1, 3);
    file.close();
    expect(guest.readFile('/a', 'utf8')).toBe('0123456789x');
    unmountAll();
  });

  test('truncate cuts, and grows with zeros', () => {
    const { guest, unmountAll } = boot({ ranges });
    guest.writeFile('/a', 'hello world');
    guest.truncate('/a', 5);
    guest.truncate('/a', 8);
    expect([...guest.readFile('/a')]).toEqual([...bytes('hello'), 0, 0, 0]);
    guest.writeFile('/a', 'x');
    expect(guest.readFile('/a', 'utf8')).toBe('x');
    unmountAll();
  });

  test('copyFile copies bytes and mode', () => {
    const { guest, unmountAll } = boot({ ranges });
    guest.writeFile('/a', 'payload', { mode: 0o640 });
    guest.copyFile('/a', '/b');
    expect(guest.readFile('/b', 'utf8')).toBe('payload');
    expect(guest.stat('/b').mode & 0o777).toBe(0o640);
    unmountAll();
  });

  test('copy_file_range falls back to reading and writing when the host does not know it', () => {
    const { guest, channel, unmountAll } = boot({ ranges });
    guest.writeFile('/a', 'payload');
    channel.intercept = (r) => (r.opcode === 47 || r.opcode === 53 ? (38 as never) : undefined);
    guest.copyFile('/a', '/b');
    requestsOf(channel);
    guest.copyFile('/a', '/c');
    expect(requestsOf(channel)).not.toContain('COPY_FILE_RANGE');
    expect(guest.readFile('/c', 'utf8')).toBe('payload');
    unmountAll();
  });

  test('allocate makes a file longer; with KEEP_SIZE it does not', () => {
    const { guest, unmountAll } = boot({ ranges });
    const file = guest.open('/a', 'w+');
    file.allocate(0, 10_000);
    file.allocate(0, 20_000, 1);
    expect(file.stat().size).toBe(10_000);
    expect(codeOf(() => file.allocate(0, 1, 8))).toBe('ENOTSUP');
    file.close();
    unmountAll();
  });
});

test('a file that is unlinked while open keeps its content until it is closed', () => {
  const world = boot();
  const file = world.guest.open('/a', 'w+');
  file.write(bytes('still here'));
  world.guest.unlink('/a');
  expect(codeOf(() => world.guest.stat('/a'))).toBe('ENOENT');
  file.seek(0);
  expect(text(file.readAll())).toBe('still here');
  expect(file.stat().nlink).toBe(0);
  file.close();
  expect(world.session.lookups.size).toBe(0);
  expect(world.server.store.count).toBe(1);
  world.check();
  world.unmountAll();
});

test('directories: make, list, remove', () => {
  const { guest, unmountAll, check } = boot();
  guest.mkdir('/d/e/f', { recursive: true });
  guest.mkdir('/d/e/f', { recursive: true });
  for (let i = 0; i < 300; i++) guest.writeFile(`/d/file${i}`, '');
  expect(guest.readdir('/d').length).toBe(301);
  const entries = guest.readdir('/d', { withTypes: true });
  expect(entries.filter((e) => e.isDirectory()).map((e) => e.name)).toEqual(['e']);
  expect(codeOf(() => guest.rmdir('/d'))).toBe('ENOTEMPTY');
  guest.rmdir('/d/e/f');
  guest.rmdir('/d/e/');
  expect(codeOf(() => guest.stat('/d/e'))).toBe('ENOENT');
  check();
  unmountAll();
});

test('a listing that is left early closes its directory', () => {
  const { guest, channel, unmountAll } = boot();
  guest.writeFile('/a', '');
  guest.writeFile('/b', '');
  for (const entry of guest.opendir('/')) {
    expect(entry.name).toBe('a');
    break;
  }
  expect(requestsOf(channel).at(-1)).toBe('RELEASEDIR');
  unmountAll();
});

test('links: hard links share an inode, symlinks are followed', () => {
  const { guest, unmountAll } = boot();
  guest.mkdir('/d');
  guest.writeFile('/d/a', 'content');
  guest.link('/d/a', '/b');
  expect(guest.stat('/b').nlink).toBe(2);
  expect(guest.stat('/b').ino).toBe(guest.stat('/d/a').ino);
  guest.unlink('/d/a');
  expect(guest.stat('/b').nlink).toBe(1);
  guest.symlink('../b', '/d/s');
  expect(guest.readlink('/d/s')).toBe('../b');
  expect(guest.readFile('/d/s', 'utf8')).toBe('content');
  expect(guest.lstat('/d/s').isSymbolicLink()).toBe(true);
  expect(guest.realpath('/d/s')).toBe('/b');
  expect(guest.realpath('/d/../d/.')).toBe('/d');
  unmountAll();
});

test('rename replaces, refuses to replace, and exchanges', () => {
  const { guest, unmountAll, check } = boot();
  guest.writeFile('/a', 'A');
  guest.writeFile('/b', 'B');
  guest.mkdir('/d');
  expect(codeOf(() => guest.rename('/a', '/b', { noReplace: true }))).toBe('EEXIST');
  guest.rename('/a', '/b', { exchange: true });
  expect(guest.readFile('/a', 'utf8')).toBe('B');
  guest.rename('/a', '/b');
  expect(guest.readFile('/b', 'utf8')).toBe('B');
  expect(codeOf(() => guest.stat('/a'))).toBe('ENOENT');
  guest.rename('/b', '/d/b');
  guest.rename('/d', '/e');
  expect(guest.readFile('/e/b', 'utf8')).toBe('B');
  expect(codeOf(() => guest.rename('/e', '/e/sub'))).toBe('EINVAL');
  expect(codeOf(() => guest.rename('/e', '/e/b'))).toBe('EINVAL');
  expect(codeOf(() => guest.rename('/e/b', '/e'))).not.toBe('OK');
  check();
  unmountAll();
});

test('attributes: mode, owner, exact times', () => {
  const { guest, unmountAll } = boot();
  guest.writeFile('/a', '');
  guest.chmod('/a', 0o4751);
  guest.chown('/a', 5, -1);
  guest.utimens('/a', 1_600_000_000_123_456_789n, { sec: -1, nsec: 5 });
  const stats = guest.stat('/a');
  expect(stats.uid).toBe(5);
  expect(stats.atimeNs).toBe(1_600_000_000_123_456_789n);
  expect(stats.mtimeNs).toBe(-999_999_995n);
  expect(stats.isFile()).toBe(true);
  expect(stats.mode & 0o777).toBe(0o751);
  expect(guest.statfs('/').bsize).toBe(4096);
  unmountAll();
});

test('the umask is taken from the mode of everything new', () => {
  const { guest, unmountAll } = boot({ mount: { umask: 0o027 } });
  guest.writeFile('/a', '');
  guest.mkdir('/d');
  expect(guest.stat('/a').mode & 0o777).toBe(0o640);
  expect(guest.stat('/d').mode & 0o777).toBe(0o750);
  unmountAll();
});

test('without CREATE the guest uses MKNOD and OPEN, and asks only once', () => {
  const { guest, channel, unmountAll } = boot();
  channel.intercept = (r) => (r.opcode === 35 ? (38 as never) : undefined);
  guest.writeFile('/a', 'one');
  requestsOf(channel);
  guest.writeFile('/b', 'two');
  expect(requestsOf(channel)).not.toContain('CREATE');
  expect(guest.readFile('/a', 'utf8') + guest.readFile('/b', 'utf8')).toBe('onetwo');
  unmountAll();
});

test('an error looks like an error of node:fs', () => {
  const { guest } = boot();
  const error = (() => {
    try {
      guest.open('/missing');
    } catch (e) {
      return e as FsError;
    }
    throw new Error('no error');
  })();
  expect(error).toBeInstanceOf(FsError);
  expect(error.message).toBe("ENOENT: no such file or directory, open '/missing'");
  expect([error.code, error.errno, error.syscall, error.path]).toEqual(['ENOENT', -2, 'open', '/missing']);
});

test('a process that is not root is held to the permission bits', () => {
  const { guest, unmountAll } = boot();
  guest.writeFile('/secret', 'x', { mode: 0o600 });
  guest.mkdir('/closed', { mode: 0o700 });
  guest.mkdir('/tmp');
  guest.chmod('/tmp', 0o1777);
  guest.writeFile('/tmp/roots', '');
  guest.mount.session.credentials = { uid: 1000, gid: 1000, pid: 2, umask: 0 };
  expect(codeOf(() => guest.open('/secret'))).toBe('EACCES');
  expect(codeOf(() => guest.stat('/closed/x'))).toBe('EACCES');
  expect(codeOf(() => guest.writeFile('/new', ''))).toBe('EACCES');
  expect(codeOf(() => guest.chmod('/secret', 0o777))).toBe('EPERM');
  expect(codeOf(() => guest.unlink('/tmp/roots'))).toBe('EPERM');
  guest.writeFile('/tmp/mine', 'y');
  expect(guest.stat('/tmp/mine').uid).toBe(1000);
  guest.unlink('/tmp/mine');
  unmountAll();
});

test('after unmount nothing works and nothing is left', () => {
  const world = boot();
  const file = world.guest.open('/a', 'w');
  world.guest.unmount();
  world.guest.unmount();
  expect(codeOf(() => world.guest.stat('/a'))).toBe('ENOTCONN');
  expect(codeOf(() => file.write(bytes('x')))).toBe('EBADF');
  expect(world.session.lookups.size).toBe(0);
  expect(world.session.handles.size).toBe(0);
});
