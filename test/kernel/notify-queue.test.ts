/** What waits for a notifier: against a kernel that is a map, with a ring that is full most of the time. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { MAILBOX_SIZE, Mailbox } from '../../src/transport/kernel/mailbox.ts';
import { NotifyQueue } from '../../src/transport/kernel/notify-queue.ts';
import type { NodeId } from '../../src/wire/ids.ts';

const LIMIT = 300;
const seed = Number(process.env['SEED'] ?? 20261122);

/** Messages are JSON: the queue does not look into them. */
const encoded = (value: unknown) => new TextEncoder().encode(`${JSON.stringify(value)}\n`);

/**
 * Truth is a number per name and per inode, which changes. The kernel believes what it read, until it is told. A
 * message that names an inode's pages makes it forget all; one for attributes, the attributes.
 */
class Kernel {
  readonly names = new Map<string, number>();
  readonly attributes = new Map<number, number>();
  readonly pages = new Map<number, number>();
  heard = 0;

  hear(bytes: Uint8Array): void {
    const text = new TextDecoder().decode(bytes);
    const message = JSON.parse(text.slice(0, text.indexOf('\n'))) as { all?: true; name?: string; inode?: number[] };
    this.heard++;
    if (message.all === true) this.names.clear();
    if (message.name !== undefined) this.names.delete(message.name);
    if (message.inode === undefined) return;
    const [nodeid, pos] = message.inode as [number, number];
    this.attributes.delete(nodeid);
    if (pos >= 0) this.pages.delete(nodeid);
  }
}

function world({ hasAllNames = true, limit = LIMIT } = {}) {
  const box = new Mailbox(new SharedArrayBuffer(MAILBOX_SIZE), 0);
  const kernel = new Kernel();
  const queue = new NotifyQueue({
    box,
    limit,
    inode: (nodeid, pos, size) => encoded({ inode: [nodeid, pos, size] }),
    allNames: () => (hasAllNames ? encoded({ all: true }) : undefined),
    known: () => new Set([...kernel.attributes.keys(), ...kernel.pages.keys()]) as Set<NodeId>,
  });
  /** The notifier writes up to `count` messages. */
  const write = (count: number) => {
    for (; count > 0; count--) {
      const message = box.nextNotify();
      if (message === undefined) return;
      kernel.hear(message);
      box.notified();
    }
  };
  const name = (text: string) => queue.name(text, encoded({ name: text }), () => encoded({ name: text }));
  const drain = () => {
    do write(1000);
    while (queue.hear() || box.nextNotify() !== undefined);
  };
  return { box, kernel, queue, write, name, drain };
}

