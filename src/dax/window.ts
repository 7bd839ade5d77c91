/**
 * A guest's window: ranges of 2 MiB, each mapped by the host to a chunk of a file, accessed through page tables in
 * wasm. This is the only place that turns a missing page into a page fault, and a status into an errno.
 *
 * A page fault is no FUSE message: on real hardware it is an EPT violation that the hypervisor resolves. Here it is a
 * mailbox in the cpu's struct: the guest posts (range, page, count, write) and waits for the host's answer.
 */
import {
  CPU_EPOCH,
  CPU_FAULT_COUNT,
  CPU_FAULT_PAGE,
  CPU_FAULT_RANGE,
  CPU_FAULT_RESULT,
  CPU_FAULT_STATE,
  CPU_FAULT_WRITE,
  FAULT_DONE,
  FAULT_FOR_READ,
  FAULT_FOR_VIEW,
  FAULT_FOR_WRITE,
  FAULT_GENERATION_SHIFT,
  FAULT_IDLE,
  FAULT_POSTED,
  PAGE_SHIFT,
  PIN_SIZE,
  PMD_SIZE,
  RANGE_PINS_SIZE,
  RANGE_SIZE,
  STATUS_DETACHED,
  STATUS_FAULT,
  STATUS_OK,
  STATUS_READ_ONLY,
} from '../../assembly/layout.ts';
import { assert } from '../base/assert.ts';
import type { Doorbell } from '../base/doorbell.ts';
import { EACCES, EIO, ENOTCONN, ENXIO } from '../wire/errno.ts';
import type { GuestExports } from './exports.ts';

export interface WindowOptions {
  readonly exports: GuestExports;
  readonly buffer: ArrayBufferLike;
  /** Address of this worker's cpu struct. */
  readonly cpu: number;
  /** Which guest of the slot this is. Default 0, the first. */
  readonly generation?: number;
  /** Addresses of the window table, one entry per range, and of the pin words, one per page. */
  readonly tableAt: number;
  readonly pinsAt: number;
  readonly rangeCount: number;
  /** Rung after a fault was posted; the host looks at the mailbox. */
  readonly hostBell: Doorbell;
  /** Rung by the host after it answered. */
  readonly guestBell: Doorbell;
  /** How often to look before sleeping. */
  readonly spins?: number;
  /** Tells that the host is gone, so that a fault does not wait for ever. */
  readonly isDead?: () => boolean;
}

export class DaxWindow {
  readonly rangeCount: number;
  /** Page faults posted so far, and pages they were about. */
  faults = 0;
  readonly #wasm: GuestExports;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #options: WindowOptions;
  readonly #cpu: number;
  readonly #table: number;
  readonly #spins: number;
  /** What the fault state's words of this guest have above the state. */
  readonly #faultTag: number;
  #status = 0;

