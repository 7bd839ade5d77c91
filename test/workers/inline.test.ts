import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CPU_DEAD, CPU_STATE } from '../../assembly/layout.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { createInline } from '../../src/worker/inline.ts';
import { mountConnection } from '../../src/worker/mount.ts';

test('guests of one thread, in slots of different ages, all keep their windows', async () => {
  using host = await createInline({ windowSize: 8 << 20, cacheSize: 16 << 20, guests: 2 });
  host.mount().unmount();
  while (host.step());
  const first = host.mount();
  first.writeFile('/file', new Uint8Array(8192).fill(7));
  const mapping = first.open('/file', 'r+').mmap({ length: 8192, writable: true });
  expect(mapping.loadU32(0)).toBe(0x07070707);
  const second = host.mount();
  expect(mapping.loadU32(0)).toBe(0x07070707);
  expect(second.readFile('/file').length).toBe(8192);
});

test('the timer of an inline host is driven by the requests of its guests: dirty pages are written back', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'virtiofs-inline-'));
  writeFileSync(join(directory, 'file'), new Uint8Array(8192));
  const clock = new ManualClock();
  using host = await createInline({ fs: `dir:${directory}`, windowSize: 8 << 20, cacheSize: 16 << 20, clock });
  const guest = host.mount();
  const mapping = guest.open('/file', 'r+').mmap({ length: 8192, writable: true });
  mapping.storeU32(4096, 77);
  guest.stat('/');
  expect(readFileSync(join(directory, 'file')).readUInt32LE(4096)).toBe(0);
  clock.advance(1001);
  guest.mkdir('/directory');
  expect(readFileSync(join(directory, 'file')).readUInt32LE(4096)).toBe(77);
  rmSync(directory, { recursive: true });
});

test('views that a guest did not release are in its statistics, and their frames are free after it', async () => {
  using host = await createInline({ windowSize: 8 << 20, cacheSize: 16 << 20 });
  const guest = host.mount();
  guest.writeFile('/file', new Uint8Array(16 * 4096));
  const mapping = guest.open('/file', 'r+').mmap({ length: 16 * 4096, writable: true });
  mapping.view(0, 4096).release();
  mapping.view(0, 10 * 4096);
  mapping.view(4096, 1);
  expect(guest.stats.views).toEqual({ open: 2, leaked: 0 });
  guest.unlink('/file');
  guest.unmount();
  expect(guest.stats.views).toEqual({ open: 0, leaked: 2 });
  while (host.step());
  const report = host.stop();
  expect(report).toMatchObject({ leakedPins: 0, usedFrames: 1, residentPages: 0 });
});

test('views of a guest that died are counted and logged by the host, and their pages are free', async () => {
  const said: string[] = [];
  const log = (level: string, text: string) => void said.push(`${level} ${text}`);
  using host = await createInline({ windowSize: 8 << 20, cacheSize: 16 << 20, log });
  const connection = host.connect();
  const guest = mountConnection(connection, { clock: host.clock });
  guest.writeFile('/file', new Uint8Array(16 * 4096));
  guest
    .open('/file', 'r+')
    .mmap({ length: 16 * 4096, writable: true })
    .view(0, 10 * 4096);
  // Its worker is gone, as the host hears it.
  new Int32Array(host.memory.buffer)[((host.map.slots[0]?.cpuAt ?? 0) + CPU_STATE) >> 2] = CPU_DEAD;
  while (host.step());
  expect(said).toEqual(['warn a guest has ended with views of 10 pages that it did not release']);
  host.mount().unlink('/file');
  while (host.step());
  expect(host.stop()).toMatchObject({ leakedPins: 10, usedFrames: 1 });
});

test('a file that is written in order lies in one run: few runs for a view of a whole MiB', async () => {
  using host = await createInline({ windowSize: 64 << 20, cacheSize: 64 << 20 });
  const guest = host.mount();
  const files = ['/a', '/b', '/c'].map((name) => guest.open(name, 'w+'));
  // Three at once, in pieces.
  const piece = new Uint8Array(64 << 10);
  for (let i = 0; i < 128; i++) for (const file of files) file.write(piece, 0, piece.length, i * piece.length);
  const mapping = files[1]!.mmap({ length: 8 << 20 });
  for (let mib = 2; mib < 8; mib++) {
    const view = mapping.view(mib << 20, 1 << 20);
    expect(view.runs.length).toBe(1);
    view.release();
  }
  const report = host.core.report();
  expect(report.residentPages).toBe(3 * 2048);
  expect(report.residentRuns / (report.residentPages / 256)).toBeLessThan(2);
});
