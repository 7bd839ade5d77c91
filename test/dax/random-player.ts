/**
 * Plays random operations on the files of a world and knows, byte by byte, what each must answer.
 *
 * What may fail, may: where space or memory can run out, or a backing is faulty, the bytes that an operation was about
 * are read back, and each must be the old one or the new one.
 */
import { Prng } from '../../src/base/prng.ts';
import { BusError } from '../../src/guest/errors.ts';
import type { Guest } from '../../src/guest/guest.ts';
import type { MappedView } from '../../src/guest/mapped-view.ts';
import type { Mapping } from '../../src/guest/mapping.ts';
import type { File } from '../../src/guest/open-file.ts';
import type { Allocation, DaxMode, ReclaimMode } from '../../src/guest/options.ts';
import type { FaultyBackings } from '../fakes/faulty-backing.ts';
import { GUESTS, type World } from './random-world.ts';
import type { SparseFile } from './sparse-file.ts';

export const PAGE = 4096;
const RANGE = 2 << 20;
export const MAX_SIZE = 40 << 20;
export const NAMES = ['/a', '/b', '/c', '/d/e', '/d/f'];
/** Pages that views may pin in all: enough to be in the way, not enough to stop everything. */
export const PINNED_MAX = 12;

export interface HeldView {
  readonly view: MappedView;
  readonly pos: number;
  readonly length: number;
  /** Up to here the view shows the file. Behind it the file was cut off, and the view keeps what it showed. */
  end: number;
  frozen: Uint8Array;
}

export interface Handle {
  readonly player: Seat;
  readonly file: File;
  readonly model: SparseFile;
  mapping: Mapping | undefined;
  start: number;
  readonly views: HeldView[];
}

export interface Seat {
  guest: Guest;
  slot: number;
  /** Keeps pages of its own, of files that it does not read through a window. */
  hasPages: boolean;
}

/** Thrown by the system under test, and expected just now. */
export class Tolerated extends Error {}

export class Player {
  readonly world: World;
  readonly rng: Prng;
  readonly names = new Map<string, SparseFile>();
  readonly handles: Handle[] = [];
  readonly seats: Seat[] = [];
  readonly faulty: FaultyBackings | undefined;
  pinnedPages = 0;
  /** The last steps, for the message of a failure. */
  readonly notes: string[] = [];
  #stamp = 0;

  constructor(world: World, seed: number, faulty?: FaultyBackings) {
    this.world = world;
    this.rng = new Prng(seed);
    this.faulty = faulty;
    for (let i = 0; i < GUESTS; i++) this.seats.push(this.mount());
    (this.seats[0] as Seat).guest.mkdir('/d');
  }

  mount(): Seat {
    const { rng } = this;
    const dax = rng.pick<DaxMode>(['always', 'always', 'always', 'inode', 'never']);
    const allocation = rng.pick<Allocation>(['client', 'client', 'server', 'combined']);
    const reclaim = rng.pick<ReclaimMode>(['inline', 'background']);
    const hasPages = this.world.hasPages && dax !== 'always' && rng.chance(0.8);
    const pages = hasPages ? { pageCacheSize: 64 * PAGE, writeback: rng.chance(0.5) } : {};
    this.note(`mount ${JSON.stringify({ dax, allocation, reclaim, ...pages })}`);
    return { ...this.world.mount({ dax, allocation, reclaim, ...pages }), hasPages };
  }

  /**
   * Before a guest looks at a file or changes it: what others keep to themselves until fsync or close must be out (a
   * guest with pages of its own), and what others stored through a window must have been told to one with such pages.
   */
  meet(seat: Seat | undefined, model: SparseFile): void {
    for (const other of [...(model.writers as Set<Seat>)]) {
      if (other === seat || !(other.hasPages || seat?.hasPages === true)) continue;
      this.publish(other, model);
    }
  }

  publish(seat: Seat, model: SparseFile): void {
    model.writers.delete(seat);
    const handle = this.handles.find((some) => some.model === model && some.player === seat);
    if (handle === undefined) this.world.settle();
    else this.attemptFlush(() => (handle.file.isOpen ? handle.file.sync() : handle.mapping?.sync()));
  }

  /** Views show the file as the host has it. */
  publishForViews(): void {
    for (const { model, views } of this.handles) if (views.length > 0) this.meet(undefined, model);
  }

  note(text: string): void {
    this.notes.push(text);
    if (this.notes.length > 100) this.notes.shift();
  }

  /** What a file is called in notes. */
  nameOf(model: SparseFile): string {
    return [...this.names].find(([, named]) => named === model)?.[0] ?? '(unlinked)';
  }

  // ---- choices -------------------------------------------------------------------------------------------------

