/** The notification queue between two real ends of it: which messages lie there, when, and when none is needed. */
import { describe, expect, test } from 'vitest';
import { bytesOfText } from '../../src/base/bytes.ts';
import { InlineDoorbell } from '../../src/base/doorbell.ts';
import { NotifyQueue } from '../../src/guest/notify-queue.ts';
import { GuestTarget, NOTIFY_BUF_SIZE } from '../../src/host/guest-target.ts';
import { formatNotify } from '../../src/wire/format.ts';
import type { NodeId } from '../../src/wire/ids.ts';
import { createInline } from '../../src/worker/inline.ts';
import { makePair, segments } from '../virtio/pair.ts';
import { boot } from './world.ts';

const name = bytesOfText('name');
const [TWO, THREE] = [2 as NodeId, 3 as NodeId];

function world(size = 8) {
  const pair = makePair({ size, buffer: new ArrayBuffer(1 << 17), indirect: false });
  const { session } = boot().client;
  const reasons: string[] = [];
  const bell = new InlineDoorbell();
  const options = { session, queue: pair.device, memory: pair.memory, interrupt: bell };
  const target = new GuestTarget({ ...options, breakDevice: (reason) => reasons.push(reason) });
  let isGone = false;
  const open = () => {
    const place = { memory: pair.memory, at: 1 << 16, bufferSize: NOTIFY_BUF_SIZE };
    return new NotifyQueue({ queue: pair.driver, ...place, kick: bell, bell, isGone: () => isGone });
  };
  const leave = () => {
    isGone = true;
    bell.ring();
  };
  return { ...pair, target, reasons, bell, open, leave };
}

/** Takes everything, as the trace shows it. */
function takeAll(queue: NotifyQueue): string[] {
  const lines: string[] = [];
  for (let size = queue.take(); size >= 0; size = queue.take()) lines.push(formatNotify(queue.message, 0, size));
  return lines;
}

describe('a message', () => {
  test('says what changed, in the words of the protocol, and wakes nobody', () => {
    const { target, open, bell } = world();
    const queue = open();
    expect(queue.isQuiet).toBe(true);
    const seen = bell.seen();
    target.tellInode(TWO, -1, 0);
    target.tellInode(THREE, 4096, 10);
    target.tellEntry(TWO, name);
    target.tellDelete(TWO, THREE, name);
    expect(queue.isQuiet).toBe(false);
    expect(takeAll(queue)).toMatchInlineSnapshot(`
      [
        "tx 0: NOTIFY_INVAL_INODE {ino=2 [-1 +0)}",
        "tx 0: NOTIFY_INVAL_INODE {ino=3 [4096 +10)}",
        "tx 0: NOTIFY_INVAL_ENTRY {parent=2 namelen=4} "name"",
        "tx 0: NOTIFY_DELETE {parent=2 child=3 namelen=4} "name"",
      ]
    `);
    expect(queue.isQuiet).toBe(true);
    expect(bell.seen()).toBe(seen);
  });

  test('of 255 bytes of name fits its buffer', () => {
    const { target, open } = world();
    const queue = open();
    target.tellDelete(TWO, THREE, bytesOfText('n'.repeat(255)));
    expect(takeAll(queue)[0]).toContain('n'.repeat(255));
  });

  test('that an earlier one covers is not sent, until the guest has given a buffer back', () => {
    const { target, open } = world(16);
    const queue = open();
    for (let i = 0; i < 5; i++) target.tellInode(TWO, 100 * i, 100);
    target.tellInode(TWO, -1, 0);
    expect(target.sent).toBe(2);
    for (let i = 0; i < 5; i++) target.tellEntry(TWO, name);
    expect(target.sent).toBe(3);
    target.tellDelete(TWO, THREE, name);
    target.tellDelete(TWO, THREE, name);
    target.tellEntry(TWO, name);
    expect(target.sent).toBe(4);
    target.tellInode(THREE, -1, 0);
    target.tellInode(THREE, 0, 0);
    target.tellInode(THREE, 5, 5);
    expect(target.sent).toBe(6);
    queue.take();
    target.tellInode(TWO, -1, 0);
    target.tellEntry(TWO, name);
    expect(target.sent).toBe(8);
  });

  test('in the last buffer says "everything", whatever it should say; what comes then needs none', () => {
    const { target, open } = world(4);
    const queue = open();
    for (let i = 2; i < 20; i++) target.tellInode(i as NodeId, -1, 0);
    expect(target.sent).toBe(4);
    expect(takeAll(queue).at(-1)).toContain('INC_EPOCH');
    target.tellInode(TWO, -1, 0);
    expect(takeAll(queue)).toHaveLength(1);
  });

  test('in the only buffer that came back says "everything" again', () => {
    const { target, open } = world(4);
    const queue = open();
    for (let i = 2; i < 6; i++) target.tellInode(i as NodeId, -1, 0);
    queue.take();
    target.tellInode(9 as NodeId, -1, 0);
    expect(takeAll(queue).map((line) => line.includes('INC_EPOCH'))).toEqual([false, false, true, true]);
  });

  test('has nowhere to go while no driver has offered a buffer, and after the queue was closed', () => {
    const { target, open, device } = world();
    target.tellInode(TWO, -1, 0);
    expect(target.sent).toBe(0);
    open();
    device.close('reset');
    target.tellInode(TWO, -1, 0);
    expect(target.sent).toBe(0);
  });
});

