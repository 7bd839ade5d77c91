/**
 * What the calls of one program share. Each call is a function of this and of its arguments as wasm passes them: signed
 * 32-bit numbers, and bigints. It returns WASI's errno and throws nothing, whatever the arguments are.
 */
import type { Clock } from '../../base/clock.ts';
import { EXDEV } from '../../wire/errno.ts';
import { BADF, NOTCAPABLE, NOTDIR, wasiErrno } from './abi.ts';
import { Ram } from './ram.ts';
import { type Entry, type FileEntry, isFile, type WasiTable } from './table.ts';

export interface ProgramOptions {
  readonly table: WasiTable;
  readonly clock: Clock;
  /** Each with its NUL. */
  readonly args: readonly Uint8Array[];
  readonly env: readonly Uint8Array[];
  readonly random: (into: Uint8Array<ArrayBuffer>) => void;
  readonly sleep: (ms: number) => void;
}

export class Program {
  readonly ram = new Ram();
  readonly options: ProgramOptions;
  readonly table: WasiTable;
  readonly startMs: number;

  constructor(options: ProgramOptions) {
    this.options = options;
    this.table = options.table;
    this.startMs = options.clock.monotonicMs();
  }

  /** The entry of a descriptor that has all of `rights`, or WASI's errno. Every call begins with this or `ram.look`. */
  entry(fd: number, rights: number): Entry | number {
    this.ram.look();
    const entry = this.table.get(fd);
    if (entry === undefined) return BADF;
    return (entry.base & rights) === rights ? entry : NOTCAPABLE;
  }

  /** The same for files and directories; `otherwise` is the errno of a stream. */
  file(fd: number, rights: number, otherwise: number): FileEntry | number {
    const entry = this.entry(fd, rights);
    return typeof entry === 'number' || isFile(entry) ? entry : otherwise;
  }

  /** A directory that paths may start from. */
  directory(fd: number, rights: number): FileEntry | number {
    this.ram.look();
    const entry = this.table.get(fd);
    if (entry === undefined) return BADF;
    if (!isFile(entry) || !entry.isDirectory) return NOTDIR;
    return (entry.base & rights) === rights ? entry : NOTCAPABLE;
  }
}

/** What a call with a path answers for −errno: a path that led out of its directory is a matter of capabilities. */
export function pathErrno({ owner }: FileEntry, result: number): number {
  return Math.abs(result) === EXDEV && owner.mount.namei.hasLeft ? NOTCAPABLE : wasiErrno(result);
}

/** WASI's errno of a count or −errno. */
export function errnoOf(result: number): number {
  return result < 0 ? wasiErrno(result) : 0;
}
