/** Directory records: what is written reads back, and what is malformed is refused without a throw. */
import { describe, expect, test } from 'vitest';
import { type ByteString, bytesOfArray, bytesOfText } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { DirentReader, direntPlusSize, direntSize, writeDirent, writeDirentPlus } from '../../src/wire/dirent.ts';
import { EIO, OK } from '../../src/wire/errno.ts';
import { Dirent, EntryOut } from '../../src/wire/fuse.ts';
import { DT_DIR, DT_REG } from '../../src/wire/mode.ts';

const SEED = Number(process.env['SEED'] ?? 1);
const NAME = bytesOfText('hello.txt');

interface Entry {
  readonly ino: number;
  readonly next: number;
  readonly type: number;
  readonly name: ByteString;
}

describe('writing', () => {
  test('records are padded to 8 bytes with zeroes', () => {
    const bytes = new Uint8Array(64).fill(0xff);
    expect(writeDirent(new DataView(bytes.buffer), 8, 64, 2, 1, DT_REG, NAME)).toBe(40);
    expect([...bytes.subarray(8 + 24 + NAME.length, 8 + 40)]).toEqual([0, 0, 0, 0, 0, 0, 0]);
    expect([bytes[7], bytes[48]]).toEqual([0xff, 0xff]);
  });

  test('sizes are those of the ABI', () => {
    expect([1, 8, 9, 255].map(direntSize)).toEqual([32, 32, 40, 280]);
    expect([1, 8, 9, 255].map(direntPlusSize)).toEqual([160, 160, 168, 408]);
  });

  test('a record that ends beyond the limit is not written at all', () => {
    const bytes = new Uint8Array(256).fill(0xff);
    const view = new DataView(bytes.buffer);
    expect(writeDirent(view, 0, 39, 2, 1, DT_REG, NAME)).toBe(0);
    expect(writeDirentPlus(view, 0, 167, 2, 1, DT_REG, NAME)).toBe(0);
    expect(bytes.every((byte) => byte === 0xff)).toBe(true);
    expect(writeDirent(view, 0, 40, 2, 1, DT_REG, NAME)).toBe(40);
    expect(writeDirentPlus(view, 0, 168, 2, 1, DT_REG, NAME)).toBe(168);
  });

  test('the entry_out of a plus record stays as the caller filled it', () => {
    const view = new DataView(new ArrayBuffer(256));
    EntryOut.nodeid.set(view, 16, 77);
    writeDirentPlus(view, 16, 256, 2, 1, DT_DIR, NAME);
    const reader = new DirentReader('plus');
    reader.reset(view, 16, direntPlusSize(NAME.length));
    expect(reader.next()).toBe(OK);
    expect([reader.entryAt, EntryOut.nodeid.get(view, reader.entryAt)]).toEqual([16, 77]);
  });
});

describe.each(['plain', 'plus'] as const)('reading %s records', (kind) => {
  const put = kind === 'plus' ? writeDirentPlus : writeDirent;
  const dirent = kind === 'plus' ? 128 : 0;
  const size = kind === 'plus' ? 168 : 40;

  test(`random names read back [SEED=${SEED} npx vitest run test/wire/dirent.test.ts]`, () => {
    const prng = new Prng(SEED);
    const view = new DataView(new ArrayBuffer(1 << 20));
    const entries = Array.from({ length: 1000 }, () => randomEntry(prng));
    let end = 5;
    for (const e of entries) end += put(view, end, 1 << 20, e.ino, e.next, e.type, e.name);
    const reader = new DirentReader(kind);
    reader.reset(view, 5, end - 5);
    for (const e of entries) {
      expect(reader.next()).toBe(OK);
      const next = reader.offHigh * 2 ** 32 + reader.offLow;
      expect({ ino: reader.ino, next, type: reader.type, name: reader.name }).toEqual(e);
    }
    expect(reader.isDone).toBe(true);
    expect(reader.next()).toBe(EIO);
  });

  test.each([
    ['an empty name', (v: DataView) => Dirent.namelen.set(v, dirent, 0)],
    ['a name of 256 bytes', (v: DataView) => Dirent.namelen.set(v, dirent, 256)],
    ['a name beyond the end', (v: DataView) => Dirent.namelen.set(v, dirent, 17)],
    ['a name of 2^32 - 1 bytes', (v: DataView) => Dirent.namelen.set(v, dirent, 2 ** 32 - 1)],
    ['a slash', (v: DataView) => v.setUint8(dirent + 24, 0x2f)],
    ['a NUL', (v: DataView) => v.setUint8(dirent + 24 + 8, 0)],
    ['an inode number above 2^53', (v: DataView) => v.setUint32(dirent + 4, 0x20_0000, true)],
  ])('%s is refused', (_, spoil) => {
    const view = new DataView(new ArrayBuffer(1024));
    put(view, 0, 1024, 2, 1, DT_REG, NAME);
    spoil(view);
    const reader = new DirentReader(kind);
    reader.reset(view, 0, size);
    expect(reader.next()).toBe(EIO);
    expect(reader.isDone).toBe(true);
  });

  test('a record cut anywhere is refused', () => {
    const view = new DataView(new ArrayBuffer(size));
    put(view, 0, size, 2, 1, DT_REG, NAME);
    const reader = new DirentReader(kind);
    for (let cut = 1; cut < size; cut++) {
      reader.reset(new DataView(view.buffer, 0, cut), 0, cut);
      expect(reader.next(), `after ${cut} bytes`).toBe(EIO);
    }
  });
});

function randomEntry(prng: Prng): Entry {
  const bytes = Uint8Array.from({ length: 1 + prng.below(255) }, () => 1 + prng.below(255));
  const name = bytesOfArray(bytes.map((byte) => (byte === 0x2f ? 0x5f : byte)));
  return { ino: prng.below(2 ** 53), next: prng.below(2 ** 53), type: prng.below(16), name };
}