  constructor(options: WindowOptions) {
    this.#options = options;
    this.#wasm = options.exports;
    this.#bytes = new Uint8Array(options.buffer);
    this.#words = new Int32Array(options.buffer, options.cpu, 16);
    this.#cpu = options.cpu;
    this.#table = options.tableAt;
    this.#spins = options.spins ?? 2000;
    this.rangeCount = options.rangeCount;
    this.#wasm.bind(options.generation ?? 0);
    this.#faultTag = (options.generation ?? 0) << FAULT_GENERATION_SHIFT;
    assert((Atomics.load(this.#words, CPU_EPOCH >> 2) & 1) === 0, 'a new window starts outside of an access');
  }

  get status(): number {
    return this.#status;
  }

  /** Copies [offset, offset + size) of the range into a buffer outside the shared memory. A count, or −errno. */
  read(range: number, offset: number, into: Uint8Array, at: number, size: number): number {
    const pmdAt = this.#entry(range, offset, size);
    assert(at >= 0 && at + size <= into.length, 'buffer too small for the read');
    const wasm = this.#wasm;
    let done = 0;
    while (done < size) {
      const address = wasm.runBegin(this.#cpu, pmdAt, offset + done, size - done, 0) >>> 0;
      if (address === 0) {
        const failed = this.#miss(range, size - done, offset + done, false);
        if (failed !== 0) return done > 0 ? done : failed;
        continue;
      }
      const n = wasm.lastRunSize();
      // Left even by an exception (the stack may be full): the host would wait for ever.
      try {
        into.set(this.#bytes.subarray(address, address + n), at + done);
      } finally {
        wasm.leave(this.#cpu);
      }
      done += n;
    }
    return done;
  }

  /** Copies from a buffer outside the shared memory into the range. */
  write(range: number, offset: number, from: Uint8Array, at: number, size: number): number {
    const pmdAt = this.#entry(range, offset, size);
    assert(at >= 0 && at + size <= from.length, 'buffer too small for the write');
    const wasm = this.#wasm;
    let done = 0;
    while (done < size) {
      const address = wasm.runBegin(this.#cpu, pmdAt, offset + done, size - done, 1) >>> 0;
      if (address === 0) {
        const failed = this.#miss(range, size - done, offset + done, true);
        if (failed !== 0) return done > 0 ? done : failed;
        continue;
      }
      const n = wasm.lastRunSize();
      try {
        this.#bytes.set(from.subarray(at + done, at + done + n), address);
      } finally {
        wasm.leave(this.#cpu);
      }
      done += n;
    }
    return done;
  }

  /** Copies from the range to an address of the shared memory. */
  readTo(range: number, offset: number, address: number, size: number): number {
    const pmdAt = this.#entry(range, offset, size);
    let done = 0;
    while (done < size) {
      done += this.#wasm.copyOut(this.#cpu, pmdAt, offset + done, address + done, size - done);
      if (done === size) break;
      const failed = this.#miss(range, size - done, offset + done, false);
      if (failed !== 0) return done > 0 ? done : failed;
    }
    return done;
  }

  /** Copies from an address of the shared memory into the range. */
  writeFrom(range: number, offset: number, address: number, size: number): number {
    const pmdAt = this.#entry(range, offset, size);
    let done = 0;
    while (done < size) {
      done += this.#wasm.copyIn(this.#cpu, pmdAt, offset + done, address + done, size - done);
      if (done === size) break;
      const failed = this.#miss(range, size - done, offset + done, true);
      if (failed !== 0) return done > 0 ? done : failed;
    }
    return done;
  }

  load(range: number, offset: number, width: 1 | 2 | 4): number {
    const pmdAt = this.#entry(range, offset, width);
    for (;;) {
      const value = this.#loadOnce(pmdAt, offset, width);
      if (!this.#again(range, offset, false)) return value;
    }
  }

  store(range: number, offset: number, width: 1 | 2 | 4, value: number): number {
    const pmdAt = this.#entry(range, offset, width);
    do {
      if (width === 4) this.#wasm.storeU32(this.#cpu, pmdAt, offset, value);
      else if (width === 2) this.#wasm.storeU16(this.#cpu, pmdAt, offset, value);
      else this.#wasm.storeU8(this.#cpu, pmdAt, offset, value);
    } while (this.#again(range, offset, true));
    return this.#status;
  }

  loadFloat64(range: number, offset: number): number {
    const pmdAt = this.#entry(range, offset, 8);
    for (;;) {
      const value = this.#wasm.loadF64(this.#cpu, pmdAt, offset);
      if (!this.#again(range, offset, false)) return value;
    }
  }

  storeFloat64(range: number, offset: number, value: number): number {
    const pmdAt = this.#entry(range, offset, 8);
    do this.#wasm.storeF64(this.#cpu, pmdAt, offset, value);
    while (this.#again(range, offset, true));
    return this.#status;
  }

  /** Atomic; returns the old value, unsigned. */
  compareExchange32(range: number, offset: number, expected: number, value: number): number {
    const pmdAt = this.#entry(range, offset, 4);
    for (;;) {
      const old = this.#wasm.compareExchange32(this.#cpu, pmdAt, offset, expected, value) >>> 0;
      if (!this.#again(range, offset, true)) return old;
    }
  }

  /** Atomic; returns the old value, unsigned. */
  add32(range: number, offset: number, value: number): number {
    const pmdAt = this.#entry(range, offset, 4);
    for (;;) {
      const old = this.#wasm.add32(this.#cpu, pmdAt, offset, value) >>> 0;
      if (!this.#again(range, offset, true)) return old;
    }
  }

  /** Pins the pages and appends views over [offset, offset + size) to `out`; 0 or −errno (nothing pinned). */
  pin(range: number, offset: number, size: number, writable: boolean, out: Uint8Array[]): number {
    const pmdAt = this.#entry(range, offset, size);
    const before = out.length;
    const pages = pagesOf(offset, size);
    if (this.#wasm.pinAdd(this.#cpu, this.#pinAt(range, offset), pages, writable ? 1 : 0) === 0) return -ENOTCONN;
    let done = 0;
    while (done < size) {
      const address = this.#wasm.pinBegin(this.#cpu, pmdAt, offset + done, size - done, writable ? 1 : 0) >>> 0;
      if (address === 0) {
        const failed = this.#miss(range, size - done, offset + done, writable, FAULT_FOR_VIEW);
        if (failed === 0) continue;
        out.length = before;
        this.unpin(range, offset, size, writable);
        return failed;
      }
      const n = this.#wasm.lastRunSize();
      this.#wasm.leave(this.#cpu);
      out.push(this.#bytes.subarray(address, address + n));
      done += n;
    }
    return 0;
  }

  /** Takes back one pin of the pages. Views given out for it must not be used any more. */
  unpin(range: number, offset: number, size: number, writable: boolean): void {
    this.#wasm.pinRemove(this.#cpu, this.#pinAt(range, offset), pagesOf(offset, size), writable ? 1 : 0);
  }

  #pinAt(range: number, offset: number): number {
    return this.#options.pinsAt + range * RANGE_PINS_SIZE + (offset >>> PAGE_SHIFT) * PIN_SIZE;
  }

  #entry(range: number, offset: number, size: number): number {
    assert(range >= 0 && range < this.rangeCount, 'range index out of the window');
    assert(offset >= 0 && size >= 0 && offset + size <= RANGE_SIZE, 'access runs over the end of its range');
    return this.#table + range * PMD_SIZE;
  }

  #loadOnce(pmdAt: number, offset: number, width: 1 | 2 | 4): number {
    if (width === 4) return this.#wasm.loadU32(this.#cpu, pmdAt, offset) >>> 0;
    if (width === 2) return this.#wasm.loadU16(this.#cpu, pmdAt, offset);
    return this.#wasm.loadU8(this.#cpu, pmdAt, offset);
  }

  /** After a scalar access: true = a fault was resolved, try again; false = done, see status. */
  #again(range: number, offset: number, write: boolean): boolean {
    if (this.#wasm.lastStatus() === STATUS_OK) {
      this.#status = 0;
      return false;
    }
    this.#status = this.#miss(range, 1, offset, write);
    return this.#status === 0;
  }

  /** An access stopped: resolves a page fault (0 = try again) or says why it cannot go on (−errno). */
  #miss(range: number, size: number, offset: number, write: boolean, otherwise = FAULT_FOR_READ): number {
    const status = this.#wasm.lastStatus();
    if (status === STATUS_READ_ONLY) return -EACCES;
    if (status === STATUS_DETACHED) return -ENOTCONN;
    if (status !== STATUS_FAULT) return -ENXIO;
    const page = this.#wasm.lastFaultPage();
    const count = ((offset + size - 1) >>> PAGE_SHIFT) - page + 1;
    return -this.#fault(range, page, Math.max(1, count), write ? FAULT_FOR_WRITE : otherwise);
  }

  #fault(range: number, page: number, count: number, purpose: number): number {
    const words = this.#words;
    this.faults++;
    words[CPU_FAULT_RANGE >> 2] = range;
    words[CPU_FAULT_PAGE >> 2] = page;
    words[CPU_FAULT_COUNT >> 2] = count;
    words[CPU_FAULT_WRITE >> 2] = purpose;
    // ORDER: publishes the four words above; pairs with the host's load in CpuSlot.takeFault.
    if (!this.#moveFault(FAULT_IDLE, FAULT_POSTED)) return ENOTCONN;
    this.#options.hostBell.ring();
    this.#waitForAnswer();
    const result = words[CPU_FAULT_RESULT >> 2] as number;
    // ORDER: gives the mailbox back to ourselves; the host writes it only while it is posted.
    if (this.#moveFault(FAULT_DONE, FAULT_IDLE)) return result;
    this.#moveFault(FAULT_POSTED, FAULT_IDLE);
    return EIO;
  }

  /** Takes the mailbox from one state to another; false if it was in another one, or is not ours any more. */
  #moveFault(from: number, to: number): boolean {
    const [was, is] = [from | this.#faultTag, to | this.#faultTag];
    // ORDER: said where it is called.
    return Atomics.compareExchange(this.#words, CPU_FAULT_STATE >> 2, was, is) === was;
  }

  #waitForAnswer(): void {
    const words = this.#words;
    const state = CPU_FAULT_STATE >> 2;
    const done = FAULT_DONE | this.#faultTag;
    for (let i = 0; i < this.#spins; i++) if (Atomics.load(words, state) === done) return;
    for (;;) {
      const seen = this.#options.guestBell.seen();
      if (Atomics.load(words, state) === done) return;
      if (this.#options.isDead?.()) return;
      this.#options.guestBell.wait(seen, 1000);
    }
  }
}

/** Pages that [offset, offset + size) touches. */
function pagesOf(offset: number, size: number): number {
  return size === 0 ? 0 : ((offset + size - 1) >>> PAGE_SHIFT) - (offset >>> PAGE_SHIFT) + 1;
}
