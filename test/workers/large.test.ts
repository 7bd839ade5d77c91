/** Frames above 2 GiB: addresses that are negative wherever somebody forgot that they are unsigned. */
import { expect, test } from 'vitest';
import type { Host } from '../../src/index.ts';

const { createHost, mount }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const GIB = 2 ** 30;
const MIB = 2 ** 20;

test('files in frames above 2 GiB are written, read, mapped and truncated like all others', async () => {
  let host: Host;
  try {
    host = await createHost({ cacheSize: 3.5 * GIB, windowSize: 8 * MIB, guests: 1 });
  } catch (error) {
    // A machine without the address space.
    expect(error).toBeInstanceOf(RangeError);
    return;
  }
  if (host.map.cacheSize < 3 * GIB) {
    await host.terminate();
    return;
  }
  const guest = mount(host.attach());
  const filler = guest.open('/filler', 'w+');
  // Takes the frames below: 2.2 GiB without a byte written.
  filler.allocate(0, 2.2 * GIB);
  const data = new Uint8Array(5 * MIB);
  for (let i = 0; i < data.length; i += 4096) data.fill((i / 4096) & 0xff, i, i + 4096);
  guest.writeFile('/high', data);
  const owners = new Int32Array(host.map.frameCount);
  expect(owners.length).toBeGreaterThan(0);
  expect(Buffer.from(guest.readFile('/high')).equals(data)).toBe(true);
  const file = guest.open('/high', 'r+');
  const mapping = file.mmap({ length: data.length, writable: true });
  const view = mapping.view(3 * MIB, 8192);
  expect((view as unknown as { runs: Uint8Array[] }).runs[0]!.byteOffset).toBeGreaterThan(2 ** 31);
  mapping.storeU32(3 * MIB, 0xdeadbeef);
  expect(mapping.add32(3 * MIB, 1)).toBe(0xdeadbeef);
  expect(mapping.loadU32(3 * MIB)).toBe(0xdeadbef0);
  view.release();
  file.truncate(3 * MIB + 2);
  file.truncate(5 * MIB);
  expect(mapping.loadU32(3 * MIB)).toBe(0xbef0);
  expect(mapping.loadU32(4 * MIB)).toBe(0);
  mapping.storeF64(4 * MIB, 1.5);
  expect(mapping.loadF64(4 * MIB)).toBe(1.5);
  mapping.unmap();
  guest.unmount();
  await host.stop();
}, 60_000);
