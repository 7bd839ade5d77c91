/** Who is told of what: a target that writes down what it hears, and clients that change things. */
import { describe, expect, test } from 'vitest';
import { textOfBytes } from '../../src/base/bytes.ts';
import type { NotifyTarget } from '../../src/host/notify.ts';
import type { Session } from '../../src/host/session.ts';
import * as fuse from '../../src/wire/fuse.ts';
import { O_TRUNC, O_WRONLY, RENAME_EXCHANGE } from '../../src/wire/mode.ts';
import { createInline } from '../../src/worker/inline.ts';
import { bytes, type Client } from './client.ts';
import { boot } from './world.ts';

const FILE = 0o100644;
const [FATTR_MODE, FATTR_SIZE] = [1, 8];

class Target implements NotifyTarget {
  readonly session: Session | undefined;
  readonly heard: string[] = [];
  readonly waiting: (() => void)[] = [];

  constructor(session: Session | undefined) {
    this.session = session;
  }
  tellInode(nodeid: number, pos: number, size: number): void {
    this.heard.push(pos < 0 ? `attributes of ${nodeid}` : `bytes of ${nodeid} ${pos}+${size}`);
  }
  tellEntry(parent: number, name: Parameters<NotifyTarget['tellEntry']>[1]): void {
    this.heard.push(`entry ${parent}/${textOfBytes(name)}`);
  }
  tellDelete(parent: number, child: number, name: Parameters<NotifyTarget['tellDelete']>[2]): void {
    this.heard.push(`delete ${parent}/${textOfBytes(name)} ${child}`);
  }
  whenHeard(done: () => void): void {
    this.waiting.push(done);
  }
  /** What it heard since it was asked last. */
  take(): string[] {
    return this.heard.splice(0);
  }
}

/** `client` changes; `kernel` is a client that is told. */
function world() {
  const made = boot();
  const kernel = made.attach();
  kernel.init();
  const target = new Target(kernel.session);
  made.server.announcer.add(target);
  return { ...made, kernel, target };
}

function nodeidOf(client: Client, name: string, parent = 1): number {
  const entry = client.lookup(parent, name);
  if (typeof entry === 'number') throw new Error(`lookup of ${name}: errno ${entry}`);
  return entry.nodeid;
}

