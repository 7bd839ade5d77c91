/** Two guests in threads of their own that believe their caches for ever: what one changes the other sees at once. */
import { expect, test } from 'vitest';
import type { CreateHostOptions } from '../../src/index.ts';
import { runGuest } from './run-guest.ts';

// The bundle, not the sources: a worker's file has to be JavaScript.
const { createHost }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const ROUNDS = 2000;
const FOREVER = { attrTimeoutMs: 1e12, entryTimeoutMs: 1e12, negativeTimeoutMs: 1e12 };

/** One round of each: what the one does, and what the other must then see. `i` counts rounds. */
const CHANGE = `
  const change = [
    () => guest.writeFile('/name' + i, ''),
    () => guest.unlink('/name' + (i - 1)),
    () => guest.truncate('/file', i),
    () => guest.appendFile('/file', 'x'),
    () => guest.chmod('/file', 0o400 + i % 0o400),
    () => guest.rename('/here' + (i >> 3), '/here' + ((i >> 3) + 1)),
    () => guest.link('/file', '/link'),
    () => guest.unlink('/link'),
  ];
  change[i % 8]();`;
const LOOK = `
  const look = [
    () => guest.exists('/name' + i),
    () => !guest.exists('/name' + (i - 1)),
    () => guest.stat('/file').size === i && file.read(buffer, 0, buffer.length, 0) === i,
    () => file.stat().size === i && file.read(buffer, 0, buffer.length, 0) === i,
    () => (guest.stat('/file').mode & 0o777) === 0o400 + i % 0o400,
    () => !guest.exists('/here' + (i >> 3)) && guest.exists('/here' + ((i >> 3) + 1)),
    () => guest.stat('/link').nlink === 2,
    () => guest.stat('/file').nlink === 1 && !guest.exists('/link'),
  ];
  // All of them every time, so that everything is cached when it changes; only one must be so.
  const seen = look.map((see) => { try { return see(); } catch { return false; } });
  if (!seen[i % 8]) throw new Error('round ' + i + ': not seen');`;
/** Turns: the words say who may go on, and nothing else orders the two. */
const LOOP = (body: string, own: number) => `
  const words = new Int32Array(data.words);
  const buffer = new Uint8Array(8192);
  const file = guest.open('/file');
  for (let i = 0; i < ${ROUNDS}; i++) {
    for (let looks = 0, turn; (turn = Atomics.load(words, 0)) !== 2 * i + ${own}; looks++) {
      if (turn < 0) return -1;
      if (looks > 200) Atomics.wait(words, 0, turn);
    }
    let next = -1;
    try {
      ${body}
      next = 2 * i + ${own} + 1;
    } finally {
      Atomics.store(words, 0, next);
      Atomics.notify(words, 0);
    }
  }
  return guest.stats.requestCount;`;

/** Runs the rounds; returns what the two ended with. */
async function play(options: CreateHostOptions, mount: string): Promise<readonly PromiseSettledResult<unknown>[]> {
  const host = await createHost({ cacheSize: 32 << 20, windowSize: 4 << 20, guests: 3, ...FOREVER, ...options });
  const words = new SharedArrayBuffer(4);
  await runGuest(host, `guest.writeFile('/file', 'x'); guest.writeFile('/here0', '');`).result;
  const looker = runGuest(host, LOOP(LOOK, 1), { words }, { mount });
  const changer = runGuest(host, LOOP(CHANGE, 0), { words });
  const results = await Promise.allSettled([changer.result, looker.result]);
  expect((await host.stop())?.inodes).toBe(1);
  return results;
}

test.each([
  ['with room for every message', {}],
  ['with four buffers in each queue', { queueSize: 4 }],
])('a change is seen as soon as its call has returned, %s', { timeout: 120_000 }, async (_, options) => {
  const [changed, looked] = await play(options, 'mount(attachment)');
  expect(changed).toMatchObject({ status: 'fulfilled' });
  expect(looked).toMatchObject({ status: 'fulfilled' });
});

test('a guest that is not told does not see it', { timeout: 120_000 }, async () => {
  const [, looked] = await play({}, 'mount(attachment, { notifications: false })');
  expect(looked).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('not seen') } });
});