test('a guest whose host is gone is never quiet: nothing cached may be believed', () => {
  const { open, leave } = world();
  const queue = open();
  leave();
  expect([queue.isQuiet, queue.isOver, queue.take()]).toEqual([false, true, -1]);
});

describe('a driver that breaks the rules of the notification queue', () => {
  test.each([
    ['a buffer that is too small', segments(), segments([1 << 16, NOTIFY_BUF_SIZE - 1]), '0 bytes to read, 511'],
    ['a buffer that only the driver writes', segments([1 << 16, 512]), segments(), '512 bytes to read, 0 to write'],
    ['a buffer with a part to read', segments([1 << 16, 1]), segments([70_000, 512]), '1 bytes to read, 512 to write'],
  ])('%s is found when it is needed', (_, readable, writable, why) => {
    const { target, driver, reasons } = world();
    driver.add(readable, writable, 0);
    driver.publish();
    target.tellInode(TWO, -1, 0);
    expect(reasons).toEqual([expect.stringContaining(why)]);
    expect(target.sent).toBe(0);
  });

  test('a head out of range is found by the queue', () => {
    const { target, memory, ring, device } = world();
    memory.setU16(ring.availAt + 4, 99);
    memory.storeU16(ring.availAt + 2, 1);
    target.tellInode(TWO, -1, 0);
    expect(device.broken).toBe('head 99 is not below the queue size 8');
  });

  test('breaks its own device: whoever made the change, and the others, do not notice', async () => {
    const log: string[] = [];
    const host = await createInline({ cacheSize: 8 << 20, guests: 3, log: (_, text) => log.push(text) });
    const [changer, hostile, watcher] = [host.mount(), host.mount(), host.mount()];
    for (const guest of [changer, hostile, watcher]) guest.exists('/a');
    // The queue's own descriptors, made too short for any message.
    const { notifyAt } = host.map.slots[1] as { notifyAt: number };
    const { ringsAt, ringsSize } = host.map.slots[1] as { ringsAt: number; ringsSize: number };
    const view = new DataView(host.memory.buffer);
    for (let at = ringsAt; at < ringsAt + ringsSize; at += 16) {
      const address = view.getUint32(at, true);
      if (address >= notifyAt && address < ringsAt) view.setUint32(at + 8, 8, true);
    }
    changer.writeFile('/a', 'x');
    expect(watcher.readFile('/a', 'utf8')).toBe('x');
    expect(log).toEqual(['device needs reset: a notification buffer has 0 bytes to read, 8 to write']);
    expect(() => hostile.stat('/')).toThrow('ENOTCONN');
    changer.unlink('/a');
    expect(watcher.exists('/a')).toBe(false);
    expect(host.stop().inodes).toBe(1);
  });
});

describe('a guest that leaves', () => {
  test('is told nothing any more, and who is alone needs no telling', async () => {
    const host = await createInline({ cacheSize: 8 << 20, guests: 3 });
    const { announcer, sessions } = host.core.server;
    const [one, two] = [host.mount(), host.mount()];
    const session = [...sessions][0] as Parameters<typeof announcer.isIdleFor>[0];
    expect(announcer.isIdleFor(session)).toBe(false);
    two.unmount();
    while (host.step());
    expect(announcer.isIdleFor(session)).toBe(true);
    const silent = host.mount({ notifications: false });
    expect(announcer.isIdleFor(session)).toBe(true);
    one.writeFile('/a', 'x');
    expect(silent.readFile('/a', 'utf8')).toBe('x');
    expect(host.stop().inodes).toBe(1);
  });
});
