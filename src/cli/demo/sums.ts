/** SHA-256 sums of a tree made directly with node:fs, to compare the guests' with. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { Sum } from './messages.ts';

/** Returns path (from the root of the tree) → sum, or target for a symbolic link. */
export async function directSums(root: string, onProgress: (done: number) => void): Promise<Map<string, string>> {
  const sums = new Map<string, string>();
  const buffer = new Uint8Array(1 << 20);
  const directories = [''];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    for (const entry of readdirSync(`${root}${directory}/`, { withFileTypes: true })) {
      const path = `${directory}/${entry.name}`;
      if (entry.isDirectory()) directories.push(path);
      else if (entry.isFile()) sums.set(path, fileSum(root + path, buffer));
      else if (entry.isSymbolicLink()) sums.set(path, readlinkSync(root + path));
      onProgress(sums.size);
    }
    await setImmediate();
  }
  return sums;
}

/** Returns one line per file whose sums differ, and per file that only one side has. */
export function compareSums(direct: ReadonlyMap<string, string>, guests: readonly Sum[]): string[] {
  const wrong: string[] = [];
  const seen = new Set<string>();
  for (const { path, sum } of guests) {
    if (seen.has(path)) wrong.push(`${path}: read twice`);
    seen.add(path);
    const expected = direct.get(path);
    if (expected === undefined) wrong.push(`${path}: not in the directory`);
    else if (expected !== sum) wrong.push(`${path}: another sum than by node:fs`);
  }
  for (const path of direct.keys()) if (!seen.has(path)) wrong.push(`${path}: no guest read it`);
  return wrong;
}

function fileSum(path: string, buffer: Uint8Array): string {
  const hash = createHash('sha256');
  const fd = openSync(path, 'r');
  try {
    for (;;) {
      const n = readSync(fd, buffer);
      if (n === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, n));
    }
  } finally {
    closeSync(fd);
  }
}
