/**
 * A file that changes under mappings and views: cut, punched, emptied by O_TRUNC, removed, replaced; on files that are
 * memory and files that are backed. What a mapping shows is the file's bytes, zeros that are the file's, or a bus
 * error; never what a frame held for somebody else, and never what the file held before.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PAGE_SIZE } from '../../assembly/layout.ts';
import type { Guest } from '../../src/guest/guest.ts';
import type { MappedView } from '../../src/guest/mapped-view.ts';
import type { Mapping } from '../../src/guest/mapping.ts';
import { createInline, type InlineHost } from '../../src/worker/inline.ts';

const PAGES = 8;
const SIZE = PAGES * PAGE_SIZE;
const OLD = 0xaa;
const FOREIGN = 0xbb;
const PUNCH_KEEPING_SIZE = 3;
const ZERO_RANGE = 16;

let host: InlineHost;
let directory: string;
let holder: Guest;
let other: Guest;
let mapping: Mapping;
let views: MappedView[];

/** The file of 8 pages of 0xaa, mapped by one guest, and with `isPinned` shown by a view per page. */
function prepare(isPinned: boolean): void {
  other.writeFile('/file', new Uint8Array(SIZE).fill(OLD));
  mapping = holder.open('/file', 'r+').mmap({ length: 2 * SIZE, writable: true });
  for (let page = 0; page < PAGES; page++) expect(mapping.loadU8(page * PAGE_SIZE)).toBe(OLD);
  mapping.storeU8(1, 0x11);
  views = isPinned ? Array.from({ length: PAGES }, (_, page) => mapping.view(page * PAGE_SIZE, PAGE_SIZE)) : [];
}

/** Fills every frame that can be had with another file's bytes, and more: what is free is used, and used again. */
function churn(): void {
  for (let i = 0; i < 3; i++) {
    other.writeFile(`/churn${i}`, new Uint8Array(40 * PAGE_SIZE).fill(FOREIGN));
    other.readFile(`/churn${i}`);
  }
  for (let i = 0; i < 3; i++) other.unlink(`/churn${i}`);
  other.writeFile('/churn', new Uint8Array(20 * PAGE_SIZE).fill(FOREIGN));
}

/** What the mapping shows of a page: the byte that all of it is, 'mixed', or 'SIGBUS'. */
function shown(page: number, of = mapping): number | string {
  const bytes = new Uint8Array(PAGE_SIZE);
  try {
    of.read(page * PAGE_SIZE, bytes);
  } catch (error) {
    expect(error).toMatchObject({ name: 'BusError', code: 'SIGBUS' });
    expect(error).toMatchObject({ offset: page * PAGE_SIZE, position: page * PAGE_SIZE });
    return 'SIGBUS';
  }
  return bytes.every((byte) => byte === bytes[0]) ? (bytes[0] as number) : 'mixed';
}

const pages = (first: number, end: number) => Array.from({ length: end - first }, (_, i) => shown(first + i));
const filled = <T>(count: number, value: T) => new Array<T>(count).fill(value);

function isClean(bytes: Uint8Array): boolean {
  return !bytes.includes(FOREIGN);
}

/** Views show the file's old bytes, zeros, or what was stored through them; storing through them hurts nobody. */
function checkViews(): void {
  for (const view of views) for (const run of view.runs) expect(isClean(run)).toBe(true);
  for (const view of views) for (const run of view.runs) run.fill(0x77);
  expect(new Set(other.readFile('/churn'))).toEqual(new Set([FOREIGN]));
}

const SYSTEMS = ['memory', 'dir'] as const;
const HOLDERS = [
  ['a mapping', false],
  ['a mapping and views', true],
] as const;

