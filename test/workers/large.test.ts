/** Frames above 2 GiB: addresses that are negative wherever somebody forgot that they are unsigned. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { CreateHostOptions, Host } from '../../src/index.ts';

const { createHost, mount }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const MIB = 2 ** 20;
/** The buffers of so many guests, never touched, lie below the frames. */
const HIGH: CreateHostOptions = { guests: 160, dataSize: 16 * MIB, cacheSize: 16 * MIB, windowSize: 8 * MIB };
const hosts: Host[] = [];

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.terminate();
});

async function start(options: CreateHostOptions = {}): Promise<Host> {
  const host = await createHost({ ...HIGH, log: () => {}, ...options });
  hosts.push(host);
  expect(host.map.framesAt).toBeGreaterThan(2 ** 31);
  return host;
}

function pages(count: number): Uint8Array {
  const data = new Uint8Array(count * 4096);
  for (let i = 0; i < count; i++) data.fill(i % 251, i * 4096, (i + 1) * 4096);
  return data;
}

test('a memory file is written, read, mapped, pinned, truncated and punched as below', async () => {
  const host = await start();
  const guest = mount(host.attach());
  const data = pages(1280);
  guest.writeFile('/high', data);
  expect(Buffer.from(guest.readFile('/high')).equals(data)).toBe(true);
  const file = guest.open('/high', 'r+');
  const mapping = file.mmap({ length: data.length, writable: true });
  const view = mapping.view(3 * MIB, 8192);
  expect(view.runs[0]?.byteOffset).toBeGreaterThan(2 ** 31);
  mapping.storeU32(3 * MIB, 0xdeadbeef);
  expect(mapping.add32(3 * MIB, 1)).toBe(0xdeadbeef);
  expect(mapping.compareExchange32(3 * MIB, 0xdeadbef0, 0x1beef)).toBe(0xdeadbef0);
  expect(view.runs[0]?.slice(0, 4)).toEqual(new Uint8Array([0xef, 0xbe, 0x01, 0x00]));
  view.release();
  file.truncate(3 * MIB + 2);
  file.truncate(5 * MIB);
  expect(mapping.loadU32(3 * MIB)).toBe(0xbeef);
  expect(mapping.loadU32(4 * MIB)).toBe(0);
  mapping.storeF64(4 * MIB, 1.5);
  expect(mapping.loadF64(4 * MIB)).toBe(1.5);
  mapping.unmap();
  file.close();
  guest.unlink('/high');
  guest.unmount();
  const report = await host.stop();
  expect(report?.usedFrames).toBe(1);
});

test('a file of a directory, larger than the cache, is filled, evicted and written back as below', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'virtiofs-high-'));
  const data = pages(6000);
  writeFileSync(join(directory, 'file'), data);
  const host = await start({ fs: `dir:${directory}` });
  const guest = mount(host.attach());
  const file = guest.open('/file', 'r+');
  const mapping = file.mmap({ length: data.length, writable: true });
  for (let page = 0; page < 6000; page++) mapping.storeU32(page * 4096, page);
  for (let page = 0; page < 6000; page++) expect(mapping.loadU32(page * 4096)).toBe(page);
  mapping.sync();
  const view = new DataView(data.buffer);
  for (let page = 0; page < 6000; page++) view.setUint32(page * 4096, page, true);
  expect(readFileSync(join(directory, 'file')).equals(data)).toBe(true);
  mapping.unmap();
  guest.unmount();
  const report = await host.stop();
  expect(report?.evictedPages).toBeGreaterThan(1000);
  rmSync(directory, { recursive: true });
});
