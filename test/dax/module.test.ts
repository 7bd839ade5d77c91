import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { LAYOUT_VERSION } from '../../assembly/layout.ts';
import { instantiate } from '../../src/dax/instantiate.ts';

const builds = { shared: 'dist/virtiofs.wasm', unshared: 'dist/virtiofs-unshared.wasm' };

/** Section ids of a module, in order. */
function sections(bytes: Uint8Array): number[] {
  const ids: number[] = [];
  for (let at = 8; at < bytes.length; ) {
    ids.push(bytes[at] as number);
    let size = 0;
    let shift = 0;
    for (at++; ; at++) {
      const byte = bytes[at] as number;
      size |= (byte & 0x7f) << shift;
      shift += 7;
      if (byte < 0x80) break;
    }
    at += 1 + size;
  }
  return ids;
}

describe.each(Object.entries(builds))('the %s build', (kind, file) => {
  const bytes = readFileSync(file);

  test('has no data section, for every instantiation would write it over live tables', () => {
    const DATA = 11;
    const DATA_COUNT = 12;
    expect(sections(bytes)).not.toContain(DATA);
    expect(sections(bytes)).not.toContain(DATA_COUNT);
    expect(sections(bytes)).toContain(10);
  });

  test('has no start section: instantiating runs nothing', () => {
    expect(sections(bytes)).not.toContain(8);
  });

  test('imports its memory, of the right kind, and nothing else', () => {
    const module = new WebAssembly.Module(bytes);
    expect(WebAssembly.Module.imports(module)).toEqual([{ module: 'env', name: 'memory', kind: 'memory' }]);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: kind === 'shared' });
    expect(instantiate(module, memory).layoutVersion()).toBe(LAYOUT_VERSION);
    const other = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: kind !== 'shared' });
    expect(() => instantiate(module, other)).toThrow(WebAssembly.LinkError);
  });

  test('leaves the memory untouched when it is instantiated', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: kind === 'shared' });
    const view = new Uint8Array(memory.buffer).fill(0xa5);
    instantiate(new WebAssembly.Module(bytes), memory);
    expect(view.every((byte) => byte === 0xa5)).toBe(true);
  });

  test('is small enough to travel inside the bundle', () => {
    expect(bytes.length).toBeLessThan(8 * 1024);
  });
});
