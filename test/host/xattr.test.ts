import { describe, expect, test } from 'vitest';
import { ReadOnlyFileSystem } from '../../src/fs/read-only.ts';
import {
  E2BIG,
  EEXIST,
  EINVAL,
  ENODATA,
  ENOSPC,
  EOPNOTSUPP,
  ERANGE,
  EROFS,
  errnoName,
  OK,
} from '../../src/wire/errno.ts';
import { GetxattrIn, GetxattrOut, SetxattrIn, WriteIn } from '../../src/wire/fuse.ts';
import { O_RDWR } from '../../src/wire/mode.ts';
import { decode } from '../../src/wire/struct.ts';
import { bytes, type Client, ok, type Reply } from './client.ts';
import { boot } from './world.ts';

const CREATE = 1;
const REPLACE = 2;

function set(client: Client, nodeid: number, name: string, value: string, flags = 0, size = value.length): number {
  const head = bytes(SetxattrIn, { size, flags });
  return client.send('SETXATTR', [head, name, new TextEncoder().encode(value)], { nodeid }).errno;
}

function get(client: Client, nodeid: number, name: string, size = 1000): string {
  return text(client.send('GETXATTR', [bytes(GetxattrIn, { size }), name], { nodeid }));
}

function list(client: Client, nodeid: number, size = 1000, uid = 0): string {
  return text(client.send('LISTXATTR', [bytes(GetxattrIn, { size })], { nodeid, uid })).replaceAll('\0', ' ');
}

function remove(client: Client, nodeid: number, name: string): number {
  return client.send('REMOVEXATTR', [name], { nodeid }).errno;
}

function text({ errno, body }: Reply): string {
  return errno === OK ? new TextDecoder().decode(new Uint8Array(body.buffer)) : errnoName(errno);
}

describe('extended attributes of memory', () => {
  test('are kept, listed in the order they came, replaced and removed', () => {
    const { client, check } = boot();
    const { nodeid } = ok(client.create(1, 'a'));
    expect([set(client, nodeid, 'user.b', 'two'), set(client, nodeid, 'user.a', '')]).toEqual([OK, OK]);
    expect([get(client, nodeid, 'user.b'), get(client, nodeid, 'user.a'), list(client, nodeid)]).toEqual([
      'two',
      '',
      'user.b user.a ',
    ]);
    expect(set(client, nodeid, 'user.b', 'longer than before')).toBe(OK);
    expect(get(client, nodeid, 'user.b')).toBe('longer than before');
    expect([remove(client, nodeid, 'user.b'), remove(client, nodeid, 'user.b')]).toEqual([OK, ENODATA]);
    expect([get(client, nodeid, 'user.b'), list(client, nodeid)]).toEqual(['ENODATA', 'user.a ']);
    check();
    client.unlink(1, 'a');
    client.forget(nodeid, 1);
    check();
  });

  test('XATTR_CREATE and XATTR_REPLACE are minded, other flags are EINVAL', () => {
    const { client } = boot();
    expect(set(client, 1, 'user.a', '1', REPLACE)).toBe(ENODATA);
    expect(set(client, 1, 'user.a', '1', CREATE)).toBe(OK);
    expect(set(client, 1, 'user.a', '2', CREATE)).toBe(EEXIST);
    expect(set(client, 1, 'user.a', '2', REPLACE)).toBe(OK);
    expect(set(client, 1, 'user.a', '3', 4)).toBe(EINVAL);
    // Both: as Linux, each is looked at for itself.
    expect(set(client, 1, 'user.a', '3', CREATE | REPLACE)).toBe(EEXIST);
    expect(set(client, 1, 'user.b', '3', CREATE | REPLACE)).toBe(ENODATA);
    expect(get(client, 1, 'user.a')).toBe('2');
  });

  test('size 0 asks how large it is; a size that is too small is ERANGE', () => {
    const { client } = boot();
    set(client, 1, 'user.a', 'value');
    const asked = client.send('GETXATTR', [bytes(GetxattrIn, { size: 0 }), 'user.a'], { nodeid: 1 });
    expect(decode(GetxattrOut, asked.body, 0).size).toBe(5);
    const listed = client.send('LISTXATTR', [bytes(GetxattrIn, { size: 0 })], { nodeid: 1 });
    expect(decode(GetxattrOut, listed.body, 0).size).toBe(7);
    expect([get(client, 1, 'user.a', 5), get(client, 1, 'user.a', 4), list(client, 1, 6)]).toEqual([
      'value',
      'ERANGE',
      'ERANGE',
    ]);
  });

  test('a name needs a namespace that we have, and something after it', () => {
    const { client } = boot();
    expect(set(client, 1, 'user.', 'x')).toBe(EINVAL);
    expect(set(client, 1, 'plain', 'x')).toBe(EOPNOTSUPP);
    expect(set(client, 1, 'system.other', 'x')).toBe(EOPNOTSUPP);
    expect(get(client, 1, 'system.other')).toBe('ENOTSUP');
    expect(set(client, 1, `user.${'n'.repeat(250)}`, 'x')).toBe(OK);
    expect(set(client, 1, `user.${'n'.repeat(251)}`, 'x')).toBe(ERANGE);
    expect(set(client, 1, '', 'x')).toBe(ERANGE);
  });

  test('values of 64 KiB are the largest', () => {
    const { client } = boot();
    const large = 'v'.repeat(65536);
    expect(set(client, 1, 'user.a', large)).toBe(OK);
    expect(get(client, 1, 'user.a', 65536)).toBe(large);
    expect(set(client, 1, 'user.a', `${large}v`)).toBe(E2BIG);
  });

  test('trusted attributes are listed for the superuser alone', () => {
    const { client } = boot();
    set(client, 1, 'trusted.t', '');
    set(client, 1, 'user.u', '');
    expect([list(client, 1, 1000, 0), list(client, 1, 1000, 1001)]).toEqual(['trusted.t user.u ', 'user.u ']);
  });

  test('they count against the size limit, and setting one changes ctime', () => {
    const { client, check } = boot({ fs: { sizeLimit: 64 * 1024 } });
    const before = ok(client.getattr(1));
    expect(set(client, 1, 'user.a', 'v'.repeat(40_000))).toBe(OK);
    expect(set(client, 1, 'user.b', 'v'.repeat(40_000))).toBe(ENOSPC);
    const after = ok(client.getattr(1));
    expect([after.mtimensec, after.ctimensec > before.ctimensec]).toEqual([before.mtimensec, true]);
    check();
  });

  test('a write takes away the capabilities a file gives', () => {
    const { client } = boot();
    const { nodeid } = ok(client.create(1, 'a'));
    set(client, nodeid, 'security.capability', 'caps');
    set(client, nodeid, 'user.u', 'stays');
    const fh = client.open(nodeid, O_RDWR);
    client.send('WRITE', [bytes(WriteIn, { fh, size: 1 })], { nodeid, data: Uint8Array.of(1) });
    expect(list(client, nodeid)).toBe('user.u ');
  });

  test('a read-only file system shows them and lets nobody change them', () => {
    const { client } = boot({
      wrap: (fs) => {
        fs.setxattr(fs.root, 'user.a' as never, Uint8Array.of(104, 105), 0);
        return new ReadOnlyFileSystem(fs);
      },
    });
    expect([get(client, 1, 'user.a'), list(client, 1)]).toEqual(['hi', 'user.a ']);
    expect([set(client, 1, 'user.a', 'x'), remove(client, 1, 'user.a')]).toEqual([EROFS, EROFS]);
  });
});
