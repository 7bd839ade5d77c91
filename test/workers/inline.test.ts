import { expect, test } from 'vitest';
import { createInline } from '../../src/worker/inline.ts';

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
