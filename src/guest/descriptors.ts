/**
 * A process's file descriptors: small numbers that name open file descriptions, which several of them may share.
 * SPEC: POSIX, 2.14 "File Descriptor Allocation": always the lowest free number.
 */
import { assert } from '../base/assert.ts';
import { EBADF, EINVAL, EMFILE, type Errno } from '../wire/errno.ts';
import type { OpenDirectory } from './directory.ts';
import type { OpenFile } from './file.ts';

export type Description = OpenFile | OpenDirectory;

/** As RLIMIT_NOFILE has it by default. */
const MAX_DESCRIPTORS = 1024;

interface Descriptor {
  readonly description: Description;
  closesOnExec: boolean;
}

export class Descriptors {
  readonly #limit: number;
  readonly #table: (Descriptor | undefined)[] = [];
  /** No free number is below. */
  #lowest = 0;

  constructor(limit = MAX_DESCRIPTORS) {
    this.#limit = limit;
  }

  get(fd: number): Description | undefined {
    return this.#table[fd]?.description;
  }

  /** Gives the description the lowest free number from `from` on: that, or −EMFILE or −EINVAL. */
  add(description: Description, closesOnExec: boolean, from = 0): number {
    if (!Number.isInteger(from) || from < 0 || from >= this.#limit) return -EINVAL;
    let fd = Math.max(from, this.#lowest);
    while (this.#table[fd] !== undefined) fd++;
    if (fd >= this.#limit) return -EMFILE;
    if (from <= this.#lowest) this.#lowest = fd + 1;
    this.#put(fd, description, closesOnExec);
    return fd;
  }

  /** Makes `fd` name the description. What it named before is returned, for the caller to close. */
  replace(fd: number, description: Description, closesOnExec: boolean): Description | undefined | Errno {
    if (!Number.isInteger(fd) || fd < 0 || fd >= this.#limit) return EBADF;
    const before = this.#table[fd]?.description;
    this.#put(fd, description, closesOnExec);
    return before;
  }

  /** Frees the number and returns what it named. */
  remove(fd: number): Description | undefined {
    const found = this.#table[fd];
    if (found === undefined) return undefined;
    this.#table[fd] = undefined;
    this.#lowest = Math.min(this.#lowest, fd);
    return found.description;
  }

  closesOnExec(fd: number): boolean {
    return this.#table[fd]?.closesOnExec ?? false;
  }

  setClosesOnExec(fd: number, closes: boolean): void {
    const found = this.#table[fd];
    assert(found !== undefined, 'only an open descriptor has flags');
    found.closesOnExec = closes;
  }

  /** Open descriptors, in order. */
  *[Symbol.iterator](): Generator<readonly [fd: number, description: Description, closesOnExec: boolean]> {
    for (const [fd, found] of this.#table.entries()) {
      if (found !== undefined) yield [fd, found.description, found.closesOnExec];
    }
  }

  #put(fd: number, description: Description, closesOnExec: boolean): void {
    // No holes in the array: it stays one of V8's fast ones.
    while (this.#table.length < fd) this.#table.push(undefined);
    this.#table[fd] = { description, closesOnExec };
  }
}