describe.each(SYSTEMS)('on %s, with', (system) => {
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'virtiofs-live-'));
    // Frames for all that is there at once, and few more.
    const fs = system === 'memory' ? 'memory' : `dir:${directory}`;
    const cacheSize = (system === 'memory' ? 160 : 64) * PAGE_SIZE;
    host = await createInline({ fs, cacheSize, windowSize: 8 << 20, attrTimeoutMs: 0, entryTimeoutMs: 0 });
    [holder, other] = [host.mount(), host.mount()];
  });

  afterEach(() => {
    for (const view of views) view.release();
    mapping.unmap();
    host.core.pageCache.checkInvariants();
    for (const name of other.readdir('/')) other.unlink(`/${String(name)}`);
    holder.unmount();
    other.unmount();
    while (host.step());
    expect(host.stop().usedFrames).toBe(1);
    rmSync(directory, { recursive: true });
  });

  describe.each(HOLDERS)('%s:', (_, isPinned) => {
    test('a file that is cut is a bus error beyond its last page, and zeros when it grows again', () => {
      prepare(isPinned);
      other.truncate('/file', 2 * PAGE_SIZE + 100);
      churn();
      expect(pages(3, 16)).toEqual(filled(13, 'SIGBUS'));
      const last = new Uint8Array(PAGE_SIZE);
      mapping.read(2 * PAGE_SIZE, last);
      expect(last).toEqual(new Uint8Array(PAGE_SIZE).fill(OLD, 0, 100));
      // Stored behind the end: lost.
      mapping.storeU32(2 * PAGE_SIZE + 200, 0xffff_ffff);
      for (const view of views.slice(3)) expect(isClean(view.runs[0] as Uint8Array)).toBe(true);
      for (const view of views.slice(3)) view.runs[0]?.fill(0x77);
      other.truncate('/file', SIZE);
      churn();
      expect(pages(3, PAGES)).toEqual(filled(5, 0));
      mapping.read(2 * PAGE_SIZE, last);
      expect(last).toEqual(new Uint8Array(PAGE_SIZE).fill(OLD, 0, 100));
      expect(shown(PAGES)).toBe('SIGBUS');
      expect(shown(1)).toBe(OLD);
      expect(mapping.loadU8(1)).toBe(0x11);
      const bytes = other.readFile('/file');
      expect(bytes.subarray(3 * PAGE_SIZE).every((byte) => byte === 0)).toBe(true);
      checkViews();
    });

    test('a file opened with O_TRUNC is a bus error everywhere, until it is written again', () => {
      prepare(isPinned);
      const writer = other.open('/file', 'w');
      churn();
      expect(pages(0, PAGES)).toEqual(filled(PAGES, 'SIGBUS'));
      for (const view of views) expect(isClean(view.runs[0] as Uint8Array)).toBe(true);
      for (const view of views) view.runs[0]?.fill(0x77);
      writer.truncate(3 * PAGE_SIZE);
      churn();
      expect(pages(0, 4)).toEqual([0, 0, 0, 'SIGBUS']);
      other.writeFile('/file', new Uint8Array(2 * PAGE_SIZE).fill(0x22));
      expect(pages(0, 3)).toEqual([0x22, 0x22, 'SIGBUS']);
      writer.close();
      checkViews();
      expect(pages(0, 3)).toEqual([0x22, 0x22, 'SIGBUS']);
    });

    test.each([
      ['a hole that is punched', PUNCH_KEEPING_SIZE],
      ['a range that is zeroed', ZERO_RANGE],
    ])('%s reads as zeros, and what is stored there next is the file’s', (_what, mode) => {
      prepare(isPinned);
      const file = other.open('/file', 'r+');
      file.allocate(PAGE_SIZE + 10, 3 * PAGE_SIZE, mode);
      file.close();
      churn();
      expect(pages(2, 4)).toEqual([0, 0]);
      expect(pages(5, PAGES)).toEqual(filled(3, OLD));
      const edge = new Uint8Array(PAGE_SIZE);
      mapping.read(PAGE_SIZE, edge);
      expect(edge).toEqual(new Uint8Array(PAGE_SIZE).fill(OLD, 0, 10));
      mapping.read(4 * PAGE_SIZE, edge);
      expect(edge).toEqual(new Uint8Array(PAGE_SIZE).fill(OLD).fill(0, 0, 10));
      for (const view of views.slice(2, 4)) expect(view.runs[0]).toEqual(new Uint8Array(PAGE_SIZE));
      // Through a view if there is one: it must be the same page still.
      if (isPinned) (views[2]?.runs[0] as Uint8Array)[5] = 0x33;
      else mapping.storeU8(2 * PAGE_SIZE + 5, 0x33);
      expect(mapping.loadU8(2 * PAGE_SIZE + 5)).toBe(0x33);
      mapping.sync();
      expect(other.readFile('/file')[2 * PAGE_SIZE + 5]).toBe(0x33);
      checkViews();
    });

    test('a file that is removed lives on for its mapping, and its frames are nobody else’s', () => {
      prepare(isPinned);
      other.unlink('/file');
      churn();
      expect(shown(3)).toBe(OLD);
      mapping.storeU32(3 * PAGE_SIZE, 0x5555_5555);
      churn();
      expect(mapping.loadU32(3 * PAGE_SIZE)).toBe(0x5555_5555);
      expect(shown(PAGES)).toBe('SIGBUS');
      // The name again, another file.
      other.writeFile('/file', new Uint8Array(SIZE).fill(0x44));
      expect(shown(5)).toBe(OLD);
      checkViews();
      expect(other.readFile('/file').every((byte) => byte === 0x44)).toBe(true);
    });

    test('a file that another one is renamed over is still what the mapping shows; the name is the other one', () => {
      prepare(isPinned);
      other.writeFile('/new', new Uint8Array(2 * SIZE).fill(0x44));
      other.rename('/new', '/file');
      churn();
      expect(pages(1, PAGES)).toEqual(filled(7, OLD));
      expect(shown(PAGES)).toBe('SIGBUS');
      mapping.storeU8(1, 0x66);
      mapping.sync();
      checkViews();
      expect(other.readFile('/file').every((byte) => byte === 0x44)).toBe(true);
      const second = holder.open('/file', 'r').mmap();
      expect(shown(PAGES, second)).toBe(0x44);
      second.unmap();
    });

    test('a file cut and grown many times at random shows its own bytes or zeros', () => {
      prepare(isPinned);
      const model = new Uint8Array(2 * SIZE).fill(OLD, 0, SIZE);
      model[1] = 0x11;
      let size = SIZE;
      for (let step = 1; step < 40; step++) {
        const next = (step * 7919) % (2 * SIZE);
        other.truncate('/file', next);
        if (next < size) model.fill(0, next);
        size = next;
        if (step % 5 === 0) churn();
        for (let page = 0; page < 2 * PAGES; page++) {
          const at = page * PAGE_SIZE;
          if (at >= size) {
            expect(shown(page)).toBe('SIGBUS');
            continue;
          }
          if (at + 8 <= size && !isPinned) {
            mapping.storeU8(at + 7, step);
            model[at + 7] = step;
          }
          const got = new Uint8Array(PAGE_SIZE);
          mapping.read(at, got);
          expect(Buffer.compare(got, model.subarray(at, at + PAGE_SIZE))).toBe(0);
        }
      }
    });
  });
});
