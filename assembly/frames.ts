/**
 * The frame pool: 4 KiB frames by bitmap, and the leaf tables, which are halves of frames. Only the host calls this, so
 * nothing here is atomic.
 *
 * INVARIANT: popcount of the bitmap + POOL_FREE_FRAMES = POOL_FRAME_COUNT; a set bit has a non-zero frame table word.
 * A file's pages should be neighbours (one copy, one view then covers many), so a taker names the frame it would like.
 */
import { hasOwnFrame } from './entries';
import {
  FRAME_KEEP,
  FRAME_LEAF_HIGH,
  FRAME_LEAF_LOW,
  FRAME_LEAVES,
  FRAME_OWNER_MASK,
  LEAF_SIZE,
  PAGE_SHIFT,
  PAGE_SIZE,
  PAGES_PER_RANGE,
  POOL_BITMAP_AT,
  POOL_CURSOR,
  POOL_FRAME_COUNT,
  POOL_FRAMES_AT,
  POOL_FREE_FRAMES,
  POOL_FREE_LEAF,
  POOL_HAND,
  POOL_LEAVES,
  POOL_TABLE_AT,
  POOL_ZERO_FRAME,
  PTE_ACCESSED,
  PTE_FRAME_MASK,
  PTE_PRESENT,
  RANGE_SIZE,
} from './layout';

/** Builds the pool's tables; `tableAt` and `bitmapAt` name zeroed memory. The first frame becomes the page of zeros. */
export function poolInit(pool: u32, framesAt: u32, frameCount: u32, tableAt: u32, bitmapAt: u32): void {
  // SAFETY: the caller planned the memory: the pool's header, one word per frame, one bit per frame rounded up to
  // words.
  store<u32>(pool + POOL_FRAMES_AT, framesAt);
  store<u32>(pool + POOL_FRAME_COUNT, frameCount);
  store<u32>(pool + POOL_TABLE_AT, tableAt);
  store<u32>(pool + POOL_BITMAP_AT, bitmapAt);
  store<u32>(pool + POOL_FREE_FRAMES, frameCount);
  // Bits past the last frame count as taken, so that searches need no bound within a word.
  const tail = frameCount & 31;
  if (tail !== 0) store<u32>(bitmapAt + ((frameCount >>> 5) << 2), ~((1 << tail) - 1));
  store<u32>(pool + POOL_ZERO_FRAME, frameTake(pool, framesAt, FRAME_KEEP));
}

/**
 * Takes a frame, `wish` (an address) if that one is free, and records its owner. Returns its address, 0 = none left.
 */
export function frameTake(pool: u32, wish: u32, owner: u32): u32 {
  // SAFETY: index is below POOL_FRAME_COUNT in every branch; tables are as long as the pool.
  if (load<u32>(pool + POOL_FREE_FRAMES) === 0) return 0;
  const framesAt = load<u32>(pool + POOL_FRAMES_AT);
  const bitmap = load<u32>(pool + POOL_BITMAP_AT);
  let index: u32 = (wish - framesAt) >>> PAGE_SHIFT;
  if (wish < framesAt || index >= load<u32>(pool + POOL_FRAME_COUNT) || isTaken(bitmap, index)) {
    index = findFree(pool, bitmap);
  }
  const word = bitmap + ((index >>> 5) << 2);
  store<u32>(word, load<u32>(word) | (1 << (index & 31)));
  store<u32>(load<u32>(pool + POOL_TABLE_AT) + (index << 2), owner);
  store<u32>(pool + POOL_FREE_FRAMES, load<u32>(pool + POOL_FREE_FRAMES) - 1);
  return framesAt + (index << PAGE_SHIFT);
}

/** Gives a frame back. */
export function frameGive(pool: u32, frame: u32): void {
  // SAFETY: the frame came from frameTake, so its index is in the tables.
  const index = (frame - load<u32>(pool + POOL_FRAMES_AT)) >>> PAGE_SHIFT;
  const word = load<u32>(pool + POOL_BITMAP_AT) + ((index >>> 5) << 2);
  store<u32>(word, load<u32>(word) & ~(1 << (index & 31)));
  store<u32>(load<u32>(pool + POOL_TABLE_AT) + (index << 2), 0);
  store<u32>(pool + POOL_FREE_FRAMES, load<u32>(pool + POOL_FREE_FRAMES) + 1);
}

