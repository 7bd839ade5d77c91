import { describe, expect, test } from 'vitest';
import { ReadOnlyFileSystem } from '../../src/fs/read-only.ts';
import { EACCES, EBADF, EFBIG, EINVAL, EISDIR, EROFS, ESTALE, OK } from '../../src/wire/errno.ts';
import { FATTR_FLAGS, GETATTR_FLAGS } from '../../src/wire/flags.ts';
import { AccessIn, GetattrIn, StatfsOut, StatxIn, StatxOut } from '../../src/wire/fuse.ts';
import { S_IFCHR, S_IFDIR, S_IFREG } from '../../src/wire/mode.ts';
import { decode } from '../../src/wire/struct.ts';
import { bytes, type Client, ok } from './client.ts';
import { boot } from './world.ts';

const { FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_FH } = FATTR_FLAGS;
const { FATTR_ATIME_NOW, FATTR_MTIME_NOW } = FATTR_FLAGS;
const DAX = 2;

const access = (client: Client, nodeid: number, mask: number, uid = 0, gid = 0): number =>
  client.send('ACCESS', [bytes(AccessIn, { mask })], { nodeid, uid, gid }).errno;

describe('GETATTR', () => {
  test('of the root', () => {
    const attr = ok(boot().client.getattr(1));
    expect([attr.ino, attr.mode, attr.nlink]).toEqual([1, S_IFDIR | 0o755, 2]);
  });

  test('by a handle of another inode is EBADF', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const args = bytes(GetattrIn, { getattr_flags: GETATTR_FLAGS.FUSE_GETATTR_FH, fh: a.fh });
    expect(client.send('GETATTR', [args], { nodeid: a.nodeid }).errno).toBe(OK);
    expect(client.send('GETATTR', [args], { nodeid: 1 }).errno).toBe(EBADF);
  });

  test('of an unknown nodeid is ESTALE', () => {
    expect(boot().client.getattr(77)).toBe(ESTALE);
  });

  test('marks regular files for DAX iff per-inode DAX was agreed on and the policy says so', () => {
    const { attach } = boot();
    const window = { windowSize: 1 << 21, setup: () => OK, remove: () => OK, takeUsed: () => false, clear: () => {} };
    const client = attach({ window, usesDax: (attr) => attr.size >= 3 });
    client.init();
    const file = ok(client.create(1, 'a'));
    expect(file.attr.flags & DAX).toBe(0);
    client.write(file.nodeid, file.fh, 0, 'abc');
    expect(ok(client.getattr(file.nodeid)).flags & DAX).toBe(DAX);
    expect(ok(client.getattr(1)).flags & DAX).toBe(0);
    client.init({ flags2: 0 });
    expect(ok(client.lookup(1, 'a')).attr.flags & DAX).toBe(0);
  });
});

describe('SETATTR', () => {
  test('changes what it names and nothing else', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const attr = ok(client.setattr(a.nodeid, { valid: FATTR_MODE | FATTR_UID, mode: 0o100600, uid: 5, gid: 6 }));
    expect([attr.mode & 0o7777, attr.uid, attr.gid]).toEqual([0o600, 5, 0]);
  });

  test('of nothing moves ctime and takes set-ID bits, but not for a stranger', () => {
    const { client, clock } = boot();
    const file = ok(client.mknod(1, 'a', S_IFREG | 0o6755));
    clock.advance(1000);
    const empty = (uid: number) => ok(Object.assign(client, { uid }).setattr(file.nodeid, { valid: 0 }));
    const stranger = empty(5);
    expect([stranger.mode & 0o7777, stranger.ctime]).toEqual([0o6755, file.attr.ctime]);
    const owner = empty(0);
    expect([owner.mode & 0o7777, owner.ctime]).toEqual([0o755, file.attr.ctime + 1]);
    clock.advance(1000);
    expect(empty(5).ctime).toBe(file.attr.ctime + 2);
  });

  test('sets times to the nanosecond, also before 1970', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const valid = FATTR_ATIME | FATTR_MTIME;
    const attr = ok(
      client.setattr(a.nodeid, { valid, atime: -5, atimensec: 999_999_999, mtime: 2 ** 40, mtimensec: 1 }),
    );
    expect([attr.atime, attr.atimensec, attr.mtime, attr.mtimensec]).toEqual([-5, 999_999_999, 2 ** 40, 1]);
  });

  test('"now" is the host’s clock', () => {
    const { client, clock } = boot();
    const a = ok(client.create(1, 'a'));
    clock.advance(5000);
    const valid = FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW;
    const attr = ok(client.setattr(a.nodeid, { valid, atime: 1, mtime: 1 }));
    expect([attr.atime - a.attr.ctime, attr.mtime - a.attr.ctime]).toEqual([5, 5]);
  });

  test('a nanosecond field of a second or more is EINVAL', () => {
    const { client } = boot();
    expect(client.setattr(1, { valid: FATTR_MTIME, mtimensec: 1_000_000_000 })).toBe(EINVAL);
  });

  test('the size of a directory is EISDIR, of a symlink EINVAL, beyond all bounds EFBIG', () => {
    const { client } = boot();
    const l = ok(client.symlink(1, 'l', 'x'));
    const a = ok(client.create(1, 'a'));
    expect(client.setattr(1, { valid: FATTR_SIZE, size: 0 })).toBe(EISDIR);
    expect(client.setattr(l.nodeid, { valid: FATTR_SIZE, size: 0 })).toBe(EINVAL);
    expect(client.setattr(a.nodeid, { valid: FATTR_SIZE, size: Number.MAX_SAFE_INTEGER })).toBe(EFBIG);
  });

  test('growing makes a hole, shrinking and growing again shows zeros', () => {
    const { client, check } = boot();
    const a = ok(client.create(1, 'a'));
    client.write(a.nodeid, a.fh, 0, 'abcdef');
    client.setattr(a.nodeid, { valid: FATTR_SIZE, size: 3 });
    expect(ok(client.setattr(a.nodeid, { valid: FATTR_SIZE, size: 10_000 })).blocks).toBe(8);
    const data = ok(client.read(a.nodeid, a.fh, 0, 8));
    expect([...data]).toEqual([97, 98, 99, 0, 0, 0, 0, 0]);
    check();
  });

  test('the size that it has is a change too: mtime and ctime move', () => {
    const { client, clock } = boot();
    const file = ok(client.create(1, 'a'));
    clock.advance(1000);
    const attr = ok(client.setattr(file.nodeid, { valid: FATTR_SIZE, size: 0 }));
    expect([attr.mtime - file.attr.mtime, attr.ctime - file.attr.ctime]).toEqual([1, 1]);
  });

  test('by a stale handle is EBADF', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    client.release(a.nodeid, a.fh);
    expect(client.setattr(a.nodeid, { valid: FATTR_SIZE | FATTR_FH, fh: a.fh })).toBe(EBADF);
  });

  test('on a read-only file system is EROFS', () => {
    const { client } = boot({ wrap: (fs) => new ReadOnlyFileSystem(fs) });
    expect(client.setattr(1, { valid: FATTR_GID, gid: 1 })).toBe(EROFS);
  });
});

