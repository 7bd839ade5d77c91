import { expect, test } from 'vitest';
import { CPU_SIZE, PAGE_SIZE, POOL_SIZE, RANGE_SIZE } from '../../assembly/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { REQUEST_AREA_SIZE } from '../../src/guest/virtio-channel.ts';
import { MAILBOX_SIZE } from '../../src/transport/kernel/mailbox.ts';
import { REGISTERS_SIZE } from '../../src/virtio/registers.ts';
import { type MemoryMap, planMemory, SCRATCH_SIZE } from '../../src/worker/memory-map.ts';

interface Region {
  readonly name: string;
  readonly at: number;
  readonly size: number;
  readonly align: number;
}

function regions(map: MemoryMap): Region[] {
  const all: Region[] = [{ name: 'header', at: 0, size: 4096, align: 1 }];
  const add = (name: string, at: number, size: number, align: number) => all.push({ name, at, size, align });
  for (const [i, slot] of map.slots.entries()) {
    add(`cpu ${i}`, slot.cpuAt, CPU_SIZE, 64);
    add(`registers ${i}`, slot.registersAt, REGISTERS_SIZE, 4);
    add(`table ${i}`, slot.tableAt, map.rangeCount * 4, 4);
    add(`pins ${i}`, slot.pinsAt, map.rangeCount * 2048, 4);
    add(`requests ${i}`, slot.requestAt, REQUEST_AREA_SIZE, 64);
    add(`rings ${i}`, slot.ringsAt, slot.ringsSize, 16);
    add(`data ${i}`, slot.dataAt, map.dataSize, PAGE_SIZE);
  }
  for (const [i, at] of map.boxes.entries()) add(`mailbox ${i}`, at, MAILBOX_SIZE, PAGE_SIZE);
  add('scratch', map.scratchAt, SCRATCH_SIZE, PAGE_SIZE);
  add('pool', map.poolAt, POOL_SIZE, 4);
  add('frame table', map.frameTableAt, map.frameCount * 4, 4);
  add('bitmap', map.bitmapAt, Math.ceil(map.frameCount / 32) * 4, 4);
  add('frames', map.framesAt, map.frameCount * PAGE_SIZE, PAGE_SIZE);
  return all;
}

test('no two regions overlap, all are aligned and inside, whatever the options', () => {
  const random = new Prng(11);
  let mailboxes = 0;
  for (let round = 0; round < 2000; round++) {
    const map = planMemory({
      cacheSize: 65536 + random.below(random.below(2) === 0 ? 1 << 20 : 1 << 30),
      guests: 1 + random.below(20),
      windowSize: random.below(40) * RANGE_SIZE,
      queueSize: 4 << random.below(9),
      requestQueues: 1 + random.below(8),
      dataSize: PAGE_SIZE + random.below(1 << 20),
      kernelMounts: random.below(6),
    });
    mailboxes += map.boxes.length;
    const all = regions(map).sort((a, b) => a.at - b.at || a.size - b.size);
    let end = 0;
    for (const region of all) {
      expect(region.at, `${region.name} overlaps what is before it`).toBeGreaterThanOrEqual(end);
      expect(region.at % region.align, region.name).toBe(0);
      end = region.at + region.size;
    }
    expect(end).toBeLessThanOrEqual(map.memorySize);
    expect(map.memorySize % 65536).toBe(0);
  }
  expect(mailboxes).toBeGreaterThan(0);
});

test('the last frame never ends at 4 GiB: an address that wraps to 0 would look like a missing page', () => {
  const options = { guests: 1, windowSize: RANGE_SIZE, queueSize: 128, requestQueues: 1, dataSize: 65536 };
  let largest = 0;
  for (let cacheSize = 4080 * 2 ** 20; cacheSize < 2 ** 32; cacheSize += PAGE_SIZE) {
    try {
      const map = planMemory({ ...options, cacheSize });
      largest = Math.max(largest, map.framesAt + map.frameCount * PAGE_SIZE);
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
    }
  }
  expect(largest).toBeGreaterThan(4000 * 2 ** 20);
  expect(largest).toBeLessThan(2 ** 32);
});

test('sizes that are no whole numbers are refused', () => {
  const options = { cacheSize: 1 << 20, guests: 1, windowSize: 0, queueSize: 128, requestQueues: 1, dataSize: 65536 };
  expect(() => planMemory({ ...options, dataSize: 5000.5 })).toThrow(/dataSize/);
});
