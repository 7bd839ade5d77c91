/** Permissions as the server checks them for a client that does not: the pure rules, then each operation. */
import { describe, expect, test } from 'vitest';
import { ReadOnlyFileSystem } from '../../src/fs/read-only.ts';
import { Attr, AttrChange, Caller, lostSetId } from '../../src/host/inode.ts';
import { checkChange, isAllowed, isKeptBySticky } from '../../src/host/permission.ts';
import { EACCES, ENODATA, ENOENT, EPERM, ESTALE, errnoName, OK } from '../../src/wire/errno.ts';
import { FATTR_FLAGS, INIT_FLAG_BITS } from '../../src/wire/flags.ts';
import { AccessIn, GetxattrIn, OpenIn, SetxattrIn } from '../../src/wire/fuse.ts';
import { O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, S_IFDIR, S_IFREG } from '../../src/wire/mode.ts';
import { bytes, type Client, type Entry, ok } from './client.ts';
import { boot } from './world.ts';

const { FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME } = FATTR_FLAGS;
const { FATTR_FH, FATTR_ATIME_NOW, FATTR_MTIME_NOW } = FATTR_FLAGS;
const NOW = FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW;
const TRUNCATE = FATTR_SIZE | FATTR_MTIME | FATTR_MTIME_NOW;
const FMODE_EXEC = 0o40;
const ANN = 1001;
const BOB = 1002;
const STAFF = 2000;

function attrOf(mode: number, uid = ANN, gid = STAFF): Attr {
  return Object.assign(new Attr(), { mode, uid, gid });
}

function callerOf(uid: number, gid: number, extraGid = -1): Caller {
  return Object.assign(new Caller(), { uid, gid, extraGid });
}

/** What of r, w, x is allowed, each asked for by itself. */
function rwx(attr: Attr, caller: Caller): string {
  return [4, 2, 1].map((bit, i) => (isAllowed(attr, caller, bit) ? 'rwx'[i] : '-')).join('');
}

describe('the mode bits', () => {
  test.each([
    ['the owner has the first three', 0o740, ANN, 0, 'rwx'],
    ['the owner has no others, even if he is in the group', 0o077, ANN, STAFF, '---'],
    ['the group has the next three', 0o750, BOB, STAFF, 'r-x'],
    ['the group does not have what others have', 0o707, BOB, STAFF, '---'],
    ['everybody else has the last three', 0o751, BOB, BOB, '--x'],
    ['the superuser reads and writes', 0o000, 0, 0, 'rw-'],
    ['the superuser executes what anybody may execute', 0o001, 0, 0, 'rwx'],
    ['the superuser executes not what nobody may', 0o666, 0, 0, 'rw-'],
  ])('%s', (_title, mode, uid, gid, expected) => {
    expect(rwx(attrOf(S_IFREG | mode), callerOf(uid, gid))).toBe(expected);
  });

  test('the superuser searches every directory', () => {
    expect(rwx(attrOf(S_IFDIR), callerOf(0, 0))).toBe('rwx');
  });

  test('the group that a creation brings along counts', () => {
    expect(rwx(attrOf(S_IFREG | 0o060), callerOf(BOB, BOB, STAFF))).toBe('rw-');
  });

  test('groups that the host can look up count, and are looked up only where they decide', () => {
    const asked: number[] = [];
    const groupsOf = (pid: number) => {
      asked.push(pid);
      return [1, STAFF];
    };
    const caller = Object.assign(callerOf(BOB, BOB), { pid: 77, groupsOf });
    expect([rwx(attrOf(S_IFREG | 0o055), caller), asked]).toEqual(['r-x', []]);
    expect(rwx(attrOf(S_IFREG | 0o062), caller)).toBe('rw-');
    expect(new Set(asked)).toEqual(new Set([77]));
    expect(lostSetId(S_IFREG | 0o2600, STAFF, caller)).toBe(0);
    expect(lostSetId(S_IFREG | 0o6610, STAFF, caller)).toBe(0o6000);
    expect(lostSetId(S_IFREG | 0o2600, ANN, caller)).toBe(0o2000);
  });

  test.each([
    ['its owner', ANN, false],
    ['the owner of the directory', BOB, false],
    ['the superuser', 0, false],
    ['nobody else', 3, true],
  ])('a name in a sticky directory may be taken away by %s', (_who, uid, isKept) => {
    expect(isKeptBySticky(0o1777, BOB, ANN, callerOf(uid, uid))).toBe(isKept);
    expect(isKeptBySticky(0o777, BOB, ANN, callerOf(uid, uid))).toBe(false);
  });
});