  /** A place in or near a file where something may go wrong. */
  pos(model: SparseFile): number {
    const { rng } = this;
    const kind = rng.below(6);
    if (kind === 0) return rng.below(MAX_SIZE - RANGE);
    if (kind === 1) return Math.max(0, model.size - rng.below(3 * PAGE));
    if (kind === 2) return Math.max(0, rng.below(6) * RANGE + rng.below(200) - 100);
    if (kind === 3) return rng.below(20 * PAGE);
    if (kind === 4) return Math.max(0, Math.floor(model.size / PAGE) * PAGE - rng.below(3) * PAGE);
    return rng.below(model.size + 1);
  }

  length(): number {
    const kind = this.rng.below(8);
    if (kind === 0) return 1 + this.rng.below(20 * PAGE);
    if (kind <= 2) return 1 + this.rng.below(3 * PAGE);
    return 1 + this.rng.below(100);
  }

  /** Bytes that nobody wrote before. */
  data(length: number): Uint8Array {
    const words = new Uint32Array(Math.ceil(length / 4) + 1);
    const stamp = Math.imul(++this.#stamp, 0x9e3779b1);
    for (let i = 0; i < words.length; i++) words[i] = (stamp + Math.imul(i, 0x85ebca6b)) | 0x01010101;
    return new Uint8Array(words.buffer, 0, length);
  }

  mapped(): Handle | undefined {
    const some = this.handles.filter((handle) => handle.mapping !== undefined);
    return some.length === 0 ? undefined : this.rng.pick(some);
  }

  /** Whether the guest keeps pages of this file: the host's `none` forbids it. */
  keeps(handle: Handle): boolean {
    return handle.player.hasPages && this.world.cache !== 'none';
  }

  opened(seat?: Seat): Handle | undefined {
    const some = this.handles.filter((h) => h.file.isOpen && (seat === undefined || h.player === seat));
    return some.length === 0 ? undefined : this.rng.pick(some);
  }

  // ---- what is true --------------------------------------------------------------------------------------------

  resize(model: SparseFile, size: number): void {
    this.note(`  ${this.nameOf(model)} has ${size} bytes instead of ${model.size}`);
    for (const handle of this.handles) {
      if (handle.model === model) for (const held of handle.views) cutOff(held, size);
    }
    const isSamePage = model.size % PAGE !== 0 && Math.floor(size / PAGE) === Math.floor(model.size / PAGE);
    const hasTail = model.hasTail && size >= model.size && isSamePage;
    model.resize(size);
    model.hasTail = hasTail;
  }

  /** A write that happened. */
  wrote(model: SparseFile, pos: number, data: Uint8Array): void {
    this.note(`  ${this.nameOf(model)}: ${data.length} bytes written at ${pos}`);
    if (data.length > 0 && pos + data.length > model.size) this.resize(model, pos + data.length);
    model.write(pos, data);
  }

  // ---- what may fail -------------------------------------------------------------------------------------------

  wasTight = false;

  get isTight(): boolean {
    const { pageCache } = this.world.host.core;
    return this.pinnedPages > 0 || (!this.world.isBacked && pageCache.freeFrames < 120);
  }

  /** Now, or before the last `attempt`. */
  get mayRunOut(): boolean {
    return this.wasTight || this.isTight;
  }

  get isFaulty(): boolean {
    return this.faulty !== undefined && this.faulty.readChance + this.faulty.writeChance > 0;
  }

  /** Runs something that may fail for want of memory, or because a backing is faulty; then it throws Tolerated. */
  attempt<T>(run: () => T): T {
    // Before, too: what another guest has posted (RELEASE, FORGET) may free pages in the round that refuses ours.
    this.wasTight = this.isTight;
    try {
      return run();
    } catch (error) {
      const code = (error as { code?: string }).code ?? '';
      const wantsRoom = (code === 'ENOSPC' || code === 'ENOMEM') && (this.mayRunOut || this.isFaulty);
      if (wantsRoom || (code === 'EIO' && this.isFaulty)) {
        this.note(`  failed: ${code}`);
        throw new Tolerated(code);
      }
      throw error;
    }
  }

  /** As `attempt`, for what reports write-backs that failed earlier: fsync, msync, close. */
  attemptFlush(run: () => void): void {
    const code = codeOf(() => this.attempt(run));
    if (code === undefined) return;
    same((code === 'EIO' || code === 'ENOSPC') && this.faulty !== undefined, true, `flush: ${code}`);
    throw new Tolerated(code);
  }

  /** Nothing fails meanwhile that need not. */
  calmly<T>(run: () => T): T {
    const { faulty } = this;
    if (faulty === undefined) return run();
    const { readChance, writeChance } = faulty;
    faulty.readChance = faulty.writeChance = 0;
    try {
      return run();
    } finally {
      faulty.readChance = readChance;
      faulty.writeChance = writeChance;
    }
  }

  /** A write of `data` failed, perhaps in the middle: each byte is the old one or the new one, and so is the size. */
  halfWritten(handle: Handle, pos: number, data: Uint8Array): void {
    const { model } = handle;
    this.calmly(() => {
      const size = handle.file.isOpen ? handle.file.stat().size : model.size;
      same(
        size >= model.size && size <= Math.max(model.size, pos + data.length),
        true,
        `size ${size} after a failure at ${model.size}`,
      );
      if (size !== model.size) this.resize(model, size);
      const end = Math.min(pos + data.length, size);
      if (end <= pos) return;
      const now = this.#look(handle, pos, end - pos);
      if (now === undefined) {
        this.#abandon(model);
        return;
      }
      const old = model.read(pos, end - pos);
      for (let i = 0; i < now.length; i++) {
        if (now[i] !== old[i] && now[i] !== data[i])
          throw new Error(`byte ${pos + i} is neither the old nor the new: ${now[i]} not ${old[i]} or ${data[i]}`);
      }
      model.write(pos, now);
    });
  }

  /** Reads back. There may be no room for that either: then nobody knows, and the file is let go. */
  #look(handle: Handle, pos: number, count: number): Uint8Array | undefined {
    const out = new Uint8Array(count);
    const isOpen = (other: Handle) => other.model === handle.model && other.file.isOpen;
    const reader = isOpen(handle) ? handle : this.handles.find(isOpen);
    try {
      if (reader === undefined) this.attempt(() => handle.mapping?.read(pos - handle.start, out));
      else {
        reader.file.stat();
        const n = this.attempt(() => reader.file.read(out, 0, count, pos));
        if (n < count) throw new Tolerated('short');
      }
      return out;
    } catch (error) {
      if (!(error instanceof Tolerated)) throw error;
      return undefined;
    }
  }

