import { describe, expect, test } from 'vitest';
import type { MemoryFileSystem } from '../../src/fs/memory.ts';
import {
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOSYS,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  ESTALE,
  OK,
} from '../../src/wire/errno.ts';
import { CreateIn, MkdirIn, RenameIn } from '../../src/wire/fuse.ts';
import { O_EXCL, O_TRUNC, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '../../src/wire/mode.ts';
import { bytes, ok } from './client.ts';
import { boot } from './world.ts';

const NO_SUCH_NODE = 999;

describe('LOOKUP', () => {
  test('finds what CREATE made, under the same nodeid', () => {
    const { client } = boot();
    const made = ok(client.create(1, 'a'));
    expect(ok(client.lookup(1, 'a')).nodeid).toBe(made.nodeid);
  });

  test('of a missing name is ENOENT', () => {
    expect(boot().client.lookup(1, 'a')).toBe(ENOENT);
  });

  test('of a missing name is an entry without nodeid when the client may remember that', () => {
    const { attach } = boot();
    const client = attach({ negativeTimeoutMs: 1500 });
    client.init();
    const entry = ok(client.lookup(1, 'a'));
    expect([entry.nodeid, entry.entryValidSec, entry.entryValidNsec]).toEqual([0, 1, 500_000_000]);
    expect(entry.attr.mode).toBe(0);
    expect(client.session.lookups.size).toBe(0);
  });

  test('says how long name and attributes are good', () => {
    const { attach } = boot();
    const client = attach({ entryTimeoutMs: Number.POSITIVE_INFINITY });
    client.init();
    const entry = ok(client.mkdir(1, 'd'));
    expect([entry.entryValidSec, entry.entryValidNsec]).toEqual([Number.MAX_SAFE_INTEGER, 0]);
  });

  test('in a file is ENOTDIR', () => {
    const { client } = boot();
    expect(client.lookup(ok(client.create(1, 'a')).nodeid, 'b')).toBe(ENOTDIR);
  });

  test.each([
    ['a/b', EINVAL],
    ['/', EINVAL],
    ['x'.repeat(256), ENAMETOOLONG],
    ['x'.repeat(255), ENOENT],
  ])('of %j is errno %i', (name, errno) => {
    expect(boot().client.lookup(1, name)).toBe(errno);
  });

  test('of an unknown nodeid is ESTALE', () => {
    expect(boot().client.lookup(NO_SUCH_NODE, 'a')).toBe(ESTALE);
  });

  test('knows "." and ".." only when handles may be exported', () => {
    const { client } = boot();
    const d = ok(client.mkdir(1, 'd'));
    const e = ok(client.mkdir(d.nodeid, 'e'));
    expect(ok(client.lookup(e.nodeid, '..')).nodeid).toBe(d.nodeid);
    expect(ok(client.lookup(e.nodeid, '.')).nodeid).toBe(e.nodeid);
    client.init({ flags: 0 });
    expect(client.lookup(1, '.')).toBe(EINVAL);
    expect(client.lookup(1, '..')).toBe(EINVAL);
  });

  test('names are bytes: a name that is not UTF-8 is another name', () => {
    const { client } = boot();
    ok(client.mkdir(1, 'é'));
    const raw = Uint8Array.of(0xc3, 0);
    expect(client.send('LOOKUP', [raw]).errno).toBe(ENOENT);
    expect(ok(client.lookup(1, 'é')).attr.mode).toBe(S_IFDIR | 0o755);
  });
});

describe('MKNOD, MKDIR, SYMLINK', () => {
  test.each([
    ['a regular file', S_IFREG],
    ['a fifo', S_IFIFO],
    ['a socket', S_IFSOCK],
    ['a device', S_IFCHR],
  ])('make %s', (_, type) => {
    const entry = ok(boot().client.mknod(1, 'x', type | 0o640, 0x801));
    expect(entry.attr.mode).toBe(type | 0o640);
  });

  test('MKNOD without a type makes a regular file', () => {
    expect(ok(boot().client.mknod(1, 'x', 0o600)).attr.mode).toBe(S_IFREG | 0o600);
  });

  test.each([
    [S_IFDIR, EPERM],
    [S_IFLNK, EINVAL],
  ])('MKNOD of type %i is errno %i', (type, errno) => {
    expect(boot().client.mknod(1, 'x', type | 0o644)).toBe(errno);
  });

  test('a device keeps its number', () => {
    expect(ok(boot().client.mknod(1, 'x', S_IFCHR | 0o640, 0x801)).attr.rdev).toBe(0x801);
  });

  test('the umask counts iff DONT_MASK was agreed on', () => {
    const { client } = boot();
    expect(ok(client.mkdir(1, 'a', 0o777, 0o027)).attr.mode & 0o777).toBe(0o750);
    client.init({ flags: 0 });
    expect(ok(client.mkdir(1, 'b', 0o777, 0o027)).attr.mode & 0o777).toBe(0o777);
  });

  test('the maker owns what it makes', () => {
    const { client } = boot();
    client.uid = 7;
    client.gid = 8;
    const { attr } = ok(client.create(1, 'a'));
    expect([attr.uid, attr.gid]).toEqual([7, 8]);
  });

  test.each(['.', '..'])('MKDIR of %j is refused', (name) => {
    expect(boot().client.mkdir(1, name)).not.toBe(OK);
  });

  test('a taken name is EEXIST', () => {
    const { client } = boot();
    ok(client.mkdir(1, 'a'));
    expect([client.mkdir(1, 'a'), client.mknod(1, 'a', S_IFREG), client.symlink(1, 'a', 'b')]).toEqual([
      EEXIST,
      EEXIST,
      EEXIST,
    ]);
  });

  test('SYMLINK and READLINK carry up to 4095 bytes', () => {
    const { client } = boot();
    const target = 'x'.repeat(4095);
    expect(client.readlink(ok(client.symlink(1, 'l', target)).nodeid)).toBe(target);
    expect(client.symlink(1, 'm', `${target}x`)).toBe(ENAMETOOLONG);
    expect(client.symlink(1, 'm', '')).toBe(ENOENT);
  });

  test('READLINK of anything else is EINVAL', () => {
    expect(boot().client.readlink(1)).toBe(EINVAL);
  });
});

describe('CREATE', () => {
  test('opens a file that exists, unless O_EXCL', () => {
    const { client } = boot();
    const first = ok(client.create(1, 'a'));
    expect(ok(client.create(1, 'a')).nodeid).toBe(first.nodeid);
    expect(client.create(1, 'a', O_EXCL)).toBe(EEXIST);
  });

  test('after a LOOKUP in vain opens what another client has made meanwhile, unless O_EXCL', () => {
    const { client, attach } = boot();
    const other = attach();
    other.init();
    for (const [name, flags] of [
      ['a', 2],
      ['b', 2 | O_EXCL],
    ] as const) {
      expect(client.lookup(1, name)).toBe(ENOENT);
      const made = ok(other.create(1, name));
      const found = client.create(1, name, flags);
      expect(typeof found === 'number' ? found : found.nodeid).toBe(name === 'a' ? made.nodeid : EEXIST);
    }
  });

  test('does not look again for what was just looked up in vain', () => {
    let lookups = 0;
    const wrap = (fs: MemoryFileSystem) => {
      const lookup = fs.lookup.bind(fs);
      fs.lookup = (parent, name) => {
        lookups++;
        return lookup(parent, name);
      };
      return fs;
    };
    const { client } = boot({ wrap });
    expect(client.lookup(1, 'a')).toBe(ENOENT);
    ok(client.create(1, 'a'));
    expect(lookups).toBe(1);
    ok(client.create(1, 'b'));
    expect(lookups).toBe(2);
  });

  test('with O_TRUNC empties what exists', () => {
    const { client } = boot();
    const file = ok(client.create(1, 'a'));
    client.write(file.nodeid, file.fh, 0, 'hello');
    expect(ok(client.getattr(file.nodeid)).size).toBe(5);
    ok(client.create(1, 'a', 1 | O_TRUNC));
    expect(ok(client.getattr(file.nodeid)).size).toBe(0);
  });

  test('of a directory is EISDIR, of a symlink ELOOP, and counts no lookup', () => {
    const { client } = boot();
    ok(client.mkdir(1, 'd'));
    ok(client.symlink(1, 'l', 'd'));
    const known = client.session.lookups.size;
    expect([client.create(1, 'd'), client.create(1, 'l')]).toEqual([EISDIR, ELOOP]);
    expect(client.session.lookups.size).toBe(known);
  });

  test('may open for writing a file that it makes read-only', () => {
    const { client } = boot();
    const file = ok(client.create(1, 'a', 1, 0o444));
    expect(client.write(file.nodeid, file.fh, 0, 'x')).toBe(1);
  });
});

describe('LINK, UNLINK, RMDIR', () => {
  test('LINK gives a second name to the same inode', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const b = ok(client.link(a.nodeid, 1, 'b'));
    expect([b.nodeid, b.attr.nlink]).toEqual([a.nodeid, 2]);
    expect(client.session.lookups.count(a.nodeid as never)).toBe(2);
  });

  test('LINK of a directory is EPERM, of an unknown inode ESTALE, over a name EEXIST', () => {
    const { client } = boot();
    const d = ok(client.mkdir(1, 'd'));
    const a = ok(client.create(1, 'a'));
    expect([client.link(d.nodeid, 1, 'x'), client.link(NO_SUCH_NODE, 1, 'x'), client.link(a.nodeid, 1, 'd')]).toEqual([
      EPERM,
      ESTALE,
      EEXIST,
    ]);
  });

  test('LINK to a file that has no name left is ENOENT', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    client.unlink(1, 'a');
    expect(client.link(a.nodeid, 1, 'b')).toBe(ENOENT);
  });

  test('UNLINK of a directory is EISDIR, RMDIR of a file ENOTDIR, of a full directory ENOTEMPTY', () => {
    const { client } = boot();
    const d = ok(client.mkdir(1, 'd'));
    ok(client.create(d.nodeid, 'a'));
    expect([client.unlink(1, 'd'), client.rmdir(d.nodeid, 'a'), client.rmdir(1, 'd')]).toEqual([
      EISDIR,
      ENOTDIR,
      ENOTEMPTY,
    ]);
    expect([client.unlink(1, 'x'), client.rmdir(1, 'x')]).toEqual([ENOENT, ENOENT]);
  });

  test('an open file keeps its data after its last name is gone', () => {
    const { client, check, server } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 0, 'still here');
    expect(client.unlink(1, 'a')).toBe(OK);
    expect(ok(client.getattr(a.nodeid)).nlink).toBe(0);
    expect(new TextDecoder().decode(ok(client.read(a.nodeid, a.fh, 0, 100)))).toBe('still here');
    check();
    client.forget(a.nodeid, 1);
    client.release(a.nodeid, a.fh);
    expect(client.getattr(a.nodeid)).toBe(ESTALE);
    server.sessions.forEach((session) => void session.close());
    check();
  });

  test('nothing can be made in a removed directory', () => {
    const { client, check } = boot();
    const d = ok(client.mkdir(1, 'd'));
    expect(client.rmdir(1, 'd')).toBe(OK);
    expect([client.mkdir(d.nodeid, 'x'), client.create(d.nodeid, 'x'), client.symlink(d.nodeid, 'x', 'y')]).toEqual([
      ENOENT,
      ENOENT,
      ENOENT,
    ]);
    expect(ok(client.getattr(d.nodeid)).nlink).toBe(0);
    check();
  });
});

