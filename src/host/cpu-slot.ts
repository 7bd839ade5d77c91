/**
 * The host's end of one guest worker's shared struct: its state, its epoch, its page-fault mailbox and its pins.
 * Everything here is written by a guest that may be wrong or dead: each word is read once and checked by the caller.
 */
import {
  CPU_BELL,
  CPU_EPOCH,
  CPU_FAULT_COUNT,
  CPU_FAULT_PAGE,
  CPU_FAULT_RANGE,
  CPU_FAULT_RESULT,
  CPU_FAULT_STATE,
  CPU_FAULT_WRITE,
  CPU_FREE,
  CPU_GENERATION,
  CPU_GUEST,
  CPU_LIVE,
  CPU_STATE,
  FAULT_DONE,
  FAULT_FOR_READ,
  FAULT_FOR_VIEW,
  FAULT_GENERATION_SHIFT,
  FAULT_IDLE,
  FAULT_POSTED,
  PAGES_PER_RANGE,
  PIN_WRITABLE,
} from '../../assembly/layout.ts';
import { type Doorbell, SharedDoorbell } from '../base/doorbell.ts';

/** Where a slot's structs lie in the shared memory. */
export interface CpuSlotPlace {
  readonly cpuAt: number;
  /** Window table, one word per range, and pin words, one per page of the window. */
  readonly tableAt: number;
  readonly pinsAt: number;
  readonly rangeCount: number;
}

export class CpuSlot {
  readonly place: CpuSlotPlace;
  readonly bell: Doorbell;
  /** The posted fault, as read by takeFault. */
  faultRange = 0;
  faultPage = 0;
  faultCount = 0;
  faultWrite = false;
  /** The page of zeros is no answer. */
  faultOwn = false;
  readonly #cpu: Int32Array;
  readonly #pins: Int32Array;

  constructor(buffer: ArrayBufferLike, place: CpuSlotPlace, bell?: Doorbell) {
    this.place = place;
    this.#cpu = new Int32Array(buffer, place.cpuAt, 16);
    this.#pins = new Int32Array(buffer, place.pinsAt, place.rangeCount * PAGES_PER_RANGE);
    this.bell = bell ?? new SharedDoorbell(buffer, place.cpuAt + CPU_BELL);
  }

  get state(): number {
    return Atomics.load(this.#cpu, CPU_STATE >> 2);
  }

  get epoch(): number {
    return Atomics.load(this.#cpu, CPU_EPOCH >> 2);
  }

  /** Tells whether the guest can be inside an access. A dead worker runs no more code, wherever its epoch stopped. */
  get isLive(): boolean {
    return this.state === CPU_LIVE;
  }

  /** Which guest the slot is a CPU of; undefined: one of its own. */
  get guest(): number | undefined {
    return Atomics.load(this.#cpu, CPU_GUEST >> 2) || undefined;
  }

  /** Reads a posted fault into the fault fields. Returns false when there is none. */
  takeFault(): boolean {
    const cpu = this.#cpu;
    // ORDER: pairs with the guest's store of FAULT_POSTED: the words below were written before it.
    if (Atomics.load(cpu, CPU_FAULT_STATE >> 2) !== this.#faultWord(FAULT_POSTED)) return false;
    this.faultRange = (cpu[CPU_FAULT_RANGE >> 2] as number) >>> 0;
    this.faultPage = (cpu[CPU_FAULT_PAGE >> 2] as number) >>> 0;
    this.faultCount = (cpu[CPU_FAULT_COUNT >> 2] as number) >>> 0;
    const purpose = cpu[CPU_FAULT_WRITE >> 2] as number;
    this.faultOwn = purpose !== FAULT_FOR_READ;
    this.faultWrite = this.faultOwn && purpose !== FAULT_FOR_VIEW;
    return true;
  }

  /** Answers the fault taken last: 0 = the page is there now, else an errno. */
  answerFault(result: number): void {
    this.#cpu[CPU_FAULT_RESULT >> 2] = result;
    // ORDER: publishes the result and the page table entries stored before.
    Atomics.store(this.#cpu, CPU_FAULT_STATE >> 2, this.#faultWord(FAULT_DONE));
    this.bell.ring();
  }

  /** A fault state as the guest that has the slot now writes it. */
  #faultWord(state: number): number {
    return state | (Atomics.load(this.#cpu, CPU_GENERATION >> 2) << FAULT_GENERATION_SHIFT);
  }

  /** Whether views hold a page of a range, and writable ones among them. */
  isPinned(range: number, page: number): boolean {
    return Atomics.load(this.#pins, range * PAGES_PER_RANGE + page) !== 0;
  }

  isPinnedWritable(range: number, page: number): boolean {
    return Atomics.load(this.#pins, range * PAGES_PER_RANGE + page) >>> 0 >= PIN_WRITABLE;
  }

  /** Pages of the window that views hold. */
  countPinned(): number {
    let count = 0;
    for (const word of this.#pins) if (word !== 0) count++;
    return count;
  }

  /** The guest is gone: whatever of it still runs finds that the slot is not its own any more. */
  disown(): void {
    // ORDER: stored before the host looks at the epoch; enter() makes the epoch odd and then loads this word.
    Atomics.add(this.#cpu, CPU_GENERATION >> 2, 1);
  }

  /** Ends an access that will never end by itself: its worker was stopped in the middle. */
  abandonAccess(): void {
    // ORDER: the worker is gone, so the word is ours; the next grace period does not wait for it.
    if ((this.epoch & 1) !== 0) Atomics.add(this.#cpu, CPU_EPOCH >> 2, 1);
  }

  /** Makes the slot as new for the next guest. Only when the last one is dead and everything of it was taken back. */
  recycle(): void {
    // Only if need be: a large window's words are memory that was never touched.
    if (this.countPinned() > 0) this.#pins.fill(0);
    const cpu = this.#cpu;
    // ORDER: plain stores would do, the slot is nobody's; the last store publishes it as free.
    // The epoch counts on: a worker that left its access late finds another number than its own.
    Atomics.store(cpu, CPU_FAULT_STATE >> 2, this.#faultWord(FAULT_IDLE));
    cpu[CPU_GUEST >> 2] = 0;
    Atomics.store(cpu, CPU_STATE >> 2, CPU_FREE);
  }
}