/**
 * Gives pages [from, end) of a leaf that have no frame of their own one that stays (KEEP) and is not shown yet. There
 * must be enough free frames; `first` is the wish for the first one. Returns how many it took.
 */
export function leafReserve(pool: u32, leaf: u32, from: u32, end: u32, first: u32): u32 {
  // SAFETY: end ≤ 512.
  let wish = first;
  let taken: u32 = 0;
  for (let page = from; page < end; page++) {
    const entryAt = leaf + (page << 2);
    let frame = load<u32>(entryAt);
    if (!hasOwnFrame(frame)) {
      frame = frameTake(pool, wish, entryAt | FRAME_KEEP);
      // ORDER: the page of zeros may go, or nothing was there: nobody sees the new frame before PRESENT.
      atomic.store<u32>(entryAt, frame);
      taken++;
    }
    wish = (frame & PTE_FRAME_MASK) + PAGE_SIZE;
  }
  return taken;
}

/** Makes a frame nobody's page: it stays taken, and the clock passes it by. */
export function frameDisown(pool: u32, frame: u32): void {
  // SAFETY: as in frameGive.
  const index = (frame - load<u32>(pool + POOL_FRAMES_AT)) >>> PAGE_SHIFT;
  store<u32>(load<u32>(pool + POOL_TABLE_AT) + (index << 2), FRAME_KEEP);
}

/** Returns the frame table word of a frame. */
export function frameOwner(pool: u32, frame: u32): u32 {
  // SAFETY: as in frameGive.
  const index = (frame - load<u32>(pool + POOL_FRAMES_AT)) >>> PAGE_SHIFT;
  return load<u32>(load<u32>(pool + POOL_TABLE_AT) + (index << 2));
}

function isTaken(bitmap: u32, index: u32): bool {
  // SAFETY: index is in the bitmap.
  return (load<u32>(bitmap + ((index >>> 5) << 2)) & (1 << (index & 31))) !== 0;
}

/** Finds a free frame, best at the start of 32 free ones; the caller knows that there is one. */
function findFree(pool: u32, bitmap: u32): u32 {
  // SAFETY: word runs over the bitmap's words only.
  const words = (load<u32>(pool + POOL_FRAME_COUNT) + 31) >>> 5;
  let word = load<u32>(pool + POOL_CURSOR);
  let best = words;
  for (let i: u32 = 0; i < words; i++) {
    if (word >= words) word = 0;
    const bits = load<u32>(bitmap + (word << 2));
    if (bits === 0) {
      store<u32>(pool + POOL_CURSOR, word);
      return word << 5;
    }
    // A search for whole free words may not become a walk over a nearly full pool for each frame.
    if (best === words && bits !== 0xffffffff) best = word;
    if (best !== words && i >= 64) break;
    word++;
  }
  store<u32>(pool + POOL_CURSOR, best);
  return (best << 5) + ctz<u32>(~load<u32>(bitmap + (best << 2)));
}

/**
 * Finds room for a whole chunk side by side: the last 512 frames that begin at a multiple of 512 and are all free. From
 * the end, for `findFree` comes from the start. Takes nothing. Returns their address, 0 = none.
 */
export function frameHome(pool: u32): u32 {
  // SAFETY: group ends within the bitmap.
  if (load<u32>(pool + POOL_FREE_FRAMES) < <u32>PAGES_PER_RANGE) return 0;
  const bitmap = load<u32>(pool + POOL_BITMAP_AT);
  for (let group = load<u32>(pool + POOL_FRAME_COUNT) / PAGES_PER_RANGE; group > 0; group--) {
    const first = bitmap + (group - 1) * (PAGES_PER_RANGE >> 3);
    let at: u32 = 0;
    while (at < <u32>PAGES_PER_RANGE >> 3 && load<u32>(first + at) === 0) at += 4;
    if (at === <u32>PAGES_PER_RANGE >> 3) return load<u32>(pool + POOL_FRAMES_AT) + (group - 1) * RANGE_SIZE;
  }
  return 0;
}