describe('RENAME and RENAME2', () => {
  test('RENAME moves a name', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    expect(client.send('RENAME', [bytes(RenameIn, { newdir: 1 }), 'a', 'b']).errno).toBe(OK);
    expect(client.lookup(1, 'a')).toBe(ENOENT);
    expect(ok(client.lookup(1, 'b')).nodeid).toBe(a.nodeid);
  });

  test.each([3, 4, 8])('RENAME2 with flags %i is EINVAL', (flags) => {
    const { client } = boot();
    ok(client.create(1, 'a'));
    expect(client.rename(1, 'a', 1, 'b', flags)).toBe(EINVAL);
  });

  test('to an unknown directory is ESTALE, to a file ENOTDIR', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    expect(client.rename(1, 'a', NO_SUCH_NODE, 'b')).toBe(ESTALE);
    expect(client.rename(1, 'a', a.nodeid, 'b')).toBe(ENOTDIR);
  });
});

describe('TMPFILE', () => {
  const args = bytes(CreateIn, { flags: 2, mode: 0o600 });

  test('makes an open file without a name, which LINK may name', () => {
    const { client, check } = boot();
    const reply = client.send('TMPFILE', [args, '']);
    expect(reply.errno).toBe(OK);
    const nodeid = Number(reply.body.getBigUint64(0, true));
    expect(ok(client.getattr(nodeid)).nlink).toBe(0);
    expect(ok(client.link(nodeid, 1, 'named')).attr.nlink).toBe(1);
    check();
  });

  test('is ENOSYS where the file system cannot', () => {
    const { client } = boot({ wrap: (fs) => Object.assign(fs, { tmpfile: undefined }) });
    expect(client.send('TMPFILE', [args, '']).errno).toBe(ENOSYS);
  });
});

test('a name argument without arguments after it may be followed by extensions', () => {
  const { client } = boot();
  expect(client.send('MKDIR', [bytes(MkdirIn, { mode: 0o755 }), 'd']).errno).toBe(OK);
});
