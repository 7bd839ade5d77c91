/** Access control lists of memory: the rules of acl(5) on lists as setfacl writes them, then the file system. */
import { describe, expect, test } from 'vitest';
import {
  ACL_GROUP,
  ACL_GROUP_OBJ,
  ACL_MASK,
  ACL_OTHER,
  ACL_UNDEFINED_ID,
  ACL_USER,
  ACL_USER_OBJ,
  type Acl,
  applyAccessAcl,
  chmodAcl,
  encodeAcl,
  inheritedAcl,
  isAllowedByAcl,
  isValidAcl,
  parseAcl,
} from '../../src/fs/memory-acl.ts';
import { Attr, Caller } from '../../src/host/inode.ts';
import { EACCES, EINVAL, ENODATA, ENOSPC, EOPNOTSUPP, errnoName, OK } from '../../src/wire/errno.ts';
import { FATTR_FLAGS } from '../../src/wire/flags.ts';
import { GetxattrIn, OpenIn, SetxattrIn } from '../../src/wire/fuse.ts';
import { S_IFREG } from '../../src/wire/mode.ts';
import { bytes, type Client, ok } from '../host/client.ts';
import { boot } from '../host/world.ts';

const TAGS: Readonly<Record<string, readonly [number, number]>> = {
  u: [ACL_USER_OBJ, ACL_USER],
  g: [ACL_GROUP_OBJ, ACL_GROUP],
  m: [ACL_MASK, ACL_MASK],
  o: [ACL_OTHER, ACL_OTHER],
};

/** Reads "u::rwx u:1001:r-- g::r-x m::r-x o::---". */
function acl(text: string): Acl {
  return text.split(' ').map((word) => {
    const [who, name, perms] = word.split(':') as [string, string, string];
    const [plain, named] = TAGS[who] as readonly [number, number];
    const perm = [...perms].reduce((sum, letter, i) => sum + (letter === '-' ? 0 : 4 >> i), 0);
    return name === '' ? { tag: plain, perm, id: ACL_UNDEFINED_ID } : { tag: named, perm, id: Number(name) };
  });
}

function text(list: Acl | undefined): string {
  const words = list?.map(({ tag, perm, id }) => {
    const who = Object.entries(TAGS).find(([, tags]) => tags.includes(tag))?.[0];
    const letters = [...'rwx'].map((letter, i) => ((perm & (4 >> i)) === 0 ? '-' : letter)).join('');
    return `${who}:${id === ACL_UNDEFINED_ID ? '' : id}:${letters}`;
  });
  return words?.join(' ') ?? 'none';
}

describe('what is a list', () => {
  test.each([
    ['the three of the mode', 'u::rwx g::r-x o::r--', true],
    ['named users and groups with a mask', 'u::rwx u:7:r-- u:8:rw- g::r-x g:9:--x m::rwx o::---', true],
    ['a mask without names', 'u::rwx g::r-x m::r-- o::r--', true],
    ['a name without a mask', 'u::rwx u:7:r-- g::r-x o::r--', false],
    ['no owner', 'g::r-x o::r--', false],
    ['no group', 'u::rwx o::r--', false],
    ['no others', 'u::rwx g::r-x', false],
    ['two owners', 'u::rwx u::rwx g::r-x o::r--', false],
    ['two masks', 'u::rwx g::r-x m::r-- m::r-- o::r--', false],
    ['groups before users', 'u::rwx g::r-x u:7:r-- m::rwx o::r--', false],
    ['a mask after others', 'u::rwx g::r-x o::r-- m::rwx', false],
    ['nobody as a user', 'u::rwx u:4294967295:r-- g::r-x m::rwx o::---', false],
  ])('%s: %s is %s', (_title, list, isValid) => {
    const read = acl(list);
    expect(isValidAcl(read)).toBe(isValid);
    if (isValid) expect(text(parseAcl(encodeAcl(read)) as Acl)).toBe(text(read));
    else expect(parseAcl(encodeAcl(read))).toBe(EINVAL);
  });

  test('permissions beyond rwx, unknown tags and nameless names are refused', () => {
    const [owner, ...rest] = acl('u::rwx g::r-x o::r--') as [Acl[0], ...Acl];
    expect(isValidAcl([{ ...owner, perm: 8 }, ...rest])).toBe(false);
    expect(isValidAcl([owner, { ...owner, tag: 3 }, ...rest])).toBe(false);
    expect(isValidAcl([owner, { tag: ACL_USER, perm: 4, id: ACL_UNDEFINED_ID }, ...rest])).toBe(false);
  });

  test('the binary form is version 2 in little endian, and whole', () => {
    const value = encodeAcl(acl('u::rw- u:258:r-- g::r-- m::r-- o::---'));
    expect([...value.slice(0, 20)]).toEqual([2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 2, 1, 0, 0]);
    expect([parseAcl(value.slice(0, -1)), parseAcl(value.slice(0, 3))]).toEqual([EINVAL, EINVAL]);
    value[0] = 1;
    expect(parseAcl(value)).toBe(EOPNOTSUPP);
    expect([parseAcl(new Uint8Array(0)), parseAcl(Uint8Array.of(2, 0, 0, 0))]).toEqual([undefined, undefined]);
  });
});

