/**
 * What a program's descriptors name. WASI adds to a POSIX descriptor: rights, the rights of what is opened beneath it,
 * and the name of a preopened directory. Files and directories are descriptors of a process of a guest, streams are the
 * host environment's; the numbers are the program's own.
 */
import type { ByteString } from '../../base/bytes.ts';
import type { Process } from '../../guest/process.ts';
import type { WasiStream } from './streams.ts';

/** As many as a process of a guest has. */
const LIMIT = 1024;

interface Common {
  /** Rights of the descriptor, and of what is opened beneath it. */
  base: number;
  inheriting: number;
  /** FDFLAGS_NONBLOCK, which means nothing for files but is told back. */
  isNonblocking: boolean;
}

export interface FileEntry extends Common {
  readonly owner: Process;
  readonly fd: number;
  readonly isDirectory: boolean;
  /** Bytes of the path under which the program knows a preopened directory. */
  readonly preopen: Uint8Array | undefined;
  /** Directories: where listing stopped amid an entry. */
  listing: Listing | undefined;
}

/** An entry that was taken from the directory and did not fit. */
export interface Listing {
  /** Cookies of where it begins and where the next one does. */
  readonly before: bigint;
  readonly after: bigint;
  readonly name: ByteString;
  readonly ino: number;
  readonly type: number;
}

export interface StreamEntry extends Common {
  readonly stream: WasiStream;
}

export type Entry = FileEntry | StreamEntry;

export class WasiTable {
  readonly #entries: (Entry | undefined)[] = [];

  get(fd: number): Entry | undefined {
    return this.#entries[fd];
  }

  /** The lowest free number; −1: there is none. */
  add(entry: Entry): number {
    let fd = 0;
    while (this.#entries[fd] !== undefined) fd++;
    if (fd >= LIMIT) return -1;
    this.#entries[fd] = entry;
    return fd;
  }

  /** Frees the number; what it named is the caller's to close. */
  remove(fd: number): Entry | undefined {
    const entry = this.#entries[fd];
    if (entry !== undefined) this.#entries[fd] = undefined;
    return entry;
  }

  clear(): void {
    this.#entries.length = 0;
  }

  /** Makes `to`, which is open, name what `from` names, and frees `from`. Returns what `to` named. */
  move(from: number, to: number): Entry | undefined {
    const entry = this.#entries[from];
    const before = this.#entries[to];
    this.#entries[from] = undefined;
    this.#entries[to] = entry;
    return before;
  }
}

export function isFile(entry: Entry): entry is FileEntry {
  return 'owner' in entry;
}
