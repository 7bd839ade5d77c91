import { expect, test } from 'vitest';
import { wireDoc } from './wire-doc.ts';

test('docs/wire.md is what the tables say; -u writes it anew', async () => {
  await expect(wireDoc()).toMatchFileSnapshot('../../docs/wire.md');
});

test('the document can say which INIT flags both ends support', () => {
  const doc = wireDoc({ guestOffers: ['FUSE_INIT_EXT'], hostAccepts: ['FUSE_INIT_EXT', 'FUSE_BIG_WRITES'] });
  expect(doc).toContain('| 30 | flags | FUSE_INIT_EXT | yes | yes |');
  expect(doc).toContain('| 5 | flags | FUSE_BIG_WRITES |  | yes |');
});
