/** Per-inode DAX from end to end: the host says by size which files a guest reads through its window. */
import { expect, test } from 'vitest';
import { completeOptions } from '../../src/worker/host-options.ts';
import { createInline } from '../../src/worker/inline.ts';

const LIMIT = 64 * 1024;

async function boot() {
  const host = await createInline({ windowSize: 8 << 20, cacheSize: 16 << 20, guests: 2, daxFileSize: LIMIT });
  return { host, guest: host.mount({ dax: 'inode' }) };
}

test('files of at least daxFileSize go through the window, smaller ones by READ and WRITE', async () => {
  const { host, guest } = await boot();
  guest.writeFile('/small', new Uint8Array(LIMIT - 1));
  guest.writeFile('/large', new Uint8Array(LIMIT));
  guest.dropCaches();
  expect([guest.open('/small').isDax, guest.open('/large').isDax]).toEqual([false, true]);
  guest.readFile('/small');
  expect(guest.stats.bytes.readDax).toBe(0);
  guest.readFile('/large');
  expect(guest.stats.bytes.readDax).toBe(LIMIT);
  expect(() => guest.open('/small').mmap()).toThrow(/ENODEV/);
  guest.unmount();
  host.stop();
});

test('decided when the file is met: one that grows past the limit changes over once it was forgotten', async () => {
  const { host, guest } = await boot();
  const file = guest.open('/f', 'w+');
  file.write(new Uint8Array(2 * LIMIT), 0, 2 * LIMIT, 0);
  expect(file.isDax).toBe(false);
  const buffer = new Uint8Array(10);
  expect(file.read(buffer, 0, 10, LIMIT)).toBe(10);
  expect(guest.stats.bytes.readDax).toBe(0);
  // Met again while it is open: still the same inode in core.
  expect(guest.open('/f').isDax).toBe(false);
  file.close();
  for (const open of [...guest.mount.openFiles]) open.close();
  guest.dropCaches();
  expect(guest.open('/f').isDax).toBe(true);
  guest.unmount();
  host.stop();
});

test('one that shrinks below the limit stays, likewise; other modes do not ask', async () => {
  const { host, guest } = await boot();
  guest.writeFile('/f', new Uint8Array(LIMIT));
  guest.dropCaches();
  const file = guest.open('/f', 'r+');
  file.truncate(5);
  expect(file.isDax).toBe(true);
  const always = host.mount({ dax: 'always' });
  expect(always.open('/f').isDax).toBe(true);
  guest.unmount();
  always.unmount();
  host.stop();
});

test('a size that is none is refused', () => {
  expect(() => completeOptions({ daxFileSize: -1 })).toThrow(/daxFileSize is -1: it must be 0 or more bytes/);
});