  /** Lets a file go of which nobody knows what is in it. */
  #abandon(model: SparseFile): void {
    for (const handle of this.handles.filter((other) => other.model === model)) {
      for (const held of handle.views.splice(0)) this.pinnedPages -= pagesOf(held);
      handle.mapping?.unmap();
      if (handle.file.isOpen) handle.file.close();
      this.handles.splice(this.handles.indexOf(handle), 1);
    }
    const name = this.nameOf(model);
    if (this.names.delete(name)) (this.seats[0] as Seat).guest.unlink(name);
  }
}

export function pagesOf({ pos, length }: HeldView): number {
  return Math.floor((pos + length - 1) / PAGE) - Math.floor(pos / PAGE) + 1;
}

/** The file was cut: what a view showed behind the last page that is left is nobody else's from now on. */
function cutOff(held: HeldView, size: number): void {
  const end = Math.max(held.pos, Math.min(held.end, Math.ceil(size / PAGE) * PAGE));
  if (end === held.end) return;
  const frozen = new Uint8Array(held.pos + held.length - end);
  frozen.set(viewBytes(held, end, held.end));
  frozen.set(held.frozen, held.end - end);
  held.end = end;
  held.frozen = frozen;
}

/** What a view shows of [from, to) of the file. */
export function viewBytes(held: HeldView, from: number, to: number): Uint8Array {
  const out = new Uint8Array(to - from);
  forRuns(held, from, to, (run, at) => out.set(run, at));
  return out;
}

/** Calls with the part of each run that lies in [from, to), and where in that part of the file it begins. */
export function forRuns(held: HeldView, from: number, to: number, use: (run: Uint8Array, at: number) => void): void {
  let pos = held.pos;
  for (const run of held.view.runs) {
    const first = Math.max(from, pos);
    const end = Math.min(to, pos + run.length);
    if (first < end) use(run.subarray(first - pos, end - pos), first - from);
    pos += run.length;
  }
}

export function same(got: unknown, wanted: unknown, what: string): void {
  if (got !== wanted) throw new Error(`${what}: ${String(got)}, not ${String(wanted)}`);
}

export function sameBytes(got: Uint8Array, wanted: Uint8Array, what: string): void {
  if (Buffer.compare(got, wanted) === 0) return;
  const at = got.findIndex((byte, i) => byte !== wanted[i]);
  throw new Error(`${what}: ${got.length} bytes, not ${wanted.length}, or byte ${at} is ${got[at]}, not ${wanted[at]}`);
}

/** What a call throws: its code; 'SIGBUS' for a bus error; undefined when it does not. */
export function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof Tolerated) throw error;
    if (error instanceof BusError) return 'SIGBUS';
    const { code } = error as { code?: string };
    if (code === undefined) throw error;
    return code;
  }
  return undefined;
}
