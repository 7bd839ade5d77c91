/** An open directory as programs hold it: an iterator over its entries, without "." and "..". */
import { arrayOfBytes, textOfBytes } from '../base/bytes.ts';
import type { OpenDirectory } from './directory.ts';
import { FsError } from './errors.ts';
import { DirectoryEntry } from './stats.ts';

export class Directory implements Iterable<DirectoryEntry> {
  readonly path: string;
  readonly #directory: OpenDirectory;

  constructor(directory: OpenDirectory, path: string) {
    this.#directory = directory;
    this.path = path;
  }

  /** Returns the next entry, or null at the end. */
  read(): DirectoryEntry | null {
    const directory = this.#directory;
    for (;;) {
      const outcome = directory.next();
      if (outcome < 0) throw new FsError(-outcome, 'getdents64', this.path);
      if (outcome === 0) return null;
      const { name } = directory;
      if (name === '.' || name === '..') continue;
      return new DirectoryEntry(textOfBytes(name), arrayOfBytes(name), directory.ino, directory.type);
    }
  }

  /** Closes the directory when the loop ends, however it ends. */
  *[Symbol.iterator](): Generator<DirectoryEntry> {
    try {
      for (let entry = this.read(); entry !== null; entry = this.read()) yield entry;
    } finally {
      this.close();
    }
  }

  close(): void {
    this.#directory.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
