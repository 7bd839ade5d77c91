/** When reading a memory file shows in its access time, and when the client has to tell. */
import { expect, test } from 'vitest';
import { FOPEN_FLAGS } from '../../src/wire/flags.ts';
import { OpenIn, OpenOut } from '../../src/wire/fuse.ts';
import { O_NOATIME, O_RDONLY, O_WRONLY } from '../../src/wire/mode.ts';
import { bytes, ok } from './client.ts';
import { boot } from './world.ts';

test('a memory file is read anew after an OPEN for reading while its access time is due', () => {
  const { client: maker, attach, clock } = boot();
  const a = ok(maker.create(1, 'a'));
  maker.write(a.nodeid, a.fh, 0, 'x');
  const client = attach({ isAlone: true });
  client.init();
  ok(client.lookup(1, 'a'));
  const keeps = (flags: number) => {
    const { body } = client.send('OPEN', [bytes(OpenIn, { flags })], { nodeid: a.nodeid });
    return (OpenOut.open_flags.get(body, 0) & FOPEN_FLAGS.FOPEN_KEEP_CACHE) !== 0;
  };
  expect([keeps(O_RDONLY), keeps(O_WRONLY), keeps(O_NOATIME)]).toEqual([false, true, true]);
  clock.advance(1000);
  ok(maker.read(a.nodeid, a.fh, 0, 1));
  expect(keeps(O_RDONLY)).toBe(true);
});

test('a read through O_NOATIME leaves the access time of a memory file', () => {
  const { client, clock } = boot();
  const a = ok(client.create(1, 'a'));
  client.write(a.nodeid, a.fh, 0, 'x');
  const atimeOf = () => ok(client.getattr(a.nodeid)).atimensec;
  const made = atimeOf();
  clock.advance(1);
  ok(client.read(a.nodeid, client.open(a.nodeid, O_NOATIME), 0, 1));
  expect(atimeOf()).toBe(made);
  ok(client.read(a.nodeid, client.open(a.nodeid, O_RDONLY), 0, 1));
  expect(atimeOf()).not.toBe(made);
});
