import { expect, test } from 'vitest';
import type { Guest } from '../../src/guest/guest.ts';
import { type Call, PENDING } from '../../src/host/call.ts';
import type { Inode } from '../../src/host/inode.ts';
import { LockClient, LockRequest } from '../../src/host/lock-client.ts';
import { LockTable } from '../../src/host/lock-table.ts';
import * as e from '../../src/wire/errno.ts';
import { OpenOut } from '../../src/wire/fuse.ts';
import { type Fh, FUSE_ROOT_ID, type NodeId } from '../../src/wire/ids.ts';
import { F_WRLCK, O_RDWR } from '../../src/wire/mode.ts';
import { OPS } from '../../src/wire/ops.ts';
import { createInline } from '../../src/worker/inline.ts';

const boot = () => createInline({ cacheSize: 4 << 20, windowSize: 4 << 20, guests: 4 });

function openRaw(guest: Guest, nodeid: NodeId): Fh {
  const { files, channel } = guest.mount;
  expect(files.open(OPS.OPEN.code, nodeid, O_RDWR, 0)).toBe(0);
  return OpenOut.fh.get(channel.view, channel.reply) as Fh;
}

function nodeidOf(guest: Guest, path: string): NodeId {
  guest.stat(path);
  return guest.mount.namei.inode.nodeid;
}

test('a handle that one CPU opened is valid in all CPUs of the guest, and in no other guest', async () => {
  const host = await boot();
  const one = host.mount();
  const two = host.mount({ guest: one });
  const stranger = host.mount();
  one.writeFile('/a', 'x');
  const nodeid = nodeidOf(one, '/a');
  const fh = openRaw(one, nodeid);
  expect(two.mount.files.fsync(OPS.FSYNC.code, nodeid, fh, false)).toBe(e.OK);
  expect(stranger.mount.files.fsync(OPS.FSYNC.code, nodeid, fh, false)).toBe(e.ESTALE);
  // The CPU that opened it leaves: the handle stays, and keeps the inode.
  one.unmount();
  host.step();
  expect(two.mount.files.fsync(OPS.FSYNC.code, nodeid, fh, false)).toBe(e.OK);
  two.mount.files.release(OPS.RELEASE.code, nodeid, fh, 0);
  expect(two.mount.files.fsync(OPS.FSYNC.code, nodeid, fh, false)).toBe(e.ESTALE);
  two.unmount();
  stranger.unmount();
  host.core.server.checkInvariants();
  expect(host.stop().inodes).toBe(1);
});

test('handles and locks go with the last CPU of a guest, lookups and mappings with each', async () => {
  const host = await boot();
  const one = host.mount();
  const two = host.mount({ guest: one });
  const other = host.mount();
  one.writeFile('/a', 'x');
  const file = one.open('/a', 'r+');
  file.lock({ type: 'exclusive' });
  const theirs = other.open('/a', 'r+');
  const isFree = () => theirs.getLock('exclusive') === null;
  expect(isFree()).toBe(false);
  host.detach(one);
  expect(isFree()).toBe(false);
  const { server } = host.core;
  server.checkInvariants();
  const [left] = [...server.sessions].filter((session) => session.locks.count > 0);
  expect([left?.handles.size, left?.lookups.size]).toEqual([1, 0]);
  host.detach(two);
  expect(isFree()).toBe(true);
  server.checkInvariants();
  theirs.close();
  other.unmount();
  host.stop();
});

test('a wait is interrupted, or given up, for the CPU that asked: its sibling numbers requests alike', () => {
  const table = new LockTable();
  const [guest, other] = [new LockClient(), new LockClient()];
  const inode = {} as Inode;
  const cpus = [{}, {}, {}] as const;
  const answers: string[] = [];
  const ask = (owner: number) => Object.assign(new LockRequest(), { type: F_WRLCK, ownerLow: owner, pid: owner });
  table.set(other, inode, ask(9));
  cpus.forEach((cpu, i) => {
    const complete = (errno: number) => answers.push(`cpu ${i}: ${errno}`);
    const call = { request: new DataView(new ArrayBuffer(40)), defer: () => ({ complete }) } as unknown as Call;
    expect(table.setOrWait(guest, inode, ask(i), call, cpu)).toBe(PENDING);
  });
  table.interrupt(guest, 0, 0, cpus[1]);
  table.cancel(guest, cpus[2]);
  expect(answers).toEqual([`cpu 1: ${e.EINTR}`, `cpu 2: ${e.ENOTCONN}`]);
  table.checkInvariants();
  table.clear(other);
  expect(answers).toEqual([`cpu 1: ${e.EINTR}`, `cpu 2: ${e.ENOTCONN}`, 'cpu 0: 0']);
});

test('record locks of two processes on two CPUs of a guest exclude each other', async () => {
  const host = await boot();
  const one = host.mount();
  const two = host.mount({ guest: one });
  one.writeFile('/a', 'x');
  const [mine, theirs] = [one.open('/a', 'r+'), two.open('/a', 'r+')];
  mine.lock({ type: 'exclusive', length: 1 });
  expect(() => theirs.lock({ type: 'shared', length: 1 })).toThrow('EAGAIN');
  mine.close();
  theirs.lock({ type: 'shared', length: 1 });
  expect(nodeidOf(one, '/')).toBe(FUSE_ROOT_ID);
  one.unmount();
  two.unmount();
  host.stop();
});
