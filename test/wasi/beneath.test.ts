/** Random trees full of symlinks and random paths through them: whatever is reached lies beneath the preopened one. */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { ALL_RIGHTS, Bench, FREE } from './bench.ts';

const PARTS = ['..', '..', '.', 'a', 'b', 'c', 'd', 'link1', 'link2', 'link3', 'link4'];
const NOTCAPABLE = 76;

/** inode numbers of everything below a directory, symlinks not followed. */
function inodesBelow(guest: Guest, path: string, found = new Set<number>()): Set<number> {
  const stat = guest.lstat(path);
  found.add(stat.ino);
  if (stat.isDirectory()) for (const name of guest.readdir(path)) inodesBelow(guest, `${path}/${name}`, found);
  return found;
}

function randomPath(prng: Prng, length: number): string {
  const path = Array.from({ length: 1 + prng.below(length) }, () => prng.pick(PARTS)).join('/');
  return prng.below(12) === 0 ? `/${path}` : path;
}

test.each([1, 2, 3, 4].map((i) => i + Number(process.env['SEED'] ?? 0)))('seed %i', (seed) => {
  const prng = new Prng(seed);
  // Nothing is believed without asking: what the other guest moves is seen at once.
  const bench = new Bench({}, { guests: 2, session: { entryTimeoutMs: 0, attrTimeoutMs: 0 } });

  const { guest, mounted } = bench.world;
  const other = mounted[1]?.guest as Guest;
  const dirs = ['/in', '/in/a', '/in/a/b', '/in/a/b/c', '/in/b', '/a', '/a/b', '/b'];
  for (const dir of dirs) guest.mkdir(dir, { recursive: true });
  for (const dir of ['', ...dirs]) {
    for (let i = 1; i <= 4; i++) guest.symlink(randomPath(prng, 4), `${dir}/link${i}`);
    guest.writeFile(`${dir}/d`, 'x');
  }
  const counts = { reached: 0, refused: 0, created: 0 };
  const { calls } = bench;
  let inside = inodesBelow(guest, '/in');
  const outside = () => [...inodesBelow(guest, '/')].filter((ino) => !inside.has(ino)).sort();
  for (let i = 0; i < 1000; i++) {
    const path = randomPath(prng, 6);
    const fd = bench.open(path, 0, { rights: 2n | (1n << 21n), below: ALL_RIGHTS });
    if (fd >= 0) {
      counts.reached++;
      expect(calls.fd_filestat_get(fd, bench.at(FREE))).toBe(0);
      expect([path, inside.has(Number(bench.view.getBigUint64(FREE + 8, true)))]).toEqual([path, true]);
      calls.fd_close(fd);
    } else if (fd === -NOTCAPABLE) counts.refused++;
    if (i % 20 === 0) {
      const before = outside();
      const made = `${randomPath(prng, 3)}/new${i}`;
      if (calls.path_create_directory(3, ...bench.path(made)) === 0) counts.created++;
      inside = inodesBelow(guest, '/in');
      expect([made, outside()]).toEqual([made, before]);
    }
    // Another guest moves a directory out, and back.
    if (i % 100 === 50) other.rename('/in/a/b', '/moved');
    if (i % 100 === 99) other.rename('/moved', '/in/a/b');
    if (i % 50 === 0 || i % 100 === 99 || i % 100 === 50) inside = inodesBelow(guest, '/in');
  }
  expect(Math.min(counts.reached, counts.refused)).toBeGreaterThan(20);
  expect(counts.created).toBeGreaterThan(0);
  bench.end();
});
