/**
 * A process's file descriptors: small numbers that name open file descriptions, which several of them may share.
 * SPEC: POSIX, 2.14 "File Descriptor Allocation": always the lowest free number.
 */
import { assert } from '../base/assert.ts';
import { EBADF, EINVAL, EMFILE, type Errno, OK } from '../wire/errno.ts';
import type { OpenDirectory } from './directory.ts';
import { OpenFile } from './file.ts';

export type Description = OpenFile | OpenDirectory;

/** As RLIMIT_NOFILE has it by default. */
const MAX_DESCRIPTORS = 1024;

/** What a process does with its descriptors; alone, or together with the threads of other workers. */
export interface DescriptorTable {
  /** What the descriptor names, for one call; `put` says that the call is over. */
  get(fd: number): Description | undefined;
  put(description: Description): void;
  /** Gives a new description the lowest free number: that, or −errno. */
  add(description: Description, closesOnExec: boolean): number;
  /** As close(2): OK, EBADF, or what FLUSH reported. */
  close(fd: number): Errno;
  /** fcntl(F_DUPFD): the lowest free number from `from` on, or −errno. */
  dup(fd: number, from: number, closesOnExec: boolean): number;
  /** As dup3(2), and dup2(2), which does nothing when both are one. */
  dup2(fd: number, to: number, closesOnExec: boolean): number;
  /** Descriptors that execve(2) closes. */
  closing(): number[];
  /** fcntl(F_SETFL) */
  setFlags(file: OpenFile, flags: number): void;
  closesOnExec(fd: number): boolean;
  setClosesOnExec(fd: number, closes: boolean): void;
}

interface Descriptor {
  readonly description: Description;
  closesOnExec: boolean;
}

export class Descriptors implements DescriptorTable {
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

  put(): void {}

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

  close(fd: number): Errno {
    const found = this.#table[fd];
    if (found === undefined) return EBADF;
    this.#table[fd] = undefined;
    this.#lowest = Math.min(this.#lowest, fd);
    return drop(found.description);
  }

  dup(fd: number, from: number, closesOnExec: boolean): number {
    const description = this.get(fd);
    if (description === undefined) return -EBADF;
    const made = this.add(description, closesOnExec, from);
    if (made >= 0) description.refs++;
    return made;
  }

  dup2(fd: number, to: number, closesOnExec: boolean): number {
    const description = this.get(fd);
    if (description === undefined || !Number.isInteger(to) || to < 0 || to >= this.#limit) return -EBADF;
    if (fd === to) return fd;
    const before = this.get(to);
    this.#put(to, description, closesOnExec);
    description.refs++;
    if (before !== undefined) drop(before);
    return to;
  }

  closing(): number[] {
    return [...this].filter(([, , closes]) => closes).map(([fd]) => fd);
  }

  setFlags(file: OpenFile, flags: number): void {
    file.flags = flags;
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

/** One descriptor of it is gone. */
function drop(description: Description): Errno {
  if (--description.refs > 0) return description instanceof OpenFile ? description.flush() : OK;
  return description.close();
}
