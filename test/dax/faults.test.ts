/** A disk that fails: the error comes out at the right call, and nothing that was stored is lost. */
import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { FaultyBackings } from '../fakes/faulty-backing.ts';
import { createWorld, type World } from './random-world.ts';

const FRAMES = 64;
const PAGE = 4096;

interface Broken extends Pick<World, 'logged'> {
  readonly world: World;
  readonly disk: FaultyBackings;
  guest(): World['host'] extends { mount(): infer G } ? G : never;
  onDisk(name: string): Uint8Array;
}

async function boot(): Promise<Broken> {
  const disk = new FaultyBackings(new Prng(1));
  const world = await createWorld({ fs: 'dir', frames: FRAMES, faulty: disk });
  onTestFinished(() => world.destroy());
  return {
    world,
    disk,
    logged: world.logged,
    guest: () => world.host.mount(),
    onDisk: (name) => readFileSync(`${world.directory}/${name}`),
  };
}

test('a store that could not be written back is reported by the next fsync, once, and written later', async () => {
  const { world, disk, logged, guest, onDisk } = await boot();
  const g = guest();
  g.writeFile('/f', new Uint8Array(PAGE));
  const file = g.open('/f', 'r+');
  const map = file.mmap({ writable: true });
  map.storeU8(0, 7);
  disk.writeChance = 1;
  world.host.core.writeBack();
  expect(logged.at(-1)).toMatch(/write-back failed: errno (5|28)/);
  disk.writeChance = 0;
  // It could be written now; that it could not before is said all the same.
  expect(() => file.sync()).toThrow(expect.objectContaining({ code: expect.stringMatching(/EIO|ENOSPC/) }));
  expect(onDisk('f')[0]).toBe(7);
  file.sync();
  map.storeU8(0, 8);
  disk.writeChance = 1;
  expect(() => map.sync()).toThrow(expect.objectContaining({ code: expect.stringMatching(/EIO|ENOSPC/) }));
  expect([onDisk('f')[0], map.loadU8(0)]).toEqual([7, 8]);
  disk.writeChance = 0;
  map.sync();
  expect(onDisk('f')[0]).toBe(8);
});

test('a page that cannot be read is EIO for whoever wants it, not a bus error, not zeros', async () => {
  const { disk, guest } = await boot();
  const g = guest();
  g.writeFile('/f', new Uint8Array(3 * PAGE).fill(9));
  const plain = g.open('/f', 'r+');
  const map = plain.mmap({ writable: true });
  disk.readChance = 1;
  const eio = expect.objectContaining({ code: 'EIO' });
  const into = new Uint8Array(PAGE);
  for (const call of [
    () => map.loadU8(0),
    () => map.storeU8(PAGE, 1),
    () => map.add32(PAGE, 1),
    () => map.read(0, into),
    () => map.view(0, 10),
    () => plain.read(into, 0, PAGE, 0),
    // Inside the file: a page of which a part is to be kept.
    () => plain.write(into, 0, 10, PAGE),
  ]) {
    expect(call).toThrow(eio);
  }
  disk.readChance = 0;
  expect([map.loadU8(0), map.loadU8(PAGE), map.loadU8(3 * PAGE - 1)]).toEqual([9, 9, 9]);
  g.mount.checkInvariants();
});

test('with a pool full of pages that cannot be written back, others hear it, and every store stays', async () => {
  const { world, disk, guest, onDisk } = await boot();
  const g = guest();
  g.writeFile('/full', new Uint8Array(FRAMES * PAGE));
  g.writeFile('/other', new Uint8Array(20 * PAGE).fill(3));
  const map = g.open('/full', 'r+').mmap({ writable: true });
  disk.writeChance = 1;
  let stored = 0;
  const store = () => {
    for (; stored < FRAMES; stored++) map.storeU8(stored * PAGE, 100 + stored);
  };
  // The page of zeros and the leaf tables have frames too.
  expect(store).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  expect(stored).toBeGreaterThan(FRAMES - 8);
  expect(() => g.readFile('/other')).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  for (let i = 0; i < stored; i++) expect(map.loadU8(i * PAGE)).toBe(100 + i);
  world.check([g]);
  disk.writeChance = 0;
  expect(g.readFile('/other')[20 * PAGE - 1]).toBe(3);
  store();
  expect(() => map.sync()).toThrow(expect.objectContaining({ code: expect.stringMatching(/EIO|ENOSPC/) }));
  map.sync();
  for (let i = 0; i < FRAMES; i++) expect(onDisk('full')[i * PAGE]).toBe(100 + i);
});

test('a file closed and forgotten while its pages cannot be written keeps them for the next', async () => {
  const { world, disk, guest, onDisk } = await boot();
  const first = guest();
  first.writeFile('/f', new Uint8Array(PAGE));
  const map = first.open('/f', 'r+').mmap({ writable: true });
  map.storeU8(5, 5);
  disk.writeChance = 1;
  first.unmount();
  world.settle();
  const second = guest();
  expect(second.readFile('/f')[5]).toBe(5);
  disk.writeChance = 0;
  world.host.core.writeBack();
  expect(onDisk('f')[5]).toBe(5);
});
