import { describe, expect, test } from 'vitest';
import { EBADF, EINVAL, ENOTDIR, OK } from '../../src/wire/errno.ts';
import { FsyncIn } from '../../src/wire/fuse.ts';
import { bytes, type Client, type Dirent, ok } from './client.ts';
import { boot } from './world.ts';

const names = (entries: readonly Dirent[] | number): string[] => ok(entries).map((entry) => entry.name);

function fill(client: Client, nodeid: number, count: number): string[] {
  const made = Array.from({ length: count }, (_, i) => `file-${i}`);
  for (const name of made) client.forget(ok(client.mknod(nodeid, name, 0o100644)).nodeid, 1);
  return made;
}

describe('READDIR', () => {
  test('lists "." and "..", then the entries in the order they were made, with their types', () => {
    const { client } = boot();
    const d = ok(client.mkdir(1, 'd'));
    ok(client.mkdir(d.nodeid, 'sub'));
    ok(client.symlink(d.nodeid, 'link', 'x'));
    ok(client.create(d.nodeid, 'file'));
    const entries = ok(client.readdir(d.nodeid, client.opendir(d.nodeid), 0));
    expect(entries.map(({ name, type }) => [name, type])).toEqual([
      ['.', 4],
      ['..', 4],
      ['sub', 4],
      ['link', 10],
      ['file', 8],
    ]);
    expect([entries[0]?.ino, entries[1]?.ino]).toEqual([d.attr.ino, 1]);
  });

  test('resumes after any cookie', () => {
    const { client } = boot();
    fill(client, 1, 20);
    const fh = client.opendir(1);
    const all = ok(client.readdir(1, fh, 0));
    const from = all[7] as Dirent;
    expect(names(client.readdir(1, fh, from.off))).toEqual(names(all).slice(8));
    expect(names(client.readdir(1, fh, (all.at(-1) as Dirent).off))).toEqual([]);
  });

  test('entries that exist all along are listed once while others come and go', () => {
    const { client, check } = boot({ fs: { sizeLimit: 64 << 20 } });
    const kept = fill(client, 1, 10_000).filter((_, i) => i % 3 === 0);
    const fh = client.opendir(1);
    const seen: string[] = [];
    let round = 0;
    for (let offset = 0n; ; round++) {
      const entries = ok(client.readdir(1, fh, offset));
      if (entries.length === 0) break;
      seen.push(...entries.map((entry) => entry.name));
      offset = (entries.at(-1) as Dirent).off;
      for (let i = 0; i < 60; i++) client.unlink(1, `file-${(round * 60 + i) * 3 + 1}`);
      if (round < 50) client.forget(ok(client.mknod(1, `new-${round}`, 0o100644)).nodeid, 1);
    }
    expect(round).toBeGreaterThan(50);
    expect(new Set(seen).size).toBe(seen.length);
    expect(kept.filter((name) => !seen.includes(name))).toEqual([]);
    check();
  });

  test('ends although each listed name is given anew, and lists the new ones from the start', () => {
    const { client } = boot();
    const made = fill(client, 1, 1000);
    const fh = client.opendir(1);
    const seen: string[] = [];
    for (let offset = 0n; seen.length < 5000; ) {
      const entries = ok(client.readdir(1, fh, offset));
      if (entries.length === 0) break;
      offset = (entries.at(-1) as Dirent).off;
      for (const { name } of entries) {
        seen.push(name);
        if (!made.includes(name)) continue;
        client.rename(1, name, 1, 'other');
        client.rename(1, 'other', 1, name);
      }
    }
    expect(seen.sort()).toEqual(['.', '..', ...made].sort());
    client.forget(ok(client.mknod(1, 'later', 0o100644)).nodeid, 1);
    expect(client.names(1)).toContain('later');
  });

  test('10,000 entries are made, listed and removed without quadratic work', () => {
    const { client, check } = boot({ fs: { sizeLimit: 64 << 20 } });
    const made = fill(client, 1, 10_000);
    expect(client.names(1)).toEqual(made);
    for (const name of made) client.unlink(1, name);
    expect(client.names(1)).toEqual([]);
    check();
  });

  test('a first entry that finds no room is EINVAL', () => {
    const { client } = boot();
    const fh = client.opendir(1);
    expect(client.readdir(1, fh, 0, 31)).toBe(EINVAL);
    expect(names(client.readdir(1, fh, 0, 32))).toEqual(['.']);
  });

  test('records are packed to the last byte of what was asked', () => {
    const { client } = boot();
    expect(names(client.readdir(1, client.opendir(1), 0, 64))).toEqual(['.', '..']);
  });

  test('the name that a rename replaces stays where it was', () => {
    const { client } = boot();
    fill(client, 1, 4);
    const fh = client.opendir(1);
    const first = ok(client.readdir(1, fh, 0, 32 * 2 + 32));
    client.rename(1, 'file-3', 1, 'file-0');
    const rest = ok(client.readdir(1, fh, (first.at(-1) as Dirent).off));
    expect([...names(first), ...names(rest)]).toEqual(['.', '..', 'file-0', 'file-1', 'file-2']);
  });
});

describe('READDIRPLUS', () => {
  test('counts one lookup per entry, "." and ".." excepted', () => {
    const { client, check } = boot();
    fill(client, 1, 3);
    const entries = ok(client.readdir(1, client.opendir(1), 0, 4096, true));
    expect(entries.map((entry) => entry.nodeid > 0)).toEqual([false, false, true, true, true]);
    expect(client.session.lookups.size).toBe(3);
    expect(ok(client.getattr(entries[2]?.nodeid as number)).nlink).toBe(1);
    check();
  });

  test('counts none for an entry that did not fit', () => {
    const { client } = boot();
    fill(client, 1, 3);
    const entries = ok(client.readdir(1, client.opendir(1), 0, 160 * 4, true));
    expect(entries).toHaveLength(4);
    expect(client.session.lookups.size).toBe(2);
  });
});

describe('handles', () => {
  test('OPENDIR of a file is ENOTDIR', () => {
    const { client } = boot();
    expect(client.opendir(ok(client.create(1, 'a')).nodeid)).toBe(-ENOTDIR);
  });

  test('files and directories do not pass for each other', () => {
    const { client } = boot();
    const a = ok(client.create(1, 'a'));
    const fh = client.opendir(1);
    expect([client.readdir(1, a.fh, 0), client.read(1, fh, 0, 1), client.release(1, fh)]).toEqual([
      EBADF,
      EBADF,
      EBADF,
    ]);
    expect(client.releasedir(1, fh)).toBe(OK);
    expect([client.releasedir(1, fh), client.readdir(1, fh, 0)]).toEqual([EBADF, EBADF]);
  });

  test('FSYNCDIR knows them', () => {
    const { client } = boot();
    const fh = client.opendir(1);
    expect(client.send('FSYNCDIR', [bytes(FsyncIn, { fh })]).errno).toBe(OK);
    expect(client.send('FSYNCDIR', [bytes(FsyncIn, { fh: 9 })]).errno).toBe(EBADF);
  });
});
