import { expect, test } from 'vitest';
import { createInline } from '../../src/worker/inline.ts';

test('a ring of four entries parks what does not fit, in order, and every lookup is given back', async () => {
  using host = await createInline({ cacheSize: 8 << 20, windowSize: 0, guests: 1, queueSize: 4 });
  const guest = host.mount({ maxInodes: 16 });
  for (let i = 0; i < 300; i++) guest.writeFile(`/${i}`, `file ${i}`);
  for (let i = 0; i < 300; i++) expect(guest.readFile(`/${i}`, 'utf8')).toBe(`file ${i}`);
  guest.dropCaches();
  // The root, and nothing else, is in core: no FORGET and no RELEASE was lost or overtaken.
  expect(host.core.server.store.count).toBe(1);
  guest.unmount();
});

test('a thousand files closed at once in a ring of four: no RELEASE is lost', async () => {
  using host = await createInline({ cacheSize: 8 << 20, windowSize: 0, guests: 1, queueSize: 4 });
  const guest = host.mount();
  const files = Array.from({ length: 1000 }, (_, i) => guest.open(`/${i}`, 'w'));
  for (const file of files) file.close();
  for (let i = 0; i < 1000; i++) guest.unlink(`/${i}`);
  guest.unmount();
  expect(host.core.server.store.count).toBe(1);
});
