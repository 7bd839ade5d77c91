/**
 * System calls on a descriptor, or on one name directly in the directory that a descriptor is. With node:fs alone that
 * takes a path through the procfs descriptor directory; native-at.ts has the calls that were made for it.
 */
import { type BigIntStats, closeSync, fstatSync, lstatSync, openSync, readlinkSync, unlinkSync } from 'node:fs';
import type { ByteString } from '../../base/bytes.ts';
import { BIGINT, PROBE } from './anchor.ts';
import { type Listing, listByPath } from './listing.ts';
import { type Path, pathOfBytes } from './path.ts';
import { type Stat, statOfNode } from './stat.ts';

/** No symbolic link is followed. What fails throws; `name` has no slash. */
export interface AtCalls {
  stat(fd: number): Stat;
  /** Returns undefined if there is no such name. */
  statAt(directory: number, name: ByteString): Stat | undefined;
  /** Follows links: only for procfs's own, and for the path of the root. */
  open(path: Path, flags: number, mode: number): number;
  openAt(directory: number, name: ByteString, flags: number, mode: number): number;
  unlinkAt(directory: number, name: ByteString): void;
  /** Adds the entries of the directory that procfs's link leads to. */
  list(directory: string, into: Listing): void;
  /**
   * Closes what was opened here. In a worker Node keeps track of what its own calls open and close, and closes the rest
   * when the worker ends: so who opens must close.
   */
  close(fd: number): void;
}

export class ProcfsCalls implements AtCalls {
  /** By number: one link less to follow in each call than through `/proc/self`. */
  readonly #descriptors = `/proc/${readlinkSync('/proc/self')}/fd/`;

  /** The object itself. */
  path(fd: number): string {
    return `${this.#descriptors}${fd}`;
  }

  pathAt(directory: number, name: ByteString): Path {
    return pathOfBytes(`${this.#descriptors}${directory}/${name}`);
  }

  stat(fd: number): Stat {
    return statOfNode(fstatSync(fd, BIGINT));
  }

  statAt(directory: number, name: ByteString): Stat | undefined {
    const stats: BigIntStats | undefined = lstatSync(this.pathAt(directory, name), PROBE);
    return stats === undefined ? undefined : statOfNode(stats);
  }

  open(path: Path, flags: number, mode: number): number {
    return openSync(path, flags, mode);
  }

  openAt(directory: number, name: ByteString, flags: number, mode: number): number {
    return openSync(this.pathAt(directory, name), flags, mode);
  }

  unlinkAt(directory: number, name: ByteString): void {
    unlinkSync(this.pathAt(directory, name));
  }

  list(directory: string, into: Listing): void {
    listByPath(directory, into);
  }

  close(fd: number): void {
    closeSync(fd);
  }
}
