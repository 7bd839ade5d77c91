import { expect, test } from 'vitest';
import { EBADF, EIO, ENOENT, ENOSYS, ENOTCONN, EPROTO, ESTALE } from '../../src/wire/errno.ts';
import { INIT_FLAG_BITS } from '../../src/wire/flags.ts';
import * as fuse from '../../src/wire/fuse.ts';
import { OUT_HEADER_SIZE } from '../../src/wire/ids.ts';
import { OPS, type OpName } from '../../src/wire/ops.ts';
import { codeOf } from '../guest/world.ts';
import { bytes, ok } from '../host/client.ts';
import { boot, RELAY_MAX_WRITE } from './relay-world.ts';

const ABOVE_2_53 = 0x40_0000;

test('a guest works over a foreign server, and leaves nothing behind there', () => {
  const { mount, foreign, server, relay, lines } = boot();
  const { guest } = mount();
  const data = Uint8Array.from({ length: 300_000 }, (_, i) => i * 31);
  guest.mkdir('/d');
  guest.writeFile('/d/file', data);
  guest.rename('/d/file', '/d/renamed');
  guest.symlink('renamed', '/d/link');
  expect(guest.readFile('/d/link')).toEqual(data);
  expect(guest.readdir('/d').sort()).toEqual(['link', 'renamed']);
  expect(codeOf(() => guest.readFile('/d/file'))).toBe('ENOENT');
  expect(foreign.lookups.size).toBeGreaterThan(0);
  guest.unmount();
  expect([foreign.lookups.size, foreign.handles.size, relay.held]).toEqual([0, 0, 0]);
  server.checkInvariants();
  expect(lines).toEqual([]);
});

test('INIT is sent once, without windows and locks; all guests get the same, capped, reply', () => {
  const { attach, link, foreign } = boot();
  const replies = [attach(), attach()].map((client) => client.init());
  expect(link.sent).toEqual(['INIT']);
  for (const flag of ['FUSE_MAP_ALIGNMENT', 'FUSE_HAS_INODE_DAX', 'FUSE_POSIX_LOCKS', 'FUSE_FLOCK_LOCKS'] as const) {
    expect([flag, foreign.negotiated.has(flag)]).toEqual([flag, false]);
  }
  expect(foreign.negotiated.has('FUSE_DONT_MASK')).toBe(true);
  expect(foreign.negotiated.maxWrite).toBe(1 << 20);
  for (const reply of replies) {
    expect(reply).toMatchObject({ major: 7, minor: 45, max_write: RELAY_MAX_WRITE, max_pages: RELAY_MAX_WRITE / 4096 });
    expect(reply).toEqual(replies[0]);
  }
});

test('a later guest is told no flag that it did not offer', () => {
  const { attach } = boot();
  const modest = attach();
  attach();
  const [dontMask, maxPages] = [1 << INIT_FLAG_BITS.FUSE_DONT_MASK, 1 << INIT_FLAG_BITS.FUSE_MAX_PAGES];
  const { body } = modest.send('INIT', [bytes(fuse.InitIn, { major: 7, minor: 45, flags: dontMask })]);
  const flags = fuse.InitOut.flags.get(body, 0);
  expect([flags & dontMask, flags & maxPages]).toEqual([dontMask, 0]);
});

test('a guest that dies has its files released and its lookups forgotten; another keeps its own', () => {
  const { attach, foreign, link } = boot();
  const [victim, survivor] = [attach(), attach()];
  const kept = ok(survivor.create(1, 'kept'));
  const file = ok(victim.create(1, 'file'));
  ok(victim.lookup(1, 'kept'));
  ok(victim.lookup(1, 'kept'));
  const directory = ok(victim.mkdir(1, 'd'));
  victim.opendir(directory.nodeid);
  victim.open(file.nodeid, 0);
  link.sent.length = 0;
  victim.session.close();
  expect(link.sent).toEqual(['RELEASE', 'RELEASEDIR', 'RELEASE', 'BATCH_FORGET']);
  expect([foreign.handles.size, foreign.lookups.size]).toEqual([1, 1]);
  expect(survivor.write(kept.nodeid, kept.fh, 0, 'still here')).toBe(10);
});

test('a server that knows no BATCH_FORGET gets every FORGET alone', () => {
  const { attach, link, foreign } = boot();
  link.tamper = (opcode, reply, size) => {
    if (opcode === OPS.INIT.code) fuse.InitOut.minor.set(reply, OUT_HEADER_SIZE, 15);
    return size;
  };
  const client = attach();
  for (const name of ['a', 'b', 'c']) ok(client.mkdir(1, name));
  link.sent.length = 0;
  client.session.close();
  expect(link.sent).toEqual(['FORGET', 'FORGET', 'FORGET']);
  expect(foreign.lookups.size).toBe(0);
});