describe('changes of attributes', () => {
  test.each([
    ['the owner sets the mode', FATTR_MODE, ANN, {}, OK],
    ['others do not, even if they may write', FATTR_MODE, BOB, {}, EPERM],
    ['the owner gives it to nobody', FATTR_UID, ANN, { uid: BOB }, EPERM],
    ['the owner may stay the owner', FATTR_UID, ANN, { uid: ANN }, OK],
    ['others cannot take it', FATTR_UID, BOB, { uid: BOB }, EPERM],
    ['the owner gives it to his own group', FATTR_GID, ANN, { gid: ANN }, OK],
    ['the owner gives it to no other group', FATTR_GID, ANN, { gid: BOB }, EPERM],
    ['others cannot take it into their group', FATTR_GID, BOB, { gid: BOB }, EPERM],
    ['whoever may write truncates', TRUNCATE, BOB, {}, OK],
    ['whoever may write touches', NOW, BOB, {}, OK],
    ['others choose no time', FATTR_ATIME | FATTR_MTIME, BOB, {}, EPERM],
    ['others set no single time to now', FATTR_MTIME | FATTR_MTIME_NOW, BOB, {}, EPERM],
    ['others choose no time beside a new size', TRUNCATE | FATTR_ATIME, BOB, {}, EPERM],
    ['the owner chooses times', FATTR_ATIME | FATTR_MTIME, ANN, {}, OK],
  ])('%s', (_title, valid, uid, more, errno) => {
    const change = Object.assign(new AttrChange(), { valid, ...more });
    expect(errnoName(checkChange(attrOf(0o100644), change, callerOf(uid, uid), true, false))).toBe(errnoName(errno));
  });

  test('without write permission nobody truncates or touches, and the owner touches all the same', () => {
    const check = (valid: number, uid: number) =>
      checkChange(attrOf(0o100444), Object.assign(new AttrChange(), { valid }), callerOf(uid, uid), false, false);
    expect([check(TRUNCATE, ANN), check(NOW, ANN), check(NOW, BOB), check(TRUNCATE, 0)]).toEqual([
      EACCES,
      OK,
      EACCES,
      OK,
    ]);
  });

  test('a client with a writeback cache sends as a time what was now', () => {
    const change = Object.assign(new AttrChange(), { valid: FATTR_MTIME });
    const check = (isStamping: boolean) => checkChange(attrOf(0o100666), change, callerOf(BOB, BOB), true, isStamping);
    expect([check(false), check(true)]).toEqual([EPERM, OK]);
  });
});

/** The root directory is root's, 0777; `as` says who asks from now on. */
function checking() {
  const world = boot({ session: { checksPermissions: true }, fs: { rootMode: 0o777 } });
  const { client } = world;
  const as = (uid: number, gid = uid): Client => Object.assign(client, { uid, gid });
  const dir = (name: string, mode: number, parent = 1): Entry => ok(client.mkdir(parent, name, mode));
  const file = (name: string, mode: number, parent = 1): Entry => ok(client.mknod(parent, name, S_IFREG | mode));
  return { ...world, as, dir, file };
}

function errnoOfOpen(client: Client, nodeid: number, flags: number): number {
  return client.send('OPEN', [bytes(OpenIn, { flags })], { nodeid }).errno;
}

function setxattr(client: Client, nodeid: number, name: string): number {
  return client.send('SETXATTR', [bytes(SetxattrIn, { size: 1 }), name, Uint8Array.of(65)], { nodeid }).errno;
}

function getxattr(client: Client, nodeid: number, name: string): number {
  return client.send('GETXATTR', [bytes(GetxattrIn, { size: 100 }), name], { nodeid }).errno;
}

