/** One process, four workers: real threads over its tables, and some of them die. */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { Host } from '../../src/index.ts';
import { type GuestRun, runGuest } from './run-guest.ts';

const { createHost } = (await import(
  new URL('../../dist/index.js', import.meta.url).href
)) as typeof import('../../src/index.ts');

const THREADS = 4;
const RECORD = 16;
const RECORDS = 1500;
const KILLS = Number(process.env['KILLS'] ?? 10);
const SEED = Number(process.env['SEED'] ?? 20);

/** What all bodies have: descriptors 0 (records to write), 1 (records to read), 2 (appended to). */
const PRELUDE = `
  const { memory, control, thread } = data;
  const process = memory === undefined ? guest.spawn({ pid: 9 }) : guest.join(memory);
  const record = (a, b) => new Uint8Array(new Int32Array([a, b, a ^ b, 0x7f7f7f7f]).buffer);
  const fail = (what, outcome) => { throw new Error('thread ' + thread + ': ' + what + ' gave ' + outcome); };
  if (memory === undefined) {
    for (const name of ['w', 'r', 'a']) {
      const fd = process.openat(-100, '/' + name, name === 'a' ? 0o2102 : 0o102, 0o644);
      if (fd < 0) fail('open', fd);
    }
    for (let i = 0; i < ${RECORDS * THREADS}; i++) process.write(1, record(i, 1));
    process.lseek(1, 0, 0);
    say(process.share());
  }
  // All together.
  Atomics.add(control, 0, 1);
  Atomics.notify(control, 0);
  for (let n; (n = Atomics.load(control, 0)) < ${THREADS};) Atomics.wait(control, 0, n);
`;

const WORK = `${PRELUDE}
  const seen = [];
  const buffer = new Uint8Array(${RECORD});
  for (let i = 0; i < ${RECORDS}; i++) {
    const fd = process.dup(0, 3);
    if (fd < 3) fail('dup', fd);
    let outcome = process.write(fd, record(thread, i));
    if (outcome !== ${RECORD}) fail('write', outcome);
    outcome = process.close(fd);
    if (outcome !== 0) fail('close', outcome);
    outcome = process.write(2, record(thread, i));
    if (outcome !== ${RECORD}) fail('append', outcome);
    outcome = process.read(1, buffer);
    if (outcome !== ${RECORD}) fail('read', outcome);
    seen.push(new Int32Array(buffer.buffer)[0]);
    outcome = process.lseek(0, 0, 1);
    if (outcome % ${RECORD} !== 0) fail('lseek', outcome);
    if (i % 50 === 0) {
      const own = process.openat(-100, '/own-' + thread, 0o102, 0o644);
      if (own < 3) fail('open', own);
      if (process.write(own, record(thread, i)) !== ${RECORD}) fail('write of its own', own);
      if (process.close(own) !== 0) fail('close of its own', own);
    }
  }
  process.leave();
  return seen;
`;

/** Until somebody dies, or is seen to have died: whoever finds out first cleans up. */
const DOOMED = `${PRELUDE}
  const buffer = new Uint8Array(${RECORD});
  let turns = 0;
  for (; !process.isOver; turns++) {
    const fd = process.openat(-100, '/w', 2, 0);
    process.dup(0, 5);
    process.read(1, buffer);
    process.lseek(1, 0, 0);
    process.write(2, buffer);
    process.chdir('/');
    if (fd >= 0) process.close(fd);
    for (let other = 5; other < 40; other += 1 + thread) process.close(other);
    if (turns === 20) say('working');
  }
  process.exit();
  return turns;
`;

async function start(host: Host, body: string): Promise<GuestRun[]> {
  const control = new Int32Array(new SharedArrayBuffer(4));
  const first = runGuest(host, body, { control, thread: 0 });
  const memory = await Promise.race([first.said(), first.result]);
  const others = Array.from({ length: THREADS - 1 }, (_, i) => {
    return runGuest(host, body, { memory, control, thread: i + 1 }, { guest: first.attachment });
  });
  return [first, ...others];
}

function recordsOf(bytes: Uint8Array): string[] {
  const words = new Int32Array(bytes.slice().buffer);
  const records: string[] = [];
  for (let i = 0; i < words.length; i += 4) {
    const [a = 0, b = 0, check, mark] = words.subarray(i, i + 4);
    expect([check, mark]).toEqual([a ^ b, 0x7f7f7f7f]);
    records.push(`${a}:${b}`);
  }
  return records.sort();
}

test('offsets that threads share never overlap, and nothing is left when the last one has gone', async () => {
  const host = await createHost({ cacheSize: 32 << 20, windowSize: 16 << 20, guests: THREADS + 1 });
  const runs = await start(host, WORK);
  const seen = (await Promise.all(runs.map(({ result }) => result))) as number[][];
  expect(seen.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: RECORDS * THREADS }, (_, i) => i));
  const reader = runGuest(host, "return { w: guest.readFile('/w'), a: guest.readFile('/a') };");
  const { w, a } = (await reader.result) as { w: Uint8Array; a: Uint8Array };
  const all = Array.from({ length: RECORDS * THREADS }, (_, i) => `${i % THREADS}:${Math.floor(i / THREADS)}`).sort();
  expect(recordsOf(w)).toEqual(all);
  expect(recordsOf(a)).toEqual(all);
  await Promise.all([...runs, reader].map(({ exited }) => exited));
  expect((await host.stop())?.inodes).toBe(1);
}, 60_000);

test(`a thread that is killed takes its process down, and hangs nobody (${KILLS} kills, seed ${SEED})`, async () => {
  const prng = new Prng(SEED);
  const host = await createHost({ cacheSize: 32 << 20, windowSize: 16 << 20, guests: THREADS + 1 });
  for (let round = 0; round < KILLS; round++) {
    const runs = await start(host, DOOMED);
    await Promise.all(runs.map((run) => Promise.race([run.said(), run.result])));
    await new Promise((resolve) => setTimeout(resolve, prng.below(20)));
    const victim = runs[prng.below(THREADS)] as GuestRun;
    await victim.worker.terminate();
    const left = runs.filter((run) => run !== victim);
    for (const turns of await Promise.all(left.map(({ result }) => result))) expect(turns).toBeGreaterThan(20);
    await Promise.all(runs.map(({ exited }) => exited));
  }
  const checker = runGuest(host, "guest.writeFile('/w', 'free'); return guest.open('/w', 'r+').getLock('exclusive');");
  expect(await checker.result).toBe(null);
  await checker.exited;
  expect(host.guests).toBe(0);
  expect((await host.stop())?.inodes).toBe(1);
}, 120_000);