/** Takes a zeroed leaf table. Returns its address, 0 = no memory. */
export function leafTake(pool: u32): u32 {
  // SAFETY: a free leaf's first two words are its list links; POOL_FREE_LEAF is 0 or a free leaf.
  let leaf = load<u32>(pool + POOL_FREE_LEAF);
  if (leaf === 0) {
    const frame = frameTake(pool, 0, FRAME_LEAVES);
    if (frame === 0) return 0;
    pushFreeLeaf(pool, frame + LEAF_SIZE);
    pushFreeLeaf(pool, frame);
    leaf = frame;
  }
  removeFreeLeaf(pool, leaf);
  setHalf(pool, leaf, true);
  memory.fill(leaf, 0, LEAF_SIZE);
  store<u32>(pool + POOL_LEAVES, load<u32>(pool + POOL_LEAVES) + 1);
  return leaf;
}

/** Gives a leaf table back, and its frame with it when the other half is free too. */
export function leafGive(pool: u32, leaf: u32): void {
  // SAFETY: leaf came from leafTake.
  store<u32>(pool + POOL_LEAVES, load<u32>(pool + POOL_LEAVES) - 1);
  const left = setHalf(pool, leaf, false);
  pushFreeLeaf(pool, leaf);
  if (left !== FRAME_LEAVES) return;
  const frame = leaf & ~(PAGE_SIZE - 1);
  removeFreeLeaf(pool, frame);
  removeFreeLeaf(pool, frame + LEAF_SIZE);
  frameGive(pool, frame);
}

function setHalf(pool: u32, leaf: u32, taken: bool): u32 {
  // SAFETY: leaf lies in a frame of the pool.
  const index = (leaf - load<u32>(pool + POOL_FRAMES_AT)) >>> PAGE_SHIFT;
  const at = load<u32>(pool + POOL_TABLE_AT) + (index << 2);
  const half = (leaf & LEAF_SIZE) === 0 ? FRAME_LEAF_LOW : FRAME_LEAF_HIGH;
  const word = taken ? load<u32>(at) | half : load<u32>(at) & ~half;
  store<u32>(at, word);
  return word;
}

function pushFreeLeaf(pool: u32, leaf: u32): void {
  // SAFETY: a free leaf is ours to write; its links are its first two words.
  const head = load<u32>(pool + POOL_FREE_LEAF);
  store<u32>(leaf, head);
  store<u32>(leaf + 4, 0);
  if (head !== 0) store<u32>(head + 4, leaf);
  store<u32>(pool + POOL_FREE_LEAF, leaf);
}

function removeFreeLeaf(pool: u32, leaf: u32): void {
  // SAFETY: leaf is on the list of free leaves, so its links are 0 or free leaves.
  const next = load<u32>(leaf);
  const previous = load<u32>(leaf + 4);
  if (next !== 0) store<u32>(next + 4, previous);
  if (previous !== 0) store<u32>(previous, next);
  else store<u32>(pool + POOL_FREE_LEAF, next);
}

/**
 * Moves the clock's hand to the next frame that may be evicted and was not accessed since the hand last passed; clears
 * ACCESSED on the way. Returns the address of its page table entry, 0 = nothing within `budget` steps.
 */
export function clockNext(pool: u32, budget: u32): u32 {
  // SAFETY: hand is kept below POOL_FRAME_COUNT; an owner word without flags is the address of a live entry.
  const count = load<u32>(pool + POOL_FRAME_COUNT);
  const table = load<u32>(pool + POOL_TABLE_AT);
  let hand = load<u32>(pool + POOL_HAND);
  for (let i: u32 = 0; i < budget; i++) {
    hand++;
    if (hand >= count) hand = 0;
    const owner = load<u32>(table + (hand << 2));
    if (owner === 0 || (owner & ~FRAME_OWNER_MASK) !== 0) continue;
    const entry = atomic.load<u32>(owner);
    if ((entry & PTE_PRESENT) === 0) continue;
    if ((entry & PTE_ACCESSED) !== 0) {
      atomic.and<u32>(owner, ~PTE_ACCESSED);
      continue;
    }
    store<u32>(pool + POOL_HAND, hand);
    return owner;
  }
  store<u32>(pool + POOL_HAND, hand);
  return 0;
}
