/**
 * A bounded set of open descriptors. A tree may have more files than a process may have descriptors, so those that were
 * not used for a while are closed; whoever needs one again reopens it.
 *
 * The clock algorithm: every use sets a bit, the hand clears it, and a descriptor whose bit is clear is closed. Closing
 * happens only in `trim`, between operations: a descriptor in use within one operation stays.
 *
 * INVARIANT: descriptors[d.index] === d for every open descriptor.
 */
import { assert } from '../../base/assert.ts';

/** How far the hand moves in one `trim`: an operation must not pay for a long round over descriptors in use. */
const STEPS = 64;

export class Descriptor<Owner> {
  readonly owner: Owner;
  readonly fd: number;
  /** What the descriptor allows: ACCESS_* bits. */
  readonly access: number;
  /** Used since the hand passed. */
  used = true;
  /** Place in the set; −1 once closed. */
  index = -1;

  constructor(owner: Owner, fd: number, access: number) {
    this.owner = owner;
    this.fd = fd;
    this.access = access;
  }
}

export class DescriptorSet<Owner> {
  readonly limit: number;
  readonly #open: Descriptor<Owner>[] = [];
  readonly #mayClose: (owner: Owner) => boolean;
  readonly #closed: (owner: Owner) => void;
  readonly #close: (fd: number) => void;
  #hand = 0;

  /** `mayClose` says whether an owner can do without for now; `closed` hears that it must; `close` does it. */
  constructor(
    limit: number,
    mayClose: (owner: Owner) => boolean,
    closed: (owner: Owner) => void,
    close: (fd: number) => void,
  ) {
    this.limit = limit;
    this.#mayClose = mayClose;
    this.#closed = closed;
    this.#close = close;
  }

  get count(): number {
    return this.#open.length;
  }

  add(owner: Owner, fd: number, access: number): Descriptor<Owner> {
    const descriptor = new Descriptor(owner, fd, access);
    descriptor.index = this.#open.push(descriptor) - 1;
    return descriptor;
  }

  close(descriptor: Descriptor<Owner>): void {
    this.#remove(descriptor);
    this.#close(descriptor.fd);
  }

  /** While more than `limit` are open, closes some that have not been used lately and that are not needed. */
  trim(limit = this.limit, steps = STEPS): void {
    for (let left = steps; left > 0 && this.#open.length > limit; left--) this.#step();
  }

  closeAll(): void {
    for (let last = this.#open.at(-1); last !== undefined; last = this.#open.at(-1)) {
      this.#closed(last.owner);
      this.close(last);
    }
  }

  checkInvariants(): void {
    this.#open.forEach((descriptor, index) => {
      assert(descriptor.index === index, 'a descriptor is not where it thinks');
    });
  }

  #step(): void {
    if (this.#hand >= this.#open.length) this.#hand = 0;
    const descriptor = this.#open[this.#hand] as Descriptor<Owner>;
    if (descriptor.used || !this.#mayClose(descriptor.owner)) {
      descriptor.used = false;
      this.#hand++;
      return;
    }
    this.#closed(descriptor.owner);
    this.close(descriptor);
  }

  /** The last one takes the free place, so that the array has no holes. */
  #remove(descriptor: Descriptor<Owner>): void {
    assert(descriptor.index >= 0, 'a descriptor is closed twice');
    const last = this.#open.pop() as Descriptor<Owner>;
    if (last !== descriptor) {
      this.#open[descriptor.index] = last;
      last.index = descriptor.index;
    }
    descriptor.index = -1;
  }
}
