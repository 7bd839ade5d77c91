/** A page cache over unshared memory, for tests that run host and guest in one thread. */
import { readFileSync } from 'node:fs';
import { CPU_LIVE, CPU_SIZE, CPU_STATE, PAGE_SIZE, POOL_SIZE, RANGE_PINS_SIZE } from '../../assembly/layout.ts';
import { InlineDoorbell } from '../../src/base/doorbell.ts';
import type { DaxExports } from '../../src/dax/exports.ts';
import { instantiate } from '../../src/dax/instantiate.ts';
import { CpuSlot } from '../../src/host/cpu-slot.ts';
import { GracePeriod } from '../../src/host/grace.ts';
import { PageCache } from '../../src/host/page-cache.ts';

const wasmUrl = new URL('../../dist/virtiofs-unshared.wasm', import.meta.url);
let compiled: WebAssembly.Module | undefined;

export interface TestPages {
  readonly pageCache: PageCache;
  readonly wasm: DaxExports;
  readonly memory: WebAssembly.Memory;
  readonly slots: readonly CpuSlot[];
  /** Address and size of memory that belongs to nobody: for requests and payloads. */
  readonly room: number;
  readonly roomSize: number;
}

/** Memory: room | cpu structs, window tables and pins | pool | frames. */
export function createTestPages(
  options: { frames?: number; roomSize?: number; guests?: number; ranges?: number } = {},
): TestPages {
  const { frames = 1024, roomSize = 4 << 20, guests = 1, ranges = 4 } = options;
  compiled ??= new WebAssembly.Module(readFileSync(wasmUrl));
  const room = 65536;
  const slotsAt = room + roomSize;
  const slotSize = CPU_SIZE + align(ranges * (4 + RANGE_PINS_SIZE), 64);
  const poolAt = align(slotsAt + guests * slotSize, 64);
  const tableAt = poolAt + POOL_SIZE;
  const bitmapAt = tableAt + frames * 4;
  const framesAt = align(bitmapAt + (frames >> 3) + 8, PAGE_SIZE);
  const pages = Math.ceil((framesAt + frames * PAGE_SIZE) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const wasm = instantiate(compiled, memory);
  wasm.poolInit(poolAt, framesAt, frames, tableAt, bitmapAt);
  const slots = Array.from({ length: guests }, (_, i) => {
    const cpuAt = slotsAt + i * slotSize;
    new Int32Array(memory.buffer, cpuAt, 16)[CPU_STATE >> 2] = CPU_LIVE;
    const place = { cpuAt, tableAt: cpuAt + CPU_SIZE, pinsAt: cpuAt + CPU_SIZE + ranges * 4, rangeCount: ranges };
    return new CpuSlot(memory.buffer, place, new InlineDoorbell());
  });
  const pageCache = new PageCache({ wasm, buffer: memory.buffer, poolAt, grace: new GracePeriod(slots) });
  return { pageCache, wasm, memory, slots, room, roomSize };
}

function align(n: number, to: number): number {
  return Math.ceil(n / to) * to;
}
