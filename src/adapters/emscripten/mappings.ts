/**
 * mmap(2) for a program whose memory is its own: one copy of the file's bytes in it, compared with what the file held
 * when both were last alike. An exchange writes the bytes that the program has changed, and only those, and takes over
 * what others have written meanwhile; so two programs that store at different places of one page lose nothing.
 *
 * An exchange happens at msync, munmap, close, fsync, before this program reads the file and after it wrote it, when it
 * gets a lock on it and before it gives one back. In between nobody sees the other's stores.
 */
import type { OpenFile } from '../../guest/file.ts';
import type { Inode } from '../../guest/inode.ts';
import type { Process } from '../../guest/process.ts';
import { OK } from '../../wire/errno.ts';
import type { EmscriptenModule } from './module.ts';

interface Mapped {
  readonly ptr: number;
  readonly size: number;
  /** In the file. */
  readonly pos: number;
  readonly isShared: boolean;
  readonly isWritable: boolean;
  readonly program: Process;
  /** Held as long as it is mapped, whoever closes its descriptors. */
  readonly file: OpenFile;
  /** What program and file had in common after the last exchange. */
  readonly base: Uint8Array;
}

export interface MapRequest {
  readonly program: Process;
  readonly file: OpenFile;
  readonly size: number;
  readonly pos: number;
  readonly isShared: boolean;
  readonly isWritable: boolean;
}

/** The mappings of one program. */
export class Mappings {
  readonly #module: EmscriptenModule;
  /** Whether munmap is heard of: if not, memory that was mapped once must not be touched again. */
  readonly #isTracked: boolean;
  readonly #byAddress = new Map<number, Mapped>();

  constructor(module: EmscriptenModule, isTracked: boolean) {
    this.#module = module;
    this.#isTracked = isTracked;
  }

  /** Copies the file's bytes into the program's memory. Returns their address, 0 if there is no memory, or −errno. */
  map(request: MapRequest): number {
    const { program, file, size, pos } = request;
    const base = new Uint8Array(size);
    const n = program.as(() => readAll(file, base, pos));
    if (n < 0) return n;
    const ptr = this.#module.mmapAlloc?.(size) ?? 0;
    if (ptr === 0) return 0;
    this.#module.HEAPU8.set(base, ptr);
    if (this.#isTracked) {
      file.refs++;
      this.#byAddress.set(ptr, { ...request, ptr, base });
    }
    return ptr;
  }

  /** munmap(2): 0 or −errno; undefined: not a mapping of ours. */
  unmap(ptr: number): number | undefined {
    const mapped = this.#byAddress.get(ptr);
    if (mapped === undefined) return undefined;
    this.#byAddress.delete(ptr);
    const done = this.#exchange(mapped);
    const { program, file } = mapped;
    const errno = program.as(() => (--file.refs === 0 ? file.close() : OK));
    return done < 0 ? done : 0 - errno;
  }

  /** msync(2), of the whole mapping that `address` lies in: 0 or −errno; undefined: not a mapping of ours. */
  sync(address: number): number | undefined {
    for (const mapped of this.#byAddress.values()) {
      if (address < mapped.ptr || address >= mapped.ptr + mapped.size) continue;
      const done = this.#exchange(mapped);
      return done < 0 ? done : 0 - mapped.program.as(() => mapped.file.fsync(true));
    }
    return undefined;
  }

  /** Exchanges all mappings of one file. Returns 0 or the first −errno. */
  exchange(program: Process, inode: Inode): number {
    let outcome = 0;
    if (this.#byAddress.size === 0) return outcome;
    for (const mapped of this.#byAddress.values()) {
      if (mapped.file.inode !== inode || mapped.program !== program) continue;
      const done = this.#exchange(mapped);
      if (done < 0 && outcome === 0) outcome = done;
    }
    return outcome;
  }

  #exchange(mapped: Mapped): number {
    const { ptr, size, pos, file, base, program } = mapped;
    if (!mapped.isShared) return 0;
    const memory = this.#module.HEAPU8.subarray(ptr, ptr + size);
    const theirs = new Uint8Array(size);
    const end = program.as(() => readAll(file, theirs, pos));
    if (end < 0) return end;
    let outcome = 0;
    for (let from = nextStore(memory, base, 0, end); from < end; ) {
      const to = endOfStore(memory, base, from, end);
      const stored = memory.subarray(from, to);
      theirs.set(stored, from);
      const n = mapped.isWritable ? program.as(() => file.pwrite(stored, 0, to - from, pos + from)) : 0;
      if (n < 0) outcome = n;
      from = nextStore(memory, base, to, end);
    }
    memory.set(theirs.subarray(0, end));
    base.set(theirs.subarray(0, end));
    return outcome;
  }
}

/** Reads until `into` is full or the file ends. Returns the count or −errno. */
function readAll(file: OpenFile, into: Uint8Array, pos: number): number {
  for (let done = 0; ; ) {
    const n = file.pread(into, done, into.length - done, pos + done);
    if (n < 0) return n;
    done += n;
    if (n === 0 || done === into.length) return done;
  }
}

/** The first byte from `from` on that the program has changed, or `end`. */
function nextStore(memory: Uint8Array, base: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && memory[at] === base[at]) at++;
  return at;
}

function endOfStore(memory: Uint8Array, base: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && memory[at] !== base[at]) at++;
  return at;
}