describe('STATX', () => {
  test('says all basic fields and the birth time', () => {
    const { client, clock } = boot();
    const a = ok(client.mknod(1, 'tty', S_IFCHR | 0o620, (4 << 8) | 0x12_000 | 65));
    clock.advance(1000);
    client.setattr(a.nodeid, { valid: FATTR_MODE, mode: 0o600 });
    const { body } = client.send('STATX', [bytes(StatxIn, { sx_mask: 0xfff })], { nodeid: a.nodeid });
    const { stat } = decode(StatxOut, body, 0);
    expect([stat.mask, stat.mode, stat.nlink]).toEqual([0xfff, S_IFCHR | 0o600, 1]);
    expect(stat.ctime.tv_sec - stat.btime.tv_sec).toBe(1);
    expect([stat.rdev_major, stat.rdev_minor]).toEqual([0x124, 65]);
  });
});

describe('ACCESS', () => {
  test.each([
    ['the owner', 5, 0, 6, OK],
    ['the owner', 5, 0, 1, EACCES],
    ['the group', 9, 6, 4, OK],
    ['the group', 9, 6, 2, EACCES],
    ['another', 9, 9, 1, OK],
    ['another', 9, 9, 4, EACCES],
    ['root', 0, 0, 7, OK],
  ])('%s (uid %i, gid %i) asking for %i gets errno %i of mode 0641', (_, uid, gid, mask, errno) => {
    const { client } = boot();
    const a = ok(client.create(1, 'a', 2, 0o641));
    client.setattr(a.nodeid, { valid: FATTR_UID | FATTR_GID, uid: 5, gid: 6 });
    expect(access(client, a.nodeid, mask, uid, gid)).toBe(errno);
  });

  test('root may not execute what nobody may', () => {
    const { client } = boot();
    expect(access(client, ok(client.create(1, 'a', 2, 0o666)).nodeid, 1)).toBe(EACCES);
  });

  test('an unknown bit is EINVAL', () => {
    expect(access(boot().client, 1, 8)).toBe(EINVAL);
  });

  test('writing on a read-only file system is EROFS', () => {
    const { client } = boot({ wrap: (fs) => new ReadOnlyFileSystem(fs) });
    expect([access(client, 1, 4), access(client, 1, 2)]).toEqual([OK, EROFS]);
  });
});

test('STATFS counts blocks and inodes', () => {
  const { client } = boot({ fs: { sizeLimit: 1 << 20, maxInodes: 10 } });
  const before = decode(StatfsOut, client.send('STATFS', []).body, 0).st;
  const a = ok(client.create(1, 'a'));
  client.write(a.nodeid, a.fh, 0, new Uint8Array(8192));
  const after = decode(StatfsOut, client.send('STATFS', []).body, 0).st;
  expect([before.blocks, before.bsize, before.namelen, before.files, before.ffree]).toEqual([256, 4096, 255, 10, 10]);
  // Two pages of data, and the first page of metadata.
  expect([before.bfree - after.bfree, after.ffree]).toEqual([3, 9]);
});