test('DESTROY ends a guest; the server hears it when the host ends, once', () => {
  const { attach, relay, link, foreign } = boot();
  const [one, two] = [attach(), attach()];
  ok(one.create(1, 'a'));
  expect(one.send('DESTROY', []).errno).toBe(0);
  expect(one.getattr(1)).toBe(EIO);
  expect(foreign.handles.size).toBe(0);
  expect(two.getattr(1)).toMatchObject({ ino: 1 });
  expect(link.sent).not.toContain('DESTROY');
  relay.close();
  expect(link.sent.filter((name) => name === 'DESTROY')).toEqual(['DESTROY']);
  expect([foreign.state, link.isClosed]).toEqual(['destroyed', true]);
});

test('a guest cannot name, release or forget what another holds', () => {
  const { attach, foreign } = boot();
  const [owner, thief] = [attach(), attach()];
  const file = ok(owner.create(1, 'mine'));
  expect(thief.getattr(file.nodeid)).toBe(ESTALE);
  expect(thief.link(file.nodeid, 1, 'stolen')).toBe(ESTALE);
  expect(thief.rename(1, 'mine', file.nodeid, 'x')).toBe(ESTALE);
  thief.forget(file.nodeid, 1000);
  ok(thief.lookup(1, 'mine'));
  expect(thief.release(file.nodeid, file.fh)).toBe(EBADF);
  thief.forget(file.nodeid, 1000);
  expect(foreign.handles.size).toBe(1);
  expect(owner.write(file.nodeid, file.fh, 0, 'x')).toBe(1);
});

test('mappings and locks that wait are ENOSYS, an interrupt goes nowhere', () => {
  const { attach, link } = boot();
  const client = attach();
  link.sent.length = 0;
  expect(client.send('SETUPMAPPING', [bytes(fuse.SetupmappingIn, {})]).errno).toBe(ENOSYS);
  expect(client.send('REMOVEMAPPING', [bytes(fuse.RemovemappingIn, {})]).errno).toBe(ENOSYS);
  expect(client.send('SETLKW', [bytes(fuse.LkIn, {})]).errno).toBe(ENOSYS);
  expect(client.send('INTERRUPT', [bytes(fuse.InterruptIn, {})]).isAnswered).toBe(false);
  expect(client.sendOpcode(999, []).errno).toBe(ENOSYS);
  expect(link.sent).toEqual([]);
});

test('a request that is malformed, or wants more than its guest has room for, is not passed on', () => {
  const { attach, link, lines } = boot();
  const client = attach();
  link.sent.length = 0;
  expect(client.send('LOOKUP', [new Uint8Array([0x61])]).errno).toBe(22);
  expect(client.send('READ', [bytes(fuse.ReadIn, { size: 4097 })], { room: 4096 + 16 }).errno).toBe(22);
  expect(link.sent).toEqual([]);
  expect(lines.length).toBe(2);
});

test('when the server is gone everything is ENOTCONN, with one line', () => {
  const { attach, relay, link, lines } = boot();
  const client = attach();
  const file = ok(client.create(1, 'a'));
  link.isGone = true;
  expect(client.getattr(1)).toBe(ENOTCONN);
  expect(client.write(file.nodeid, file.fh, 0, 'x')).toBe(-ENOTCONN);
  client.forget(file.nodeid, 1);
  expect(client.send('INIT', [bytes(fuse.InitIn, { major: 7, minor: 45 })]).errno).toBe(ENOTCONN);
  client.session.close();
  relay.close();
  expect(lines).toEqual(['error fuse:fake: it has left']);
});

test('a server of another major is refused, and so is a reply that breaks the protocol', () => {
  const { attach, link, lines } = boot();
  link.tamper = (opcode, reply, size) => {
    if (opcode === OPS.INIT.code) fuse.InitOut.major.set(reply, OUT_HEADER_SIZE, 8);
    if (opcode === OPS.GETATTR.code) fuse.OutHeader.error.set(reply, 0, 7);
    return opcode === OPS.LOOKUP.code ? OUT_HEADER_SIZE + 3 : size;
  };
  expect(() => attach()).toThrow(`${EPROTO}`);
  const intact = boot();
  const client = intact.attach();
  intact.link.tamper = link.tamper;
  expect(client.getattr(1)).toBe(EIO);
  ok(client.mkdir(1, 'd'));
  expect(client.lookup(1, 'd')).toBe(EIO);
  expect(lines).toEqual(['error fuse:fake: the server speaks FUSE 8, not 7']);
  expect(intact.lines).toEqual([
    'error fuse:fake: a reply of 120 bytes with error 7',
    'warn client: EIO: a reply of 3 bytes',
  ]);
});