describe('what waits for the notifier', () => {
  test('is bounded: names without end become one message that says all of them', () => {
    const { kernel, queue, name, drain } = world();
    for (let i = 0; i < 10_000; i++) {
      kernel.names.set(`n${i}`, i);
      name(`n${i}`);
      expect(queue.size).toBeLessThanOrEqual(LIMIT);
    }
    drain();
    expect([kernel.names.size, queue.size, queue.isSweeping]).toEqual([0, 0, false]);
    expect(kernel.heard).toBeLessThan(1000);
  });

  test('is said once, however often it is told; ranges of a file grow together', () => {
    const { box, kernel, queue, name, drain } = world();
    for (let i = 0; i < 256; i++) name(`fill${i}`);
    for (let i = 0; i < 10_000; i++) {
      name('same');
      queue.inode(7 as NodeId, -1, 0);
    }
    expect(queue.size).toBe(2);
    queue.inode(7 as NodeId, 4096, 10);
    queue.inode(7 as NodeId, -1, 0);
    kernel.pages.set(7, 1);
    drain();
    expect([kernel.heard, kernel.pages.size, box.notifiesDone]).toEqual([258, 0, 258]);
  });

  test('who waits is let go when it has been written, not before; behind a sweep too', () => {
    const { queue, name, write, drain } = world();
    const seen: string[] = [];
    queue.whenHeard(() => seen.push('nothing told'));
    for (let i = 0; i < 256 + 10; i++) name(`n${i}`);
    queue.whenHeard(() => seen.push('first'));
    for (let i = 0; i < 1000; i++) name(`m${i}`);
    expect(queue.isSweeping).toBe(true);
    queue.whenHeard(() => seen.push('second'));
    name('behind');
    write(255);
    queue.hear();
    expect(seen).toEqual(['nothing told']);
    drain();
    expect(seen).toEqual(['nothing told', 'first', 'second']);
    name('last');
    queue.whenHeard(() => seen.push('never written'));
    queue.close();
    expect(seen).toEqual(['nothing told', 'first', 'second', 'never written']);
  });

  test('a kernel without a word for all names still hears of every inode', () => {
    const { kernel, queue, name, drain } = world({ hasAllNames: false });
    for (let i = 0; i < 500; i++) {
      kernel.attributes.set(i, 1);
      kernel.pages.set(i, 1);
    }
    for (let i = 0; i < 1000; i++) name(`n${i}`);
    expect(queue.isSweeping).toBe(true);
    drain();
    expect([kernel.attributes.size, kernel.pages.size]).toEqual([0, 0]);
  });

  test(`nothing stale is believed by whoever has waited (SEED=${seed})`, () => {
    const random = new Prng(seed);
    let sweeps = 0;
    for (let round = 0; round < 12; round++) {
      const { kernel, queue, name, write, drain } = world({ limit: 40 });
      const truth = { names: new Map<string, number>(), attributes: new Map<number, number>() };
      const pages = new Map<number, number>();
      let version = 0;
      let waiting = 0;
      for (let step = 0; step < 4000; step++) {
        const nodeid = random.below(random.below(2) === 0 ? 5 : 600);
        const text = `n${random.below(random.below(2) === 0 ? 5 : 5000)}`;
        version++;
        const what = random.below(12);
        if (what < 3) kernel.names.set(text, truth.names.get(text) ?? 0);
        else if (what < 5) {
          kernel.attributes.set(nodeid, truth.attributes.get(nodeid) ?? 0);
          kernel.pages.set(nodeid, pages.get(nodeid) ?? 0);
        } else if (what < 8) {
          truth.names.set(text, version);
          name(text);
        } else if (what < 10) {
          const pos = random.below(3) - 1;
          truth.attributes.set(nodeid, version);
          if (pos >= 0) pages.set(nodeid, version);
          queue.inode(nodeid as NodeId, pos, random.below(2));
        } else if (what === 10) {
          const now = version;
          waiting++;
          // A later change may not have been heard yet: what is believed is then still newer than this moment.
          queue.whenHeard(() => {
            waiting--;
            const isStale = (map: Map<unknown, number>, real: Map<unknown, number>) =>
              [...map].some(([key, seen]) => (real.get(key) ?? 0) > seen && (real.get(key) ?? 0) <= now);
            expect(isStale(kernel.names, truth.names)).toBe(false);
            expect(isStale(kernel.attributes, truth.attributes)).toBe(false);
            expect(isStale(kernel.pages, pages)).toBe(false);
          });
        } else if (random.below(8) === 0) {
          write(random.below(40));
          queue.hear();
        }
        if (queue.isSweeping) sweeps++;
        if (queue.size > 40) expect.fail(`${queue.size} messages wait`);
      }
      drain();
      for (const [key, seen] of kernel.names) expect(seen).toBe(truth.names.get(key) ?? 0);
      for (const [key, seen] of kernel.attributes) expect(seen).toBe(truth.attributes.get(key) ?? 0);
      for (const [key, seen] of kernel.pages) expect(seen).toBe(pages.get(key) ?? 0);
      expect(waiting).toBe(0);
    }
    expect(sweeps).toBeGreaterThan(0);
  });
});
