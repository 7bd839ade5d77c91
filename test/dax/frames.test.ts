import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FRAME_KEEP, PAGE_SIZE, POOL_SIZE, PTE_ACCESSED, PTE_PRESENT } from '../../assembly/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { instantiate } from '../../src/dax/instantiate.ts';

const module = new WebAssembly.Module(readFileSync('dist/virtiofs-unshared.wasm'));

/** A pool of `frames` frames over a fresh memory, with room for entries at 4096. */
function pool(frames: number) {
  const memory = new WebAssembly.Memory({ initial: Math.ceil((frames * 4096 + 131072) / 65536), maximum: 1024 });
  const wasm = instantiate(module, memory);
  const at = 64;
  const framesAt = 65536;
  wasm.poolInit(at, framesAt, frames, 16384, 16384 + frames * 4);
  const view = new DataView(memory.buffer);
  return { wasm, at, framesAt, view, free: () => view.getUint32(at + 16, true), tableEnd: at + POOL_SIZE };
}

test('a pool hands out each frame once, then says that there is none', () => {
  const { wasm, at } = pool(100);
  const seen = new Set<number>();
  for (let i = 0; i < 99; i++) seen.add(wasm.frameTake(at, 0, 4096));
  expect(seen.size).toBe(99);
  expect(seen.has(0)).toBe(false);
  expect(wasm.frameTake(at, 0, 4096)).toBe(0);
});

test('a taker gets the frame it wishes for if that is free', () => {
  const { wasm, at } = pool(100);
  const first = wasm.frameTake(at, 0, 4096);
  expect(wasm.frameTake(at, first + PAGE_SIZE, 4096)).toBe(first + PAGE_SIZE);
  expect(wasm.frameTake(at, first + PAGE_SIZE, 4096)).not.toBe(first + PAGE_SIZE);
});

test('files that start alternately still get neighbouring frames', () => {
  const { wasm, at } = pool(1024);
  const starts = [wasm.frameTake(at, 0, 4096), wasm.frameTake(at, 0, 4096)];
  for (let page = 1; page < 32; page++) {
    for (const start of starts)
      expect(wasm.frameTake(at, start + page * PAGE_SIZE, 4096)).toBe(start + page * PAGE_SIZE);
  }
});

test('leaf tables are halves of frames, zeroed, and give their frame back when both halves are free', () => {
  const { wasm, at, free, view } = pool(16);
  const before = free();
  const leaves = Array.from({ length: 5 }, () => wasm.leafTake(at));
  expect(new Set(leaves).size).toBe(5);
  expect(before - free()).toBe(3);
  for (const leaf of leaves) {
    expect(leaf % 2048).toBe(0);
    for (let i = 0; i < 2048; i += 4) expect(view.getUint32(leaf + i, true)).toBe(0);
    view.setUint32(leaf, 0xdead, true);
  }
  for (const leaf of leaves) wasm.leafGive(at, leaf);
  expect(free()).toBe(before);
});

test('the clock gives accessed pages a second chance and never offers kept frames', () => {
  const { wasm, at } = pool(8);
  const entry = (i: number) => 4096 + i * 4;
  for (let i = 0; i < 3; i++) {
    const frame = wasm.frameTake(at, 0, i === 0 ? entry(i) | FRAME_KEEP : entry(i));
    wasm.entryStore(entry(i), frame | PTE_PRESENT | PTE_ACCESSED);
  }
  expect(wasm.clockNext(at, 8)).toBe(0);
  expect([wasm.clockNext(at, 8), wasm.clockNext(at, 8)].sort()).toEqual([entry(1), entry(2)]);
  wasm.entrySet(entry(1), PTE_ACCESSED);
  expect(wasm.clockNext(at, 8)).toBe(entry(2));
});

test('random takes and gives of frames and leaves never hand out the same memory twice', () => {
  const seed = 20261122;
  const random = new Prng(seed);
  const { wasm, at, free } = pool(200);
  const frames: number[] = [];
  const leaves: number[] = [];
  for (let step = 0; step < 20_000; step++) {
    const what = random.below(4);
    if (what === 0) {
      const frame = wasm.frameTake(at, random.pick([0, ...frames]) + PAGE_SIZE, 4096);
      if (frame !== 0) frames.push(frame);
    } else if (what === 1) {
      const leaf = wasm.leafTake(at);
      if (leaf !== 0) leaves.push(leaf);
    } else if (what === 2 && frames.length > 0)
      wasm.frameGive(at, frames.splice(random.below(frames.length), 1)[0] as number);
    else if (what === 3 && leaves.length > 0)
      wasm.leafGive(at, leaves.splice(random.below(leaves.length), 1)[0] as number);
    const pages = new Set([...frames, ...leaves.map((leaf) => leaf - (leaf % PAGE_SIZE))]);
    const used = new Set([...frames, ...leaves]);
    expect(used.size, `seed ${seed}, step ${step}`).toBe(frames.length + leaves.length);
    expect(199 - free(), `seed ${seed}, step ${step}`).toBe(pages.size);
  }
});
