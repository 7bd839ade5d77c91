/** Backings of files that fail now and then, as a disk that is full or broken. */
import type { Prng } from '../../src/base/prng.ts';
import type { PageBacking } from '../../src/host/file-pages.ts';
import type { PageCache } from '../../src/host/page-cache.ts';
import { EIO, ENOSPC } from '../../src/wire/errno.ts';

export class FaultyBackings {
  /** How likely a read or a write fails. */
  readChance = 0;
  writeChance = 0;
  failedReads = 0;
  failedWrites = 0;
  readonly #rng: Prng;

  constructor(rng: Prng) {
    this.#rng = rng;
  }

  /** A page cache, as a file system uses it, whose files lie on such backings. */
  wrap(pageCache: PageCache): PageCache {
    const createBackedSpace = (backing: PageBacking, size: number) =>
      pageCache.createBackedSpace(this.#wrapOne(backing), size);
    return { bytes: pageCache.bytes, createBackedSpace } as unknown as PageCache;
  }

  #wrapOne(backing: PageBacking): PageBacking {
    return {
      read: (pos, at, size) => {
        if (!this.#rng.chance(this.readChance)) return backing.read(pos, at, size);
        this.failedReads++;
        return -EIO;
      },
      write: (pos, at, size) => {
        if (!this.#rng.chance(this.writeChance)) return backing.write(pos, at, size);
        this.failedWrites++;
        return this.#rng.chance(0.5) ? -EIO : -ENOSPC;
      },
    };
  }
}
