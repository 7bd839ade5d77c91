/** Takes over what a MAP was granted: the server's word is checked against what this guest believes of each range. */
import type { Counters } from './counters.ts';
import { type DaxRange, RANGE_SIZE, type RangePool } from './dax-ranges.ts';
import type { Inode } from './inode.ts';
import type { MapRequests } from './request-map.ts';

/**
 * Maps the granted ranges from `chunk` on. Returns false, and takes nothing, when the grant makes no sense: a range
 * that shows something else for us, or lies outside the window.
 */
export function takeGrant(
  pool: RangePool,
  requests: MapRequests,
  counters: Counters,
  inode: Inode,
  chunk: number,
  writable: boolean,
): boolean {
  const { grant, moffset, size } = requests;
  if (moffset % RANGE_SIZE !== 0 || size % RANGE_SIZE !== 0) return false;
  const first = moffset / RANGE_SIZE;
  const count = size / RANGE_SIZE;
  if (count === 0 || first + count > pool.ranges.length) return false;
  for (let i = 0; i < count; i++) {
    const range = pool.ranges[first + i];
    const known = inode.ranges?.get(chunk + i);
    // A chunk that is mapped must have been granted where it is; any other range must be free.
    if (known === undefined ? range?.state !== 'free' : known !== range || range.grant !== grant) return false;
  }
  for (let i = 0; i < count; i++) {
    const known = inode.ranges?.get(chunk + i);
    if (known !== undefined) {
      known.isWritable ||= writable;
      continue;
    }
    const range = pool.takeAt(pool.ranges[first + i] as DaxRange);
    pool.map(range, inode, chunk + i, writable, i > 0);
    range.grant = grant;
    counters.mappingsSetUp++;
  }
  counters.mappedAhead += count - 1;
  return true;
}
