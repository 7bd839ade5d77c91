import { describe, expect, test } from 'vitest';
import { ReadOnlyFileSystem } from '../../src/fs/read-only.ts';
import { EINVAL, EIO, ENOSYS, EROFS, ESTALE, OK } from '../../src/wire/errno.ts';
import * as fuse from '../../src/wire/fuse.ts';
import { minRequestSize } from '../../src/wire/message.ts';
import { OPS, type Op, type OpName } from '../../src/wire/ops.ts';
import { sizeOf } from '../../src/wire/struct.ts';
import { type Client, ok, type Piece } from './client.ts';
import { boot } from './world.ts';

const NAMES = (Object.keys(OPS) as OpName[]).filter((name) => name !== 'CUSE_INIT');
const REFUSED: readonly OpName[] = ['BMAP', 'IOCTL', 'POLL'];
const WRITING: readonly OpName[] = [
  'SETATTR',
  'SYMLINK',
  'MKNOD',
  'MKDIR',
  'UNLINK',
  'RMDIR',
  'RENAME',
  'RENAME2',
  'LINK',
  'WRITE',
  'CREATE',
  'FALLOCATE',
  'TMPFILE',
  'SETXATTR',
  'REMOVEXATTR',
];

/** The parts of a well-formed request: zeroed structs, short names. */
function pieces(op: Op): Piece[] {
  return op.request.flatMap((part): Piece[] => {
    if (part.part === 'struct') return [new Uint8Array(sizeOf(part.struct))];
    return part.part === 'name' ? ['name'] : [];
  });
}

function sendPlain(client: Client, name: OpName, options = {}) {
  return client.send(name, pieces(OPS[name]), options);
}

describe('malformed messages', () => {
  test.each(NAMES)('%s cut at every length gets EINVAL or nothing, and the session goes on', (name) => {
    const { client, check, lines } = boot();
    const isAnswered = (OPS[name] as Op).reply !== 'none';
    // From 56 bytes on a cut INIT is a whole one, as it was before 7.36.
    const end = name === 'INIT' ? 56 : minRequestSize(OPS[name]);
    for (let cut = 0; cut < end; cut++) {
      const reply = sendPlain(client, name, { cut });
      expect([reply.errno, reply.isAnswered]).toEqual(cut >= 40 && isAnswered ? [EINVAL, true] : [0, false]);
    }
    expect(lines).toHaveLength(end);
    expect(ok(client.getattr(1)).ino).toBe(1);
    check();
  });

  test('a request that breaks the protocol is named once: operation, inode, errno, why', () => {
    const { client, lines } = boot();
    client.send('LOOKUP', [Uint8Array.of(65, 66)], { nodeid: 1 });
    expect(lines).toEqual(['warn session: LOOKUP n1: EINVAL: a name without its NUL']);
  });

  test('a nodeid above 2^53 is EINVAL', () => {
    const { client } = boot();
    const header = { nodeid: Number.MAX_SAFE_INTEGER };
    expect(client.send('GETATTR', [new Uint8Array(16)], header).errno).toBe(ESTALE);
  });

  test('a 64-bit field that is no exact number is EINVAL', () => {
    const { client } = boot();
    const args = new Uint8Array(sizeOf(fuse.ReleaseIn)).fill(0xff);
    expect(client.send('RELEASE', [args]).errno).toBe(EINVAL);
  });
});

describe('operations', () => {
  test.each(REFUSED)('%s is ENOSYS', (name) => {
    expect(sendPlain(boot().client, name).errno).toBe(ENOSYS);
  });

  test.each([0, 7, 19, 54, 4096, 436207616, 0xffffffff])('opcode %i is ENOSYS', (opcode) => {
    expect(boot().client.sendOpcode(opcode, []).errno).toBe(ENOSYS);
  });

  test.each(WRITING)('%s on a read-only file system is EROFS', (name) => {
    const { client } = boot({ wrap: (fs) => new ReadOnlyFileSystem(fs) });
    expect(sendPlain(client, name).errno).toBe(EROFS);
  });

  test.each(['FORGET', 'BATCH_FORGET', 'INTERRUPT', 'NOTIFY_REPLY'] as const)('%s has no reply', (name) => {
    expect(sendPlain(boot().client, name).isAnswered).toBe(false);
  });
});

describe('replies', () => {
  test('without room for the header there is none', () => {
    const { client, lines } = boot();
    expect(sendPlain(client, 'GETATTR', { room: 15 }).isAnswered).toBe(false);
    expect(lines.length).toBeGreaterThan(0);
  });

  test.each(NAMES.filter((name) => (OPS[name] as Op).reply !== 'none'))('%s with room for the header alone', (name) => {
    const { client, check } = boot();
    const reply = sendPlain(client, name, { room: 16 });
    expect([reply.isAnswered, reply.body.byteLength]).toEqual([true, 0]);
    check();
  });

  test('an operation whose reply has no room does nothing', () => {
    const { client } = boot();
    expect(client.send('MKDIR', [new Uint8Array(8), 'd'], { room: 16 + 127 }).errno).toBe(EIO);
    expect(client.names(1)).toEqual([]);
  });

  test('nothing of an earlier reply is left in a later one', () => {
    const { client } = boot();
    ok(client.symlink(1, 'l', 'x'.repeat(200)));
    const link = ok(client.lookup(1, 'l'));
    client.readlink(link.nodeid);
    const { body } = client.send('STATFS', []);
    expect([...new Uint8Array(body.buffer, 56)]).toEqual(new Array(24).fill(0));
  });

  test('a READLINK that does not fit is EIO', () => {
    const { client } = boot();
    const link = ok(client.symlink(1, 'l', 'target'));
    expect(client.send('READLINK', [], { nodeid: link.nodeid, room: 16 + 5 }).errno).toBe(EIO);
    expect(client.send('READLINK', [], { nodeid: link.nodeid, room: 16 + 6 }).errno).toBe(OK);
  });
});

test('a bug in a file system is EIO and logged, and the host lives', () => {
  const { client, lines } = boot({
    wrap: (fs) =>
      Object.assign(fs, {
        statfs: () => {
          throw new TypeError('a bug');
        },
      }),
  });
  expect(client.send('STATFS', []).errno).toBe(EIO);
  expect(lines[0]).toContain('error session: STATFS n1: TypeError: a bug');
  expect(ok(client.getattr(1)).ino).toBe(1);
});
