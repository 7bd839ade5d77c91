/**
 * Guests whose workers are terminated at moments that nobody chose: in accesses, faults, requests, waits for locks,
 * while they attach. The others go on, and nothing of the dead is left.
 *
 * KILLS=1000 npx vitest run test/workers/kills.test.ts for long; SEED=… changes what dies when, roughly.
 */
import { afterEach, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
// The bundle, not the sources: a worker's file has to be JavaScript.
import type { Guest, Host } from '../../src/index.ts';
import { type GuestRun, runGuest } from './run-guest.ts';

const { createHost, mount }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const KILLS = Number(process.env['KILLS'] ?? 48);
const SEED = Number(process.env['SEED'] ?? 1);
/** Kills of one host: then it is stopped, and its report says what was left. */
const PER_HOST = 48;
const VICTIMS = 3;
const SIZE = 5 << 20;
const hosts: Host[] = [];

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.terminate();
});

/** Each also has a lock, a view that pins, and a file without a name. */
const HOLDS = `
  const guest = mount(attachment);
  const mine = '/victim-' + data;
  const gone = guest.open(mine, 'w+');
  gone.write(new Uint8Array(20000));
  guest.unlink(mine);
  const file = guest.open('/shared', 'r+');
  file.lock({ type: 'exclusive', start: 100 + data, length: 1 });
  const map = file.mmap({ length: ${SIZE}, writable: true });
  const view = map.view(data * 8192, 8192);
  const page = new Uint8Array(70000);
  say('working');
  for (let i = 0; ; i++) {
    const at = (Math.imul(i, 0x9e3779b1) >>> 4) % ${SIZE - 70000};`;

/** Where a guest may be when it dies. */
const VICTIMS_CODE: Readonly<Record<string, string>> = {
  accesses: `${HOLDS} map.storeU32(at & ~3, i); map.write(at, page); map.add32(at & ~3, 1); map.read(at, page); }`,
  faults: `${HOLDS} file.allocate(at, 65536, 3); map.storeU32(at & ~3, i); map.view(at, 5000).release(); }`,
  requests: `${HOLDS}
    file.stat(); guest.readdir('/'); guest.writeFile(mine, page); guest.rename(mine, mine + '~');
    guest.open(mine + '~').close(); guest.unlink(mine + '~'); }`,
  'a wait for a lock': `${HOLDS} file.lock({ type: 'exclusive', start: 0, length: 1, wait: true }); }`,
  'a wait for a flock': `${HOLDS} file.flock('exclusive', { wait: true }); file.flock('unlock'); }`,
  'sizes and extents': `${HOLDS}
    gone.write(page, 0, 70000, i % 50 * 70000); gone.truncate(i % 7 * 1000);
    guest.appendFile(mine, page.subarray(0, 99)); guest.unlink(mine); }`,
  'taking ranges away': `${HOLDS} map.loadU32(i % 3 * 2097152 % ${SIZE - 4} & ~3); gone.truncate(5000000);
    gone.read(page, 0, 100, i % 3 * 2097152); guest.dropCaches(); }`,
  attaching: `say('working'); mount(attachment).stat('/');`,
};
const KINDS = Object.keys(VICTIMS_CODE);

test(`${KILLS} guests die where they stand: the others go on, and nothing of the dead is left`, async () => {
  const rng = new Prng(SEED);
  for (let killed = 0; killed < KILLS; killed += PER_HOST) {
    await season(rng, Math.min(PER_HOST, KILLS - killed));
  }
}, 1_800_000);

/** One host from its start to its report. */
async function season(rng: Prng, kills: number): Promise<void> {
  const host = await createHost({
    cacheSize: 24 << 20,
    windowSize: 4 << 20,
    guests: VICTIMS + 1,
    attrTimeoutMs: 0,
    log: () => {},
  });
  hosts.push(host);
  const survivor = mount(host.attach());
  survivor.writeFile('/shared', new Uint8Array(SIZE));
  const kept = survivor.open('/shared', 'r+');
  // What some of the victims wait for.
  kept.lock({ type: 'exclusive', start: 0, length: 1 });
  const crew = Array.from({ length: VICTIMS }, (_, i) => send(rng, host, i));
  for (let i = 0; i < kills; i++) {
    const slot = i % VICTIMS;
    await kill(rng, crew[slot] as GuestRun);
    goesOn(survivor, i);
    await until(() => host.guests < VICTIMS + 1);
    crew[slot] = send(rng, host, slot);
  }
  for (const victim of crew) await kill(rng, victim);
  await until(() => host.guests === 1);
  // Whatever the dead had locked is free, and what they held open without a name is gone.
  kept.lock({ type: 'exclusive' });
  kept.flock('exclusive');
  for (const name of survivor.readdir('/')) survivor.unlink(`/${name}`);
  kept.close();
  survivor.unmount();
  await until(() => host.guests === 0);
  const report = await host.stop();
  expect(report?.inodes, 'inodes: the root alone').toBe(1);
  expect(report?.usedFrames, 'frames: the zeros, and leaf tables').toBeLessThanOrEqual(2);
}

/** A victim that dies before it works is one that attaches. */
function send(rng: Prng, host: Host, number: number): GuestRun {
  const kind = rng.pick(KINDS);
  const body = (VICTIMS_CODE[kind] as string).replace('const guest =', 'guest =');
  return runGuest(host, body, number, { mount: 'undefined' });
}

async function kill(rng: Prng, victim: GuestRun): Promise<void> {
  await Promise.race([victim.said(), victim.exited, victim.result.catch(() => {})]);
  const patience = rng.below(4000) / 1000;
  for (const end = performance.now() + patience; performance.now() < end; ) await new Promise(setImmediate);
  await victim.worker.terminate();
  await victim.exited;
  // Not one of them may have failed by itself.
  await Promise.race([victim.result, Promise.resolve()]);
}

function goesOn(survivor: Guest, i: number): void {
  const bytes = new Uint8Array(10_000).fill(i);
  survivor.writeFile('/alive', bytes);
  expect(Buffer.compare(survivor.readFile('/alive'), bytes)).toBe(0);
  const map = survivor.open('/shared', 'r+').mmap({ length: SIZE, writable: true });
  map.storeU32((i * 65536) % SIZE, i);
  expect(map.loadU32((i * 65536) % SIZE)).toBeTypeOf('number');
  map.unmap();
}

async function until(isTrue: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!isTrue()) {
    if (performance.now() > end) throw new Error('waited too long');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