describe('a session that checks permissions', () => {
  test('lets nobody look up a name without search permission', () => {
    const { as, dir, file } = checking();
    as(ANN);
    const home = dir('home', 0o744);
    file('a', 0o666, home.nodeid);
    expect([as(BOB).lookup(home.nodeid, 'a'), as(BOB).lookup(home.nodeid, 'b')]).toEqual([EACCES, EACCES]);
    expect(ok(as(ANN).lookup(home.nodeid, 'a')).attr.uid).toBe(ANN);
    expect(as(0).lookup(home.nodeid, 'b')).toBe(ENOENT);
  });

  test('lets names be made only with write and search permission', () => {
    const { as, dir, file } = checking();
    as(ANN);
    const open = dir('open', 0o755).nodeid;
    const target = file('t', 0o666).nodeid;
    const all = (client: Client) => [
      client.mkdir(open, 'd'),
      client.mknod(open, 'n', S_IFREG | 0o644),
      client.symlink(open, 's', 'x'),
      client.create(open, 'c'),
      client.link(target, open, 'l'),
      client.unlink(open, 'c'),
      client.rename(1, 't', open, 'u'),
    ];
    expect(all(as(BOB))).toEqual([EACCES, EACCES, EACCES, EACCES, EACCES, EACCES, EACCES]);
    expect(all(as(ANN)).slice(5)).toEqual([OK, OK]);
  });

  test('gives another name to a file only for its owner, or for who may read and write it', () => {
    const { as, file } = checking();
    as(ANN);
    const { nodeid } = file('a', 0o664);
    expect([as(BOB).link(nodeid, 1, 'b'), as(BOB, ANN).unlink(1, 'b')]).toEqual([EPERM, ENOENT]);
    expect(ok(as(BOB, ANN).link(nodeid, 1, 'b')).attr.nlink).toBe(2);
    expect(ok(as(ANN).link(nodeid, 1, 'c')).attr.nlink).toBe(3);
  });

  test('opens as the mode allows, and for execution without reading', () => {
    const { as, file, client } = checking();
    as(ANN);
    const { nodeid } = file('a', 0o641);
    const open = (flags: number) => errnoOfOpen(client, nodeid, flags);
    as(BOB, ANN);
    expect([open(O_RDONLY), open(O_WRONLY), open(O_RDWR), open(O_RDONLY | O_TRUNC)]).toEqual([
      OK,
      EACCES,
      EACCES,
      EACCES,
    ]);
    as(BOB);
    expect([open(O_RDONLY), open(FMODE_EXEC)]).toEqual([EACCES, OK]);
    as(ANN);
    expect([open(O_RDWR | O_TRUNC), open(FMODE_EXEC)]).toEqual([OK, EACCES]);
    as(0);
    expect([open(O_RDWR), open(FMODE_EXEC)]).toEqual([OK, OK]);
  });

  test('opens what CREATE makes whatever its mode, and what it finds as the mode allows', () => {
    const { as } = checking();
    expect(typeof as(ANN).create(1, 'a', O_RDWR, 0o400)).toBe('object');
    expect(as(ANN).create(1, 'a', O_RDWR)).toBe(EACCES);
    expect(as(BOB).create(1, 'a', O_RDONLY)).toBe(EACCES);
    expect(typeof as(ANN).create(1, 'a', O_RDONLY)).toBe('object');
  });

  test('lists a directory only with read permission', () => {
    const { as, dir } = checking();
    as(ANN);
    const { nodeid } = dir('d', 0o711);
    expect([as(BOB).opendir(nodeid), as(ANN).opendir(nodeid) > 0]).toEqual([-EACCES, true]);
  });

  test('keeps names in a sticky directory for their owners', () => {
    const { as, dir, file } = checking();
    const tmp = dir('tmp', 0o1777).nodeid;
    as(ANN);
    file('a', 0o666, tmp);
    as(BOB);
    file('b', 0o666, tmp);
    expect([
      as(BOB).unlink(tmp, 'a'),
      as(BOB).rename(tmp, 'a', tmp, 'c'),
      as(BOB).rename(tmp, 'b', tmp, 'a'),
      as(BOB).rename(tmp, 'b', tmp, 'a', 2),
      as(BOB).unlink(tmp, 'missing'),
    ]).toEqual([EPERM, EPERM, EPERM, EPERM, ENOENT]);
    expect([as(BOB).rename(tmp, 'b', tmp, 'd'), as(ANN).unlink(tmp, 'a'), as(0).unlink(tmp, 'd')]).toEqual([
      OK,
      OK,
      OK,
    ]);
  });

  test('moves a directory to another one only for who may write into it', () => {
    const { as, dir } = checking();
    as(ANN);
    dir('d', 0o755);
    as(BOB);
    const to = dir('to', 0o777).nodeid;
    expect([as(BOB).rename(1, 'd', 1, 'e'), as(BOB).rename(1, 'e', to, 'e')]).toEqual([OK, EACCES]);
    expect(as(ANN).rename(1, 'e', to, 'e')).toBe(OK);
  });

  test('lets the owner change attributes, others only through a descriptor they may write to', () => {
    const { as, file } = checking();
    as(ANN);
    const { nodeid } = file('a', 0o666);
    const fh = as(BOB).open(nodeid, O_RDWR);
    expect(as(BOB).setattr(nodeid, { valid: FATTR_MODE, mode: 0o777 })).toBe(EPERM);
    expect(ok(as(ANN).setattr(nodeid, { valid: FATTR_MODE, mode: 0o600 })).mode & 0o777).toBe(0o600);
    expect(as(BOB).setattr(nodeid, { valid: FATTR_SIZE, size: 3 })).toBe(EACCES);
    expect(ok(as(BOB).setattr(nodeid, { valid: FATTR_SIZE | FATTR_FH, fh, size: 3 })).size).toBe(3);
  });

  test('takes set-group-ID from a mode that a stranger to the group sets', () => {
    const { as, file } = checking();
    as(ANN, STAFF);
    const { nodeid } = file('a', 0o755);
    const chmod = (client: Client) => ok(client.setattr(nodeid, { valid: FATTR_MODE, mode: 0o2755 })).mode & 0o7777;
    expect([chmod(as(ANN, STAFF)), chmod(as(ANN)), chmod(as(0))]).toEqual([0o2755, 0o755, 0o2755]);
  });

  test('answers ACCESS by the same rules', () => {
    const { as, file, client } = checking();
    as(ANN);
    const { nodeid } = file('a', 0o640);
    const access = (mask: number) => client.send('ACCESS', [bytes(AccessIn, { mask })], { nodeid }).errno;
    as(BOB, ANN);
    expect([access(0), access(4), access(2), access(6)]).toEqual([OK, OK, EACCES, EACCES]);
  });

  test('gives user attributes to readers and writers, trusted ones to the superuser, system ones to the owner', () => {
    const { as, file } = checking();
    as(ANN);
    const { nodeid } = file('a', 0o644);
    expect([setxattr(as(ANN), nodeid, 'user.a'), setxattr(as(BOB), nodeid, 'user.a')]).toEqual([OK, EACCES]);
    expect([setxattr(as(ANN), nodeid, 'trusted.a'), setxattr(as(0), nodeid, 'trusted.a')]).toEqual([EPERM, OK]);
    expect(setxattr(as(BOB), nodeid, 'system.posix_acl_access')).toBe(EPERM);
    expect([getxattr(as(BOB), nodeid, 'user.a'), getxattr(as(ANN), nodeid, 'trusted.a')]).toEqual([OK, ENODATA]);
    ok(as(ANN).setattr(nodeid, { valid: FATTR_MODE, mode: 0o600 }));
    expect([getxattr(as(BOB), nodeid, 'user.a'), as(BOB).getattr(77)]).toEqual([EACCES, ESTALE]);
  });

  test('asks the client to follow access lists only where the client checks', () => {
    const acl = 1 << INIT_FLAG_BITS.FUSE_POSIX_ACL;
    expect(boot().attach().init().flags & acl).toBe(acl);
    expect(boot().attach({ checksPermissions: true }).init().flags & acl).toBe(0);
    expect(boot().attach().init({ flags: 0 }).flags).toBe(0);
  });

  test('asks it as well where nothing may be written', () => {
    const acl = 1 << INIT_FLAG_BITS.FUSE_POSIX_ACL;
    const { attach } = boot({ wrap: (fs) => new ReadOnlyFileSystem(fs) });
    expect(attach().init().flags & acl).toBe(acl);
  });
});

test('a session that does not check leaves everything to its client', () => {
  const { client } = boot();
  const { nodeid } = ok(client.mknod(1, 'a', S_IFREG));
  client.uid = BOB;
  expect([errnoOfOpen(client, nodeid, O_RDWR), client.unlink(1, 'a')]).toEqual([OK, OK]);
});