test('a nodeid or handle that no guest can name is given back at once', () => {
  const { attach, link } = boot();
  const client = attach();
  ok(client.mkdir(1, 'd'));
  link.tamper = (opcode, reply, size) => {
    const at = OUT_HEADER_SIZE + (opcode === OPS.LOOKUP.code ? fuse.EntryOut.nodeid.offset : fuse.OpenOut.fh.offset);
    if (opcode === OPS.LOOKUP.code || opcode === OPS.OPENDIR.code) reply.setUint32(at + 4, ABOVE_2_53, true);
    return size;
  };
  const given: bigint[] = [];
  link.intercept = (opcode, request) => {
    if (opcode === OPS.FORGET.code) given.push(request.getBigUint64(16, true));
    if (opcode === OPS.RELEASEDIR.code) given.push(request.getBigUint64(40, true));
    return undefined;
  };
  expect(client.lookup(1, 'd')).toBe(EIO);
  expect(client.opendir(1)).toBe(-EIO);
  expect(given.map((id) => id >> 32n)).toEqual([BigInt(ABOVE_2_53), BigInt(ABOVE_2_53)]);
});

test('"." and ".." count no lookup in READDIRPLUS, whatever nodeid they have', () => {
  const { mount, link, foreign, relay } = boot();
  const { guest } = mount();
  guest.mkdir('/d');
  guest.writeFile('/d/file', 'x');
  guest.dropCaches();
  link.tamper = (opcode, reply, size) => {
    // The first record is "." of the directory that was asked about.
    if (opcode === OPS.READDIRPLUS.code && size > OUT_HEADER_SIZE) reply.setUint32(OUT_HEADER_SIZE, 2, true);
    return size;
  };
  expect(guest.readdir('/d')).toEqual(['file']);
  const known = guest.mount.inodes.count - 1;
  expect([relay.held, foreign.lookups.size]).toEqual([known, known]);
  link.sent.length = 0;
  guest.unmount();
  expect(link.sent.filter((name) => name.endsWith('FORGET')).length).toBeGreaterThan(0);
  expect([relay.held, foreign.lookups.size]).toEqual([0, 0]);
});

test.each(['CREATE', 'READDIRPLUS', 'LSEEK', 'OPEN', 'OPENDIR', 'FLUSH', 'FSYNC', 'RENAME2', 'FALLOCATE'] as const)(
  'a server without %s is asked for it once, and the guest gets by without',
  (lacking: OpName) => {
    const { mount, link, foreign, relay } = boot();
    link.intercept = (opcode) => (opcode === OPS[lacking].code ? ENOSYS : undefined);
    const { guest } = mount();
    for (const name of ['/a', '/b']) {
      guest.writeFile(name, 'content');
      guest.mkdir(`${name}d`);
      guest.writeFile(`${name}d/inside`, 'more');
      const file = guest.open(name, 'r+');
      expect(file.seek(0, 'data')).toBe(0);
      expect(file.seek(0, 'hole')).toBe(7);
      expect(codeOf(() => file.seek(7, 'data'))).toBe('ENXIO');
      file.sync();
      expect(codeOf(() => file.allocate(0, 7))).toBe(lacking === 'FALLOCATE' ? 'ENOTSUP' : 'OK');
      file.close();
      const renaming = () => guest.rename(name, `${name}2`, { noReplace: true });
      expect(codeOf(renaming)).toBe(lacking === 'RENAME2' ? 'EINVAL' : 'OK');
      guest.dropCaches();
      expect(guest.readdir(`${name}d`)).toEqual(['inside']);
      expect(guest.readFile(`${name}d/inside`, 'utf8')).toBe('more');
    }
    expect(link.sent.filter((name) => name === lacking).length).toBe(1);
    guest.unmount();
    expect([foreign.lookups.size, foreign.handles.size, relay.held]).toEqual([0, 0, 0]);
  },
);

test('a name that is not there is remembered by nobody', () => {
  const { attach, relay } = boot();
  const client = attach();
  expect(client.lookup(1, 'nobody')).toBe(ENOENT);
  expect(relay.held).toBe(0);
});