describe('lists and modes', () => {
  test.each([
    ['u::rwx g::r-x o::--x', 0o751, 'none'],
    ['u::rw- g::r-x m::r-- o::---', 0o640, 'u::rw- g::r-x m::r-- o::---'],
    ['u::rw- u:7:rwx g::r-- m::rw- o::---', 0o660, 'u::rw- u:7:rwx g::r-- m::rw- o::---'],
  ])('setting %s makes the mode %o', (list, bits, kept) => {
    const applied = applyAccessAcl(0o106777, acl(list));
    expect([applied.mode, text(applied.acl)]).toEqual([0o106000 | bits, kept]);
  });

  test.each([
    [
      'with a mask the group bits are the mask',
      'u::rwx u:7:rwx g::rwx m::rwx o::rwx',
      0o640,
      'u::rw- u:7:rwx g::rwx m::r-- o::---',
    ],
    ['without one they are the group', 'u::rwx g::rwx o::rwx', 0o640, 'u::rw- g::r-- o::---'],
  ])('chmod: %s', (_title, list, bits, after) => {
    expect(text(chmodAcl(acl(list), bits))).toBe(after);
  });

  test.each([
    ['u::rwx g::r-x o::r-x', 0o666, 0o644, 'none'],
    ['u::r-x g::--- o::---', 0o777, 0o500, 'none'],
    ['u::rwx u:7:rwx g::r-x m::rwx o::---', 0o666, 0o660, 'u::rw- u:7:rwx g::r-x m::rw- o::---'],
    ['u::rwx u:7:rwx g::rwx m::r-x o::rwx', 0o640, 0o640, 'u::rw- u:7:rwx g::rwx m::r-- o::---'],
  ])('a default list %s and mode %o make mode %o', (list, asked, bits, kept) => {
    const made = inheritedAcl(acl(list), S_IFREG | asked);
    expect([made.mode, text(made.acl)]).toEqual([S_IFREG | bits, kept]);
  });
});

describe('whom a list lets in', () => {
  const LIST = 'u::r-- u:7:rwx u:8:--- g::r-- g:20:-w- g:30:--x m::rw- o::r-x';
  test.each([
    ['the owner by his own entry, unmasked', 1, 20, 'r--'],
    ['a named user by his entry and the mask', 7, 1, 'rw-'],
    ['a named user by nothing else', 8, 10, '---'],
    ["the file's group", 9, 10, 'r--'],
    ['a named group', 9, 20, '-w-'],
    ['a named group whose rights the mask takes', 9, 30, '---'],
    ['others, unmasked', 9, 9, 'r-x'],
  ])('%s', (_title, uid, gid, expected) => {
    const attr = Object.assign(new Attr(), { uid: 1, gid: 10, mode: 0o100465 });
    const caller = Object.assign(new Caller(), { uid, gid });
    const allowed = [4, 2, 1].map((bit, i) => (isAllowedByAcl(attr, acl(LIST), caller, bit) ? 'rwx'[i] : '-'));
    expect(allowed.join('')).toBe(expected);
  });

  test('two groups do not add up: one entry must allow all', () => {
    const attr = Object.assign(new Attr(), { uid: 1, gid: 10 });
    const caller = Object.assign(new Caller(), { uid: 9, gid: 10, extraGid: 20 });
    const can = (wanted: number) => isAllowedByAcl(attr, acl(LIST), caller, wanted);
    expect([can(4), can(2), can(6)]).toEqual([true, true, false]);
  });
});

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