describe('a target hears', () => {
  test('of names: made, linked, moved, exchanged and removed, with the directories that hold them', () => {
    const { client, kernel, target, check } = world();
    client.mknod(1, 'a', FILE);
    expect(target.take()).toEqual(['entry 1/a', 'attributes of 1']);
    const a = nodeidOf(kernel, 'a');
    client.link(a, 1, 'b');
    expect(target.take()).toEqual(['entry 1/b', 'attributes of 1', `attributes of ${a}`]);
    client.unlink(1, 'a');
    expect(target.take()).toEqual(['entry 1/a', 'attributes of 1', `attributes of ${a}`]);
    client.mkdir(1, 'd');
    target.take();
    const d = nodeidOf(kernel, 'd');
    client.rename(1, 'b', d, 'c');
    const moved = ['entry 1/b', 'attributes of 1', `entry ${d}/c`, `attributes of ${d}`, `attributes of ${a}`];
    expect(target.take()).toEqual(moved);
    client.symlink(1, 's', 'c');
    target.take();
    client.rename(1, 's', d, 'c', RENAME_EXCHANGE);
    expect(target.take()).toEqual([
      ...['entry 1/s', 'attributes of 1', `entry ${d}/c`, `attributes of ${d}`, `attributes of ${a}`],
    ]);
    client.unlink(1, 's');
    expect(target.take()).toEqual([`delete 1/s ${a}`, 'attributes of 1', `attributes of ${a}`]);
    client.unlink(d, 'c');
    target.take();
    client.rmdir(1, 'd');
    expect(target.take()).toEqual([`delete 1/d ${d}`, 'attributes of 1', `attributes of ${d}`]);
    check();
  });

  test('of bytes and attributes, where they changed', () => {
    const { client, kernel, target, check } = world();
    const made = client.create(1, 'a');
    if (typeof made === 'number') throw new Error(`errno ${made}`);
    expect(target.take()).toEqual(['entry 1/a', 'attributes of 1']);
    client.write(made.nodeid, made.fh, 0, 'nobody knows it');
    expect(target.take()).toEqual([]);
    const a = nodeidOf(kernel, 'a');
    client.write(a, made.fh, 100, 'abc');
    client.setattr(a, { valid: FATTR_SIZE, size: 5 });
    client.setattr(a, { valid: FATTR_MODE, mode: 0o600 });
    client.send('FALLOCATE', [bytes(fuse.FallocateIn, { fh: made.fh, offset: 10, length: 20 })], { nodeid: a });
    client.open(a, O_WRONLY | O_TRUNC);
    client.create(1, 'a', O_WRONLY | O_TRUNC);
    client.create(1, 'a', O_WRONLY);
    expect(target.take()).toEqual([
      ...[`bytes of ${a} 100+3`, `bytes of ${a} 0+0`, `attributes of ${a}`],
      ...[`bytes of ${a} 10+20`, `bytes of ${a} 0+0`, `bytes of ${a} 0+0`],
    ]);
    check();
  });

  test('nothing of what failed, of what it did itself, or of what it does not know', () => {
    const { client, kernel, target, check } = world();
    client.unlink(1, 'missing');
    client.rename(1, 'missing', 1, 'b');
    client.rename(1, '..', 1, 'b');
    expect(target.take()).toEqual([]);
    kernel.mknod(1, 'a', FILE);
    kernel.rename(1, 'a', 1, 'b');
    kernel.unlink(1, 'b');
    expect(target.take()).toEqual([]);
    client.mkdir(1, 'd');
    target.take();
    const d = nodeidOf(client, 'd');
    client.mknod(d, 'deep', FILE);
    expect(target.take()).toEqual([]);
    check();
  });

  test('nothing any more once it has left', () => {
    const { client, server, target } = world();
    server.announcer.remove(target);
    client.mknod(1, 'a', FILE);
    expect(target.take()).toEqual([]);
    expect(server.announcer.isIdleFor(client.session)).toBe(true);
  });
});

describe('the answer to a change', () => {
  test('waits until all who were told have heard', () => {
    const { client, server, target, attach } = world();
    const other = attach();
    other.init();
    const second = new Target(other.session);
    server.announcer.add(second);
    client.mknod(1, 'a', FILE);
    expect(server.announcer.hasTold).toBe(true);
    let released = 0;
    server.announcer.hold(() => released++);
    expect(server.announcer.hasTold).toBe(false);
    target.waiting.pop()?.();
    expect(released).toBe(0);
    second.waiting.pop()?.();
    expect(released).toBe(1);
  });

  test('does not wait if a target asked: two kernels would wait for each other', () => {
    const { kernel, server, attach } = world();
    const other = attach();
    other.init();
    const second = new Target(other.session);
    server.announcer.add(second);
    kernel.mknod(1, 'a', FILE);
    expect(second.take()).toEqual(['entry 1/a', 'attributes of 1']);
    expect(server.announcer.hasTold).toBe(false);
  });

  test('comes to a guest after that, body and all', async () => {
    const host = await createInline({ cacheSize: 8 << 20 });
    const { server } = host.core;
    const target = new Target(server.openSession());
    const guest = host.mount();
    server.announcer.add(target);
    const step = host.step.bind(host);
    let late = 0;
    // Whoever waits is let go one step after the request was served.
    host.step = () => {
      if (target.waiting.length > 0) late++;
      for (const done of target.waiting.splice(0)) done();
      return step();
    };
    guest.writeFile('/a', 'abc');
    expect(target.waiting.length).toBe(0);
    guest.rename('/a', '/b');
    expect(target.waiting.length).toBe(0);
    expect(new TextDecoder().decode(guest.readFile('/b'))).toBe('abc');
    expect(late).toBe(2);
    expect(target.heard).toContain('entry 1/b');
    guest.unmount();
    server.announcer.remove(target);
    target.session?.close();
    expect(host.stop().inodes).toBe(1);
  });
});
