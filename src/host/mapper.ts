/**
 * The window of one guest: which range maps which chunk of which file. Setting up a mapping of 2 MiB is one atomic
 * store of the range's entry (the address of the file's own leaf table), whatever is resident; replacing one likewise,
 * so a concurrent access sees the old mapping or the new one and never a hole.
 *
 * INVARIANT: an entry is PRESENT exactly while `#ranges` has the mapping, and each mapping holds its inode once.
 * SPEC: virtio 1.3, 5.11.6.4: overlaps replace; what stays unmapped is no error at removal.
 */
import { PAGES_PER_RANGE, PMD_PRESENT, PMD_SIZE, PMD_WRITE, PTE_ACCESSED, RANGE_SIZE } from '../../assembly/layout.ts';
import { assert } from '../base/assert.ts';
import { EACCES, EFAULT, EINVAL, ENOMEM, type Errno, OK } from '../wire/errno.ts';
import type { CpuSlot } from './cpu-slot.ts';
import type { Inode } from './inode.ts';
import type { Leaf, LeafMapping } from './leaf.ts';
import type { InodeHolder, Mapper } from './mapper-types.ts';
import type { PageCache } from './page-cache.ts';

interface RangeMapping extends LeafMapping {
  readonly inode: Inode;
  readonly leaf: Leaf;
}

export class WindowMapper implements Mapper {
  readonly windowSize: number;
  onStored?: (inode: Inode) => void;
  readonly #slot: CpuSlot;
  readonly #cache: PageCache;
  readonly #holder: InodeHolder;
  readonly #ranges: (RangeMapping | undefined)[];

  constructor(slot: CpuSlot, cache: PageCache, holder: InodeHolder) {
    this.#slot = slot;
    this.#cache = cache;
    this.#holder = holder;
    this.windowSize = slot.place.rangeCount * RANGE_SIZE;
    this.#ranges = new Array<RangeMapping | undefined>(slot.place.rangeCount).fill(undefined);
  }

  /** Live mappings. */
  get count(): number {
    return this.#ranges.filter((range) => range !== undefined).length;
  }

  setup(inode: Inode, foffset: number, len: number, writable: boolean, moffset: number): Errno {
    for (let done = 0; done < len; done += RANGE_SIZE) {
      const failed = this.#map(inode, (foffset + done) / RANGE_SIZE, writable, (moffset + done) / RANGE_SIZE);
      if (failed !== OK) return failed;
    }
    return OK;
  }

  remove(moffset: number, len: number): Errno {
    const first = moffset / RANGE_SIZE;
    const end = Math.min(this.#ranges.length, (moffset + len) / RANGE_SIZE);
    for (let range = first; range < end; range++) {
      const old = this.#unmap(range);
      if (old !== undefined) this.#tell(old);
    }
    return OK;
  }

  takeUsed(moffset: number): boolean {
    const mapping = this.#ranges[moffset / RANGE_SIZE];
    return mapping !== undefined && this.#cache.wasm.leafClear(mapping.leaf.at, PTE_ACCESSED) !== 0;
  }

  clear(): void {
    for (let range = 0; range < this.#ranges.length; range++) this.#unmap(range);
  }

  /** Resolves the fault that the slot has taken; every number in it is the guest's word. */
  resolveFault(): Errno {
    const slot = this.#slot;
    if (slot.faultRange >= this.#ranges.length || slot.faultPage >= PAGES_PER_RANGE) return EINVAL;
    const mapping = this.#ranges[slot.faultRange];
    if (mapping === undefined) return EFAULT;
    if (slot.faultWrite && !mapping.writable) return EACCES;
    const count = Math.min(slot.faultCount, PAGES_PER_RANGE - slot.faultPage);
    const error = mapping.leaf.pages.fault(mapping.leaf, slot.faultPage, count, slot.faultOwn);
    if (error === OK && mapping.writable) mapping.leaf.mayBeDirty = true;
    return error;
  }

  checkInvariants(): void {
    for (let range = 0; range < this.#ranges.length; range++) {
      const entry = this.#cache.wasm.entryLoad(this.#entryAt(range)) >>> 0;
      const mapping = this.#ranges[range];
      assert(((entry & PMD_PRESENT) !== 0) === (mapping !== undefined), 'window table and mappings disagree');
      if (mapping === undefined) continue;
      assert(mapping.leaf.mappings.includes(mapping), 'a leaf does not know its mapping');
      assert(((entry & PMD_WRITE) !== 0) === mapping.writable, 'a mapping is writable in one place only');
    }
  }

  #map(inode: Inode, chunk: number, writable: boolean, range: number): Errno {
    const space = inode.space;
    assert(space !== undefined, 'only regular files are mapped');
    const leaf = space.pages.leafFor(chunk);
    if (leaf === undefined) return ENOMEM;
    const mapping: RangeMapping = { slot: this.#slot, range, writable, inode, leaf };
    const old = this.#ranges[range];
    leaf.mappings.push(mapping);
    if (writable) leaf.mayBeDirty = true;
    this.#holder.hold(inode);
    this.#ranges[range] = mapping;
    // ORDER: the leaf was complete before; from this store on the guest's accesses go through it.
    this.#cache.wasm.entryStore(this.#entryAt(range), leaf.at | PMD_PRESENT | (writable ? PMD_WRITE : 0));
    if (old === undefined) return OK;
    this.#detach(old);
    this.#tell(old);
    return OK;
  }

  #unmap(range: number): RangeMapping | undefined {
    const old = this.#ranges[range];
    if (old === undefined) return undefined;
    this.#ranges[range] = undefined;
    // ORDER: accesses that loaded the old entry are waited for (owed grace) before the leaf or a frame of it is reused.
    this.#cache.wasm.entryStore(this.#entryAt(range), 0);
    this.#detach(old);
    return old;
  }

  #tell(old: RangeMapping): void {
    if (old.writable) this.onStored?.(old.inode);
  }

  #detach(old: RangeMapping): void {
    const { leaf, inode } = old;
    leaf.mappings.splice(leaf.mappings.indexOf(old), 1);
    this.#cache.oweGrace();
    // What the guest stored reaches the backing before the mapping counts as removed.
    if (old.writable) leaf.pages.flushLeaf(leaf);
    leaf.pages.trim(leaf);
    this.#holder.release(inode);
  }

  #entryAt(range: number): number {
    return this.#slot.place.tableAt + range * PMD_SIZE;
  }
}
