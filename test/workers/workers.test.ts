import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
// The bundle, not the sources: a worker's file has to be JavaScript.
import type { CreateHostOptions, Host } from '../../src/index.ts';
import { runGuest } from './run-guest.ts';

const { createHost, mount }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const MIB = 1 << 20;
const hosts: Host[] = [];

async function start(options: CreateHostOptions = {}): Promise<Host> {
  const host = await createHost({ cacheSize: 32 * MIB, windowSize: 8 * MIB, guests: 4, log: () => {}, ...options });
  hosts.push(host);
  return host;
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.terminate();
});

describe('guests in workers of their own', () => {
  test('see one live tree: what one wrote, the next reads through its window', async () => {
    const host = await start();
    const writer = runGuest(host, `guest.mkdir('/a'); guest.writeFile('/a/b', 'x'.repeat(100000));`);
    await writer.result;
    const reader = runGuest(host, `return [guest.readFile('/a/b', 'utf8').length, guest.stats.requests.READ ?? 0];`);
    expect(await reader.result).toEqual([100000, 0]);
  });

  test('share a mapped page: stores of one are loads of the other, without any message', async () => {
    const host = await start();
    const creator = mount(host.attach());
    creator.writeFile('/page', new Uint8Array(4096));
    const code = `
      const file = guest.open('/page', 'r+');
      const page = file.mmap({ length: 4096, writable: true });
      // Turns: each waits for its own number, then passes the turn on.
      for (let round = 0; round < 200; round++) {
        while (page.loadU32(0) !== round * 2 + data);
        page.add32(4, 1);
        page.storeU32(0, round * 2 + data + 1);
      }`;
    const [one, two] = [runGuest(host, code, 0), runGuest(host, code, 1)];
    await Promise.all([one.result, two.result]);
    const bytes = creator.readFile('/page');
    expect(new DataView(bytes.buffer).getUint32(4, true)).toBe(400);
    creator.unmount();
  });

  test('append to one file at once without losing or tearing a record', async () => {
    const host = await start();
    const code = `
      const log = guest.open('/log', 'a');
      for (let i = 0; i < 500; i++) log.write(new TextEncoder().encode((data + ':' + i).padEnd(15) + '\\n'));`;
    await Promise.all([0, 1, 2].map((self) => runGuest(host, code, self).result));
    const reader = mount(host.attach());
    const lines = reader
      .readFile('/log', 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => line.trim());
    expect(lines.length).toBe(1500);
    for (const self of [0, 1, 2]) {
      const own = lines.filter((line) => line.startsWith(`${self}:`));
      expect(own).toEqual(Array.from({ length: 500 }, (_, i) => `${self}:${i}`));
    }
    reader.unmount();
  });
});

describe('a guest that dies', () => {
  test('in the middle of its work leaves nothing behind, and the others go on', async () => {
    const host = await start();
    const survivor = mount(host.attach());
    survivor.writeFile('/shared', new Uint8Array(3 * MIB));
    const before = survivor.statfs();
    for (let round = 0; round < 5; round++) {
      const victim = runGuest(
        host,
        `const file = guest.open('/shared', 'r+');
         const map = file.mmap({ length: 3 << 20, writable: true });
         const view = map.view(0, 8192);
         say('working');
         for (let i = 0; ; i++) { map.storeU32((i * 4096) % (3 << 20), i); file.stat(); guest.readdir('/'); }`,
      );
      await victim.said();
      await new Promise((resolve) => setTimeout(resolve, 3));
      await victim.worker.terminate();
      await victim.exited;
      survivor.writeFile(`/after-${round}`, 'still here');
    }
    expect(survivor.readdir('/').length).toBe(6);
    expect(survivor.statfs().bfree).toBeLessThanOrEqual(before.bfree);
    survivor.unlink('/shared');
    survivor.unmount();
    await waitFor(() => host.guests === 0);
    const report = await host.stop();
    // The root alone is in core: no lookup, handle or mapping of the dead holds anything.
    expect(report?.inodes).toBe(1);
  });

  test('gives its slot back for the next guest', async () => {
    const host = await start({ guests: 1 });
    for (let round = 0; round < 3; round++) {
      const guest = runGuest(host, `say('here'); for (;;) guest.stat('/');`);
      await guest.said();
      expect(() => host.attach()).toThrow(/all 1 guest slots are taken/);
      await guest.worker.terminate();
      await guest.exited;
      await waitFor(() => host.guests === 0);
    }
  });
});

