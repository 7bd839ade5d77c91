import { expect, test } from 'vitest';
import { createInline } from '../src/index.ts';

test('a file written by one guest is read by another through the window, all in one thread', async () => {
  using host = await createInline({ fs: 'memory', windowSize: 8 << 20, cacheSize: 16 << 20 });
  const [writer, reader] = [host.mount(), host.mount()];
  writer.mkdir('/a');
  writer.writeFile('/a/b', 'hello');
  expect(reader.readFile('/a/b', 'utf8')).toBe('hello');
  expect(reader.stats.mappings.setUp).toBe(1);
  expect(reader.stats.requests.READ).toBeUndefined();
  writer.unmount();
  reader.unmount();
});
