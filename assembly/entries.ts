/** The host's hands on page table and window entries: every change is one atomic operation that all guests see. */
import {
  PAGE_SHIFT,
  PAGE_SIZE,
  PAGES_PER_RANGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_FRAME_MASK,
  PTE_PRESENT,
  PTE_ZERO,
} from './layout';

// SAFETY: callers pass the address of an entry of a live leaf or window table.
export function entryLoad(at: u32): u32 {
  return atomic.load<u32>(at);
}

// SAFETY: as entryLoad.
export function entryStore(at: u32, value: u32): void {
  // ORDER: publishes the frame's bytes, written before; pairs with the load in resolve().
  atomic.store<u32>(at, value);
}

// SAFETY: as entryLoad.
export function entryClear(at: u32, bits: u32): u32 {
  // ORDER: sequentially consistent against the epoch word: a guest that still saw the bit has an odd epoch that the
  // host's grace period will see.
  return atomic.and<u32>(at, ~bits);
}

// SAFETY: as entryLoad.
export function entrySet(at: u32, bits: u32): u32 {
  // ORDER: shows a page again, or marks it; whatever the bits are about was done before.
  return atomic.or<u32>(at, bits);
}

/** Returns the first page ≥ `from` of a leaf whose entry has all of `bits`, 512 = none. */
export function leafFind(leaf: u32, from: u32, bits: u32): u32 {
  // SAFETY: page < 512.
  for (let page = from; page < <u32>PAGES_PER_RANGE; page++) {
    if ((load<u32>(leaf + (page << 2)) & bits) === bits) return page;
  }
  return PAGES_PER_RANGE;
}

/** Clears `bits` in all entries of a leaf; returns how many had one of them. */
export function leafClear(leaf: u32, bits: u32): u32 {
  let count: u32 = 0;
  // SAFETY: page < 512.
  for (let page: u32 = 0; page < <u32>PAGES_PER_RANGE; page++) {
    const at = leaf + (page << 2);
    if ((load<u32>(at) & bits) === 0) continue;
    // ORDER: as in entryClear; only ever ACCESSED, about which nobody orders anything.
    atomic.and<u32>(at, ~bits);
    count++;
  }
  return count;
}

/** Hides pages [from, end) of a leaf. */
export function leafHide(leaf: u32, from: u32, end: u32): void {
  // SAFETY: end ≤ 512.
  for (let page = from; page < end; page++) {
    // ORDER: as entryClear.
    if (load<u32>(leaf + (page << 2)) !== 0) atomic.and<u32>(leaf + (page << 2), ~PTE_PRESENT);
  }
}

/** Returns how many of the pages [from, end) of a leaf have no frame of their own. */
export function leafMissing(leaf: u32, from: u32, end: u32): u32 {
  // SAFETY: end ≤ 512.
  let count: u32 = 0;
  for (let page = from; page < end; page++) if (!hasOwnFrame(load<u32>(leaf + (page << 2)))) count++;
  return count;
}

/** Returns how many pages of a leaf have all of `bits`. */
export function leafCount(leaf: u32, bits: u32): u32 {
  // SAFETY: page < 512.
  let count: u32 = 0;
  for (let page: u32 = 0; page < <u32>PAGES_PER_RANGE; page++) {
    if ((load<u32>(leaf + (page << 2)) & bits) === bits) count++;
  }
  return count;
}

/** Returns in how many runs of neighbouring frames the pages of a leaf lie. */
export function leafRuns(leaf: u32): u32 {
  // SAFETY: page < 512.
  let count: u32 = 0;
  let next: u32 = 0;
  for (let page: u32 = 0; page < <u32>PAGES_PER_RANGE; page++) {
    const entry = load<u32>(leaf + (page << 2));
    const frame = entry & PTE_FRAME_MASK;
    if (!hasOwnFrame(entry)) next = 0;
    else {
      if (frame !== next) count++;
      next = frame + PAGE_SIZE;
    }
  }
  return count;
}

export function hasOwnFrame(entry: u32): bool {
  return (entry & PTE_ZERO) === 0 && (entry & PTE_FRAME_MASK) !== 0;
}

/**
 * Copies up to `size` bytes from `offset` of a chunk to `target`; stops at the first page that is not present. Host
 * only: the host takes no frame away while it copies, so no epoch is needed. Returns the bytes copied.
 */
export function leafRead(leaf: u32, offset: u32, target: u32, size: u32): u32 {
  // SAFETY: offset + size ≤ 2 MiB and target + size lies in memory: checked by the caller.
  let done: u32 = 0;
  while (done < size) {
    const at = offset + done;
    const entryAt = leaf + ((at >>> PAGE_SHIFT) << 2);
    const entry = atomic.load<u32>(entryAt);
    if ((entry & PTE_PRESENT) === 0) break;
    if ((entry & PTE_ACCESSED) === 0) atomic.or<u32>(entryAt, PTE_ACCESSED);
    const inPage = at & (PAGE_SIZE - 1);
    const n = min<u32>(PAGE_SIZE - inPage, size - done);
    memory.copy(target + done, (entry & PTE_FRAME_MASK) + inPage, n);
    done += n;
  }
  return done;
}

/** The reverse: copies into present pages that are not ZERO. `dirty`: mark them for write-back. */
export function leafWrite(leaf: u32, offset: u32, source: u32, size: u32, dirty: bool): u32 {
  // SAFETY: as leafRead.
  const bits = dirty ? PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED;
  let done: u32 = 0;
  while (done < size) {
    const at = offset + done;
    const entryAt = leaf + ((at >>> PAGE_SHIFT) << 2);
    const entry = atomic.load<u32>(entryAt);
    if ((entry & (PTE_PRESENT | PTE_ZERO)) !== PTE_PRESENT) break;
    const inPage = at & (PAGE_SIZE - 1);
    const n = min<u32>(PAGE_SIZE - inPage, size - done);
    // ORDER: as in resolve(): DIRTY before the bytes.
    if ((entry & bits) !== bits) atomic.or<u32>(entryAt, bits);
    memory.copy((entry & PTE_FRAME_MASK) + inPage, source + done, n);
    done += n;
  }
  return done;
}

// SAFETY: the caller checked both ranges.
export function copy(target: u32, source: u32, size: u32): void {
  memory.copy(target, source, size);
}

// SAFETY: the caller checked the range.
export function fill(target: u32, size: u32): void {
  memory.fill(target, 0, size);
}