describe('a guest that is said to be dead and is not (a browser lets a terminated worker run on)', () => {
  test("finds that its slot is gone, before and after the slot is another guest's", async () => {
    const host = await start({ guests: 1 });
    const attachment = host.attach();
    const zombie = mount(attachment);
    zombie.writeFile('/page', new Uint8Array(8192).fill(7));
    const mapping = zombie.open('/page', 'r+').mmap({ length: 8192, writable: true });
    expect(mapping.loadU32(0)).toBe(0x07070707);
    host.detach(attachment);
    await waitFor(() => host.guests === 0);
    expect(() => zombie.stat('/')).toThrow(expect.objectContaining({ code: 'ENOTCONN' }));
    expect(() => mapping.storeU32(0, 1)).toThrow(expect.objectContaining({ code: 'ENOTCONN' }));
    const next = mount(host.attach());
    expect(() => mapping.storeU32(0, 1)).toThrow(expect.objectContaining({ code: 'ENOTCONN' }));
    expect(() => zombie.writeFile('/page', 'x')).toThrow(expect.objectContaining({ code: 'ENOTCONN' }));
    expect(next.readFile('/page')).toEqual(new Uint8Array(8192).fill(7));
    next.unmount();
  });
});

describe('a host that ends', () => {
  test('writes what guests stored through their windows to the directory it served', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'virtiofs-served-'));
    writeFileSync(join(directory, 'file'), Buffer.alloc(10_000));
    const host = await start({ fs: `dir:${directory}`, writeBackMs: 60_000 });
    const guest = mount(host.attach());
    const file = guest.open('/file', 'r+');
    const mapping = file.mmap({ length: 10_000, writable: true });
    mapping.write(5000, new TextEncoder().encode('stored in place'));
    await host.stop();
    expect(readFileSync(join(directory, 'file')).subarray(5000, 5015).toString()).toBe('stored in place');
    rmSync(directory, { recursive: true });
  });

  test('by a timer writes back without being asked', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'virtiofs-served-'));
    writeFileSync(join(directory, 'file'), Buffer.alloc(100));
    const host = await start({ fs: `dir:${directory}`, writeBackMs: 50 });
    const guest = mount(host.attach());
    using file = guest.open('/file', 'r+');
    using mapping = file.mmap({ length: 100, writable: true });
    mapping.storeU32(8, 0x01020304);
    await waitFor(() => readFileSync(join(directory, 'file')).readUInt32LE(8) === 0x01020304);
    rmSync(directory, { recursive: true });
  });

  test('answers its guests: a call after the end is ENOTCONN, not a hang', async () => {
    const host = await start();
    const guest = mount(host.attach());
    guest.writeFile('/x', 'y');
    await host.stop();
    expect(() => guest.stat('/y')).toThrow(expect.objectContaining({ code: 'ENOTCONN' }));
  });

  test('by being killed wakes guests that wait', async () => {
    const host = await start();
    const guest = runGuest(host, `say('here'); for (;;) guest.writeFile('/x', 'y');`);
    await guest.said();
    await host.terminate();
    await expect(guest.result).rejects.toMatchObject({ code: 'ENOTCONN' });
  });
});

describe('what cannot be', () => {
  test.each([
    [{ windowSize: 1 * MIB }, /windowSize is 1048576: it must be 0 \(no DAX\) or a multiple of 2 MiB/],
    [{ guests: 0 }, /guests is 0/],
    [{ cacheSize: 1 }, /cacheSize is 1/],
    [{ cacheSize: 5 * 2 ** 30 }, /does not fit into 4 GiB/],
    [{ queueSize: 100 }, /queueSize is 100: it must be a power of two/],
    [{ tag: '' }, /tag must have 1 to 36 bytes/],
    [{ tag: 'a\nb' }, /tag must have 1 to 36 bytes on one line/],
    [{ attrTimeoutMs: -1 }, /attrTimeoutMs is -1/],
    [{ fs: 'floppy:a' }, /unknown file system 'floppy:a'/],
    [{ fs: 'memory:lots' }, /'lots' is not a size/],
    [{ fs: 'dir:' }, /dir: needs a path/],
    [{ fs: 'dir:/does/not/exist' }, /\/does\/not\/exist/],
  ] as [CreateHostOptions, RegExp][])('%j is refused with a message that says why', async (options, message) => {
    await expect(start(options)).rejects.toThrow(message);
  });

  test('an attachment is good for one guest', async () => {
    const host = await start();
    const attachment = host.attach();
    mount(attachment).unmount();
    expect(() => mount(attachment)).toThrow(/used before/);
  });

  test('DAX without a window is refused, and files are read without it', async () => {
    const host = await start({ windowSize: 0 });
    expect(() => mount(host.attach(), { dax: 'always' })).toThrow(/no window/);
    const guest = mount(host.attach());
    guest.writeFile('/x', 'plain');
    expect(guest.readFile('/x', 'utf8')).toBe('plain');
    expect(guest.stats.requests.READ).toBeGreaterThan(0);
    guest.unmount();
  });

  test('an aborted start ends the worker', async () => {
    const controller = new AbortController();
    controller.abort(new Error('not today'));
    await expect(start({ signal: controller.signal })).rejects.toThrow('not today');
  });
});

async function waitFor(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
}
