import { afterEach, describe, expect, test } from 'vitest';
import { CPU_EPOCH, CPU_FAULT_STATE, CPU_LIVE, CPU_STATE } from '../../assembly/layout.ts';
// The bundle, not the sources: a worker's file has to be JavaScript.
import type { CreateHostOptions, Host } from '../../src/index.ts';

const { createHost, mount }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const MIB = 1 << 20;
const hosts: Host[] = [];

async function start(options: CreateHostOptions = {}): Promise<Host> {
  const host = await createHost({ cacheSize: 16 * MIB, windowSize: 8 * MIB, guests: 1, log: () => {}, ...options });
  hosts.push(host);
  return host;
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.terminate();
});

async function waitFor(isTrue: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!isTrue()) {
    if (Date.now() > end) throw new Error('waited too long');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe('a guest whose slot has gone to another', () => {
  test('unmounts without ending the other one', async () => {
    const host = await start();
    const attachment = host.attach();
    const zombie = mount(attachment);
    host.detach(attachment);
    await waitFor(() => host.guests === 0);
    const next = mount(host.attach());
    next.writeFile('/kept', 'x');
    zombie.unmount();
    const words = new Int32Array(attachment.memory.buffer);
    expect(words[((host.map.slots[0]?.cpuAt ?? 0) + CPU_STATE) >> 2]).toBe(CPU_LIVE);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(next.readFile('/kept', 'utf8')).toBe('x');
    next.unmount();
  });

  test("does not take the next one's pins back when it lets its own views go", async () => {
    const host = await start();
    const attachment = host.attach();
    const zombie = mount(attachment);
    zombie.writeFile('/page', new Uint8Array(8192));
    const stale = zombie.open('/page', 'r+').mmap({ length: 8192, writable: true });
    const view = stale.view(0, 4096);
    host.detach(attachment);
    await waitFor(() => host.guests === 0);
    const next = mount(host.attach());
    const kept = next.open('/page', 'r+').mmap({ length: 8192, writable: true }).view(0, 4096);
    const pins = new Int32Array(attachment.memory.buffer, host.map.slots[0]?.pinsAt ?? 0, 4);
    const before = [...pins];
    view.release();
    expect(() => stale.view(0, 4096)).toThrow(expect.objectContaining({ code: 'ENOTCONN' }));
    expect([...pins]).toEqual(before);
    kept.release();
    expect([...pins]).toEqual([0, 0, 0, 0]);
    next.unmount();
  });

  test('does not take the answer to the fault of the other one, however late it comes', async () => {
    const host = await start();
    const attachment = host.attach();
    mount(attachment);
    const at = ((host.map.slots[0]?.cpuAt ?? 0) + CPU_FAULT_STATE) >> 2;
    const words = new Int32Array(attachment.memory.buffer);
    const idle = words[at];
    host.detach(attachment);
    await waitFor(() => host.guests === 0);
    // Each guest of a slot has words of its own: the zombie's compare-and-swap finds none that it knows.
    expect(words[at]).not.toBe(idle);
    const next = mount(host.attach());
    next.writeFile('/page', new Uint8Array(8192).fill(7));
    expect(next.open('/page', 'r+').mmap({ length: 8192, writable: true }).loadU32(0)).toBe(0x07070707);
    next.unmount();
  });
});

test('a guest that is stuck inside an access does not keep the host from stopping', async () => {
  const host = await start();
  const attachment = host.attach();
  const guest = mount(attachment);
  guest.writeFile('/page', new Uint8Array(8192));
  guest.open('/page', 'r+').mmap({ length: 8192, writable: true }).storeU32(0, 1);
  Atomics.add(new Int32Array(attachment.memory.buffer), ((host.map.slots[0]?.cpuAt ?? 0) + CPU_EPOCH) >> 2, 1);
  expect(await host.stop()).toBeDefined();
});

describe('a host that does not come up', () => {
  test('leaves no worker behind when it was aborted before its worker was there', async () => {
    const { Worker } = await import('node:worker_threads');
    const controller = new AbortController();
    const worker = new Worker(new URL('../../dist/host-worker.js', import.meta.url));
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    const made = createHost({
      signal: controller.signal,
      worker: () => {
        controller.abort();
        return worker;
      },
    });
    await expect(made).rejects.toMatchObject({ name: 'AbortError' });
    await exited;
  });

  test('says that it was aborted, not that its worker ended', async () => {
    const { Worker } = await import('node:worker_threads');
    const controller = new AbortController();
    const silent = new Worker('setInterval(() => {}, 1000)', { eval: true });
    const exited = new Promise((resolve) => silent.once('exit', resolve));
    const made = createHost({ signal: controller.signal, worker: () => silent });
    setTimeout(() => controller.abort(), 50);
    await expect(made).rejects.toMatchObject({ name: 'AbortError' });
    await exited;
  });

  test('ends the worker that could not serve', async () => {
    const { Worker } = await import('node:worker_threads');
    const worker = new Worker(new URL('../../dist/host-worker.js', import.meta.url));
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    await expect(createHost({ fs: 'dir:/no/such/place', worker: () => worker })).rejects.toThrow(/no\/such/);
    await exited;
  });
});

test('a slot that a guest has just left is waited for', async () => {
  const host = await start();
  for (let i = 0; i < 200; i++) {
    const guest = mount(host.attach());
    guest.writeFile('/a', String(i));
    guest.unmount();
  }
  const last = mount(host.attach());
  expect(last.readFile('/a', 'utf8')).toBe('199');
  expect(() => host.attach()).toThrow(/all 1 guest slots are taken/);
  last.unmount();
});