function set(client: Client, nodeid: number, name: string, list: string, setxattr_flags = 0): number {
  const value = encodeAcl(acl(list));
  const head = bytes(SetxattrIn, { size: value.length, setxattr_flags });
  return client.send('SETXATTR', [head, name, value], { nodeid }).errno;
}

function get(client: Client, nodeid: number, name = ACCESS): string {
  const { errno, body } = client.send('GETXATTR', [bytes(GetxattrIn, { size: 1000 }), name], { nodeid });
  return errno === OK ? text(parseAcl(new Uint8Array(body.buffer)) as Acl) : errnoName(errno);
}

function list(client: Client, nodeid: number): string {
  const { body } = client.send('LISTXATTR', [bytes(GetxattrIn, { size: 1000 })], { nodeid });
  return new TextDecoder().decode(new Uint8Array(body.buffer)).replaceAll('\0', ' ');
}

const remove = (client: Client, nodeid: number, name: string): number =>
  client.send('REMOVEXATTR', [name], { nodeid }).errno;
const modeOf = (client: Client, nodeid: number): number => ok(client.getattr(nodeid)).mode & 0o7777;

describe('lists in the file system', () => {
  test('an access list sets the mode, is listed, follows chmod and goes without a trace in the mode', () => {
    const { client, check } = boot();
    const { nodeid } = ok(client.mknod(1, 'a', S_IFREG | 0o644));
    expect([get(client, nodeid), list(client, nodeid)]).toEqual(['ENODATA', '']);
    expect(set(client, nodeid, ACCESS, 'u::rw- u:7:rwx g::r-- m::rwx o::---')).toBe(OK);
    expect([modeOf(client, nodeid), list(client, nodeid)]).toEqual([0o670, `${ACCESS} `]);
    ok(client.setattr(nodeid, { valid: FATTR_FLAGS.FATTR_MODE, mode: 0o504 }));
    expect(get(client, nodeid)).toBe('u::r-x u:7:rwx g::r-- m::--- o::r--');
    check();
    expect([remove(client, nodeid, ACCESS), remove(client, nodeid, ACCESS)]).toEqual([OK, OK]);
    expect([modeOf(client, nodeid), get(client, nodeid)]).toEqual([0o504, 'ENODATA']);
    check();
  });

  test('a list that is a mode is only that, and takes the place of a longer one', () => {
    const { client, check } = boot();
    const { nodeid } = ok(client.mknod(1, 'a', S_IFREG | 0o644));
    set(client, nodeid, ACCESS, 'u::rw- u:7:rwx g::r-- m::rwx o::---');
    expect(set(client, nodeid, ACCESS, 'u::rwx g::r-x o::--x')).toBe(OK);
    expect([modeOf(client, nodeid), list(client, nodeid)]).toEqual([0o751, '']);
    check();
  });

  test('SETXATTR_ACL_KILL_SGID clears set-group-ID, and so does a stranger to the group who removes a list', () => {
    const { client } = boot();
    const { nodeid } = ok(client.mknod(1, 'a', S_IFREG | 0o2755));
    set(client, nodeid, ACCESS, 'u::rw- g::r-x o::r--');
    expect(modeOf(client, nodeid)).toBe(0o2654);
    set(client, nodeid, ACCESS, 'u::rwx g::r-x o::r--', 1);
    expect(modeOf(client, nodeid)).toBe(0o754);
    set(client, nodeid, ACCESS, 'u::rwx u:7:r-- g::r-x m::r-x o::r--');
    ok(client.setattr(nodeid, { valid: FATTR_FLAGS.FATTR_MODE, mode: 0o2750 }));
    remove(client, nodeid, ACCESS);
    expect(modeOf(client, nodeid)).toBe(0o2750);
    remove(Object.assign(client, { uid: 7, gid: 7 }), nodeid, ACCESS);
    expect(modeOf(client, nodeid)).toBe(0o750);
  });

  test('a default list is for directories, links have none at all', () => {
    const { client } = boot();
    const file = ok(client.mknod(1, 'a', S_IFREG | 0o644)).nodeid;
    const link = ok(client.symlink(1, 'l', 'a')).nodeid;
    const plain = 'u::rwx g::r-x o::r-x';
    expect([set(client, file, DEFAULT, plain), remove(client, file, DEFAULT)]).toEqual([EACCES, OK]);
    expect([set(client, link, ACCESS, plain), remove(client, link, ACCESS)]).toEqual([EOPNOTSUPP, EOPNOTSUPP]);
    expect([get(client, link), get(client, file, DEFAULT)]).toEqual(['ENOTSUP', errnoName(ENODATA)]);
    expect([set(client, 1, DEFAULT, plain), get(client, 1, DEFAULT)]).toEqual([OK, plain]);
  });

  test('what is made under a default list follows it and not the umask; directories hand it on', () => {
    const { client, check } = boot();
    const defaults = 'u::rwx u:7:rwx g::r-x m::rwx o::---';
    expect(set(client, 1, DEFAULT, defaults)).toBe(OK);
    const made = ok(client.create(1, 'c', 2, 0o666, 0o077)).nodeid;
    expect([modeOf(client, made), get(client, made)]).toEqual([0o660, 'u::rw- u:7:rwx g::r-x m::rw- o::---']);
    const node = ok(client.mknod(1, 'n', S_IFREG | 0o640, 0, 0o077)).nodeid;
    expect(modeOf(client, node)).toBe(0o640);
    const dir = ok(client.mkdir(1, 'd', 0o777, 0o077)).nodeid;
    expect([modeOf(client, dir), get(client, dir), get(client, dir, DEFAULT)]).toEqual([0o770, defaults, defaults]);
    const link = ok(client.symlink(1, 'l', 'x'));
    expect(link.attr.mode & 0o777).toBe(0o777);
    check();
    expect(remove(client, 1, DEFAULT)).toBe(OK);
    expect(modeOf(client, ok(client.create(1, 'e', 2, 0o666, 0o077)).nodeid)).toBe(0o600);
    for (const name of ['c', 'n', 'e', 'l']) client.unlink(1, name);
    client.rmdir(1, 'd');
    check();
  });

  test('a list needs room', () => {
    const { client, check } = boot({ fs: { sizeLimit: 8192 } });
    const names = Array.from({ length: 1100 }, (_, i) => `u:${i}:rwx`).join(' ');
    expect(set(client, 1, ACCESS, `u::rwx ${names} g::r-x m::rwx o::---`)).toBe(ENOSPC);
    expect(modeOf(client, 1)).toBe(0o755);
    check();
  });

  test('a session that checks permissions minds the list', () => {
    const { client } = boot({ session: { checksPermissions: true } });
    const { nodeid } = ok(client.mknod(1, 'a', S_IFREG | 0o600));
    set(client, nodeid, ACCESS, 'u::rw- u:7:r-- g::--- m::r-- o::---');
    const open = (uid: number, flags: number) =>
      client.send('OPEN', [bytes(OpenIn, { flags })], { nodeid, uid, gid: uid }).errno;
    expect([open(7, 0), open(7, 1), open(8, 0), open(0, 2)]).toEqual([OK, EACCES, EACCES, OK]);
  });
});
