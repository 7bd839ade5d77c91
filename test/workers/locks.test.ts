import { afterEach, describe, expect, test } from 'vitest';
// The bundle, not the sources: a worker's file has to be JavaScript.
import type { CreateHostOptions, Host } from '../../src/index.ts';
import { runGuest } from './run-guest.ts';

const { createHost, mount }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const GUESTS = 4;
const ROUNDS = 500;
const hosts: Host[] = [];

async function start(options: CreateHostOptions = {}): Promise<Host> {
  const host = await createHost({ cacheSize: 16 << 20, windowSize: 4 << 20, guests: 5, log: () => {}, ...options });
  hosts.push(host);
  const guest = mount(host.attach());
  guest.writeFile('/f', new Uint8Array(4));
  guest.unmount();
  return host;
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.terminate();
});

/** Says "waiting", waits for the lock, says "locked", and keeps it as long as it lives. */
const WAITS = `
  const file = guest.open('/f', 'r+');
  say('waiting');
  file.lock({ type: 'exclusive', wait: true });
  say('locked');`;
const KEEPS = `${WAITS}
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);`;

describe('four guests that count in one file under a lock', () => {
  test.each([
    ['of bytes', `file.lock({ type: 'exclusive', length: 4, wait: true })`, `file.lock({ type: 'unlock' })`],
    [
      'of the open file',
      `file.lock({ type: 'exclusive', owner: 'file', wait: true })`,
      `file.lock({ type: 'unlock', owner: 'file' })`,
    ],
    ['of flock', `file.flock('exclusive', { wait: true })`, `file.flock('unlock')`],
  ])('%s lose no count', async (_, lock, unlock) => {
    const host = await start();
    const code = `
      const file = guest.open('/f', 'r+');
      const bytes = new Uint8Array(4);
      const view = new DataView(bytes.buffer);
      for (let round = 0; round < data; round++) {
        ${lock};
        file.read(bytes, 0, 4, 0);
        view.setUint32(0, view.getUint32(0) + 1);
        file.write(bytes, 0, 4, 0);
        ${unlock};
      }
      return guest.stats.requests.SETLKW;`;
    const guests = Array.from({ length: GUESTS }, () => runGuest(host, code, ROUNDS));
    for (const guest of guests) expect(await guest.result).toBe(ROUNDS);
    const reader = mount(host.attach());
    const bytes = reader.readFile('/f');
    expect(new DataView(bytes.buffer).getUint32(0)).toBe(GUESTS * ROUNDS);
    reader.unmount();
  });
});

describe('a guest that is killed', () => {
  test('while it has the lock lets the next one go on at once', async () => {
    const host = await start();
    const holder = runGuest(host, KEEPS);
    expect([await holder.said(), await holder.said()]).toEqual(['waiting', 'locked']);
    const next = runGuest(host, WAITS);
    expect(await next.said()).toBe('waiting');
    await pause(20);
    const killed = performance.now();
    await holder.worker.terminate();
    await holder.exited;
    expect(await next.said()).toBe('locked');
    expect(performance.now() - killed).toBeLessThan(500);
    await next.result;
  });

  test('while it waits leaves the queue: the lock goes to the one behind it', async () => {
    const host = await start();
    const holder = mount(host.attach());
    const file = holder.open('/f', 'r+');
    file.lock({ type: 'exclusive' });
    const [first, second] = [runGuest(host, KEEPS), runGuest(host, WAITS)];
    expect([await first.said(), await second.said()]).toEqual(['waiting', 'waiting']);
    await pause(20);
    await first.worker.terminate();
    await first.exited;
    file.lock({ type: 'unlock' });
    expect(await second.said()).toBe('locked');
    await second.result;
    file.lock({ type: 'exclusive', timeoutMs: 5000 });
    holder.unmount();
  });
});

describe('a wait', () => {
  test('with a time limit ends with ETIMEDOUT, and the guest goes on', async () => {
    const host = await start();
    const holder = mount(host.attach());
    holder.open('/f', 'r+').lock({ type: 'exclusive' });
    const waiter = runGuest(
      host,
      `const file = guest.open('/f', 'r+');
       const before = performance.now();
       try { file.lock({ type: 'shared', timeoutMs: 50 }); } catch (error) {
         return [error.code, performance.now() - before, guest.readdir('/').length];
       }`,
    );
    const [code, ms, count] = (await waiter.result) as [string, number, number];
    expect([code, count]).toEqual(['ETIMEDOUT', 1]);
    expect(ms).toBeGreaterThanOrEqual(50);
    holder.unmount();
  });

  test('that could not end is EDEADLK for one of two guests, and a lock for the other', async () => {
    const host = await start();
    const code = `
      const file = guest.open('/f', 'r+');
      file.lock({ type: 'exclusive', start: data, length: 1 });
      say('ready');
      while (!guest.exists('/go'));
      try {
        file.lock({ type: 'exclusive', start: 1 - data, length: 1, wait: true });
        return 'locked';
      } catch (error) {
        return error.code;
      }`;
    const guests = [runGuest(host, code, 0), runGuest(host, code, 1)];
    for (const guest of guests) await guest.said();
    const starter = mount(host.attach());
    starter.writeFile('/go', '');
    expect((await Promise.all(guests.map((guest) => guest.result))).sort()).toEqual(['EDEADLK', 'locked']);
    starter.unmount();
  });

  test('is ended by the end of the host', async () => {
    const host = await start();
    const holder = runGuest(host, KEEPS);
    await holder.said();
    await holder.said();
    const waiter = runGuest(host, WAITS);
    await waiter.said();
    await pause(20);
    await host.terminate();
    await expect(waiter.result).rejects.toMatchObject({ code: 'ENOTCONN' });
    await holder.worker.terminate();
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
