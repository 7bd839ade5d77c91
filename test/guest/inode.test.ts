/** What a host may say about an inode, and what the guest makes of it: a scripted host that counts lookups. */
import { expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { Guest } from '../../src/guest/guest.ts';
import { Mount } from '../../src/guest/mount.ts';
import { ENOENT, ESTALE, OK } from '../../src/wire/errno.ts';
import * as fuse from '../../src/wire/fuse.ts';
import { S_IFDIR, S_IFREG } from '../../src/wire/mode.ts';
import { OPS } from '../../src/wire/ops.ts';
import type { DeepPartial, Values } from '../../src/wire/struct.ts';
import { type Answer, StubChannel } from '../fakes/stub-channel.ts';
import { codeOf } from './world.ts';

type Entry = DeepPartial<Values<typeof fuse.EntryOut>>;

/** Every LOOKUP is answered with `host.entry`; `host.owed` counts lookups given less lookups taken back. */
function boot(entry: Entry) {
  const host = { entry, owed: new Map<number, number>(), attr: { mode: S_IFDIR | 0o755 } };
  const count = (nodeid: number, n: number) => host.owed.set(nodeid, (host.owed.get(nodeid) ?? 0) + n);
  const answer: Answer = (sent, self) => {
    if (sent.opcode === OPS.INIT.code) return self.answer(fuse.InitOut, { major: 7, minor: 45, max_write: 65536 });
    if (sent.opcode === OPS.GETATTR.code) return self.answer(fuse.AttrOut, { attr: host.attr });
    if (sent.opcode === OPS.FORGET.code) count(sent.nodeid, -fuse.ForgetIn.nlookup.get(sent.args, 0));
    if (sent.opcode === OPS.BATCH_FORGET.code) {
      for (let at = 8; at < sent.args.byteLength; at += 16) {
        count(fuse.ForgetOne.nodeid.get(sent.args, at), -fuse.ForgetOne.nlookup.get(sent.args, at));
      }
    }
    if (sent.opcode !== OPS.LOOKUP.code) return OK;
    if (host.entry.nodeid === undefined) return ENOENT;
    count(host.entry.nodeid, 1);
    return self.answer(fuse.EntryOut, host.entry);
  };
  const channel = new StubChannel(answer);
  const mount = new Mount(channel, undefined, { clock: new ManualClock() });
  expect(mount.session.init()).toBe(OK);
  return { host, channel, mount, guest: new Guest(mount) };
}

const FILE = { nodeid: 7, attr: { mode: S_IFREG | 0o644, size: 5 } };

test('repeated lookups of one inode are given back as one sum', () => {
  const { guest, host } = boot({ ...FILE, attr_valid: 100 });
  for (let i = 0; i < 5; i++) guest.stat('/a');
  expect(host.owed.get(7)).toBe(5);
  guest.dropCaches();
  expect(host.owed.get(7)).toBe(0);
});

test('another generation under the same nodeid is another file; all lookups are given back', () => {
  const { guest, host, mount } = boot({ ...FILE, attr_valid: 100 });
  guest.stat('/a');
  const before = mount.namei.inode;
  host.entry = { ...FILE, generation: 1, attr: { mode: S_IFREG, size: 9 } };
  host.attr = { mode: S_IFREG };
  guest.stat('/a');
  expect(mount.namei.inode).not.toBe(before);
  expect(before.state).toBe('forgotten');
  guest.unmount();
  expect(host.owed.get(7)).toBe(0);
});

test('a file whose type changed under us is stale: EIO, then looked up anew', () => {
  const { guest, host, mount } = boot(FILE);
  host.attr = { mode: S_IFDIR };
  expect(codeOf(() => guest.stat('/a'))).toBe('EIO');
  host.entry = { nodeid: 7, attr: { mode: S_IFDIR | 0o755 } };
  expect(guest.stat('/a').isDirectory()).toBe(true);
  mount.checkInvariants();
  guest.unmount();
  expect(host.owed.get(7)).toBe(0);
});

test('an entry without a type is EIO, and its lookup is given back', () => {
  const { guest, host } = boot({ nodeid: 7, attr: { mode: 0 } });
  expect(codeOf(() => guest.stat('/a'))).toBe('EIO');
  guest.dropCaches();
  expect(host.owed.get(7)).toBe(0);
});

test('an older reply does not overwrite newer attributes', () => {
  const { guest, mount } = boot({ ...FILE, attr_valid: 100 });
  guest.stat('/a');
  const { inode } = mount.namei;
  const version = mount.inodes.version;
  mount.inodes.grow(inode, 500);
  mount.names.lookup(1 as never, 'a' as never);
  mount.inodes.accept(mount.channel.reply, version);
  expect(inode.size).toBe(500);
});

test('a directory that became its own ancestor on the host is ELOOP, not a cycle here', () => {
  const { guest, host, mount } = boot({ nodeid: 2, entry_valid: 100, attr: { mode: S_IFDIR | 0o755 } });
  guest.stat('/x');
  host.entry = { nodeid: 3, entry_valid: 100, attr: { mode: S_IFDIR | 0o755 } };
  guest.stat('/x/y');
  host.entry = { nodeid: 2, attr: { mode: S_IFDIR | 0o755 } };
  expect(codeOf(() => guest.stat('/x/y/x'))).toBe('ELOOP');
  mount.checkInvariants();
  guest.unmount();
  expect([host.owed.get(2), host.owed.get(3)]).toEqual([0, 0]);
});

test('ESTALE makes the walk start again, asking for every name', () => {
  const { guest, channel } = boot({ nodeid: 2, entry_valid: 100, attr: { mode: S_IFDIR | 0o755 } });
  guest.stat('/x');
  const call = channel.call.bind(channel);
  let isFirst = true;
  channel.call = () => {
    if (channel.request.opcode !== OPS.LOOKUP.code || !isFirst) return call();
    isFirst = false;
    return ESTALE;
  };
  expect(codeOf(() => guest.stat('/x/y'))).toBe('ELOOP');
  expect(channel.of(OPS.LOOKUP.code).length).toBe(3);
});
