/**
 * Threads over the real, synchronous code that can be suspended before any shared access.
 *
 * A thread's body is deterministic but for what it reads. So to go one access further it is run again from its start:
 * accesses done before are answered from a log, the next one is done for real, and the one after it throws.
 */
import { assert } from '../../src/base/assert.ts';
import type { Doorbell } from '../../src/base/doorbell.ts';
import { type GuestMemory, LocalMemory } from '../../src/virtio/memory.ts';

const SUSPENDED = Symbol('suspended');

export interface World {
  readonly memory: LocalMemory;
  bell: number;
}

/** Builds its queue, calls `begin`, and goes on as a thread; before `begin` it has a private copy of the memory. */
export type Body = (memory: GuestMemory, bell: Doorbell, begin: () => void) => void;

export class ReplayThread implements GuestMemory, Doorbell {
  readonly size: number;
  readonly #world: World;
  readonly #body: Body;
  readonly #log: number[] = [];
  readonly #image: ArrayBuffer;
  #scratch: LocalMemory | undefined;
  #position = 0;
  #mayStep = false;
  #waitsFor: number | undefined = undefined;
  #isDone = false;

  constructor(world: World, body: Body) {
    this.#world = world;
    this.#body = body;
    this.size = world.memory.size;
    this.#image = (world.memory.buffer as ArrayBuffer).slice(0);
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  isRunnable(): boolean {
    return !this.#isDone && this.#waitsFor !== this.#world.bell;
  }

  /** Does one shared access, and what the thread does alone after it. */
  step(): void {
    this.#position = 0;
    this.#mayStep = true;
    this.#waitsFor = undefined;
    this.#scratch = new LocalMemory(this.#image.slice(0));
    try {
      this.#body(this, this, () => {
        this.#scratch = undefined;
      });
      this.#isDone = true;
    } catch (error) {
      if (error !== SUSPENDED) throw error;
    }
  }

  getU16(at: number): number {
    return this.#scratch?.getU16(at) ?? this.#alone(() => this.#world.memory.getU16(at));
  }

  getU32(at: number): number {
    return this.#scratch?.getU32(at) ?? this.#alone(() => this.#world.memory.getU32(at));
  }

  getU64(at: number): number {
    return this.#scratch?.getU64(at) ?? this.#alone(() => this.#world.memory.getU64(at));
  }

  setU16(at: number, value: number): void {
    if (this.#scratch !== undefined) this.#scratch.setU16(at, value);
    else this.#alone(() => this.#world.memory.setU16(at, value));
  }

  setU32(at: number, value: number): void {
    if (this.#scratch !== undefined) this.#scratch.setU32(at, value);
    else this.#alone(() => this.#world.memory.setU32(at, value));
  }

  setU64(at: number, value: number): void {
    if (this.#scratch !== undefined) this.#scratch.setU64(at, value);
    else this.#alone(() => this.#world.memory.setU64(at, value));
  }

  loadU16(at: number): number {
    return this.#scratch?.loadU16(at) ?? this.#shared(() => this.#world.memory.loadU16(at));
  }

  storeU16(at: number, value: number): void {
    // ORDER: one step of the schedule.
    if (this.#scratch !== undefined) this.#scratch.storeU16(at, value);
    else this.#shared(() => this.#world.memory.storeU16(at, value));
  }

  read(): void {
    assert(false, 'the queues copy no bytes');
  }

  write(): void {
    assert(false, 'the queues copy no bytes');
  }

  seen(): number {
    return this.#shared(() => this.#world.bell);
  }

  ring(): void {
    this.#shared(() => {
      this.#world.bell++;
    });
  }

  wait(seen: number): void {
    this.#shared(() => {
      if (this.#world.bell !== seen) return;
      this.#waitsFor = seen;
      throw SUSPENDED;
    });
  }

  /** An access that no other thread can make a difference to, or that comes right after one that was shared. */
  #alone(access: () => unknown): number {
    if (this.#position === this.#log.length) this.#log.push(Number(access() ?? 0));
    return this.#log[this.#position++] as number;
  }

  #shared(access: () => unknown): number {
    if (this.#position === this.#log.length) {
      if (!this.#mayStep) throw SUSPENDED;
      this.#mayStep = false;
    }
    return this.#alone(access);
  }
}

/** Builds a memory in which both bodies have done what comes before `begin`, and a thread for each. */
export function replayThreads(first: Body, second: Body): ReplayThread[] {
  const world: World = { memory: new LocalMemory(new ArrayBuffer(512)), bell: 0 };
  const noBell: Doorbell = { seen: () => 0, ring: () => {}, wait: () => {} };
  for (const body of [first, second]) {
    try {
      body(world.memory, noBell, () => {
        throw SUSPENDED;
      });
    } catch (error) {
      if (error !== SUSPENDED) throw error;
    }
  }
  return [new ReplayThread(world, first), new ReplayThread(world, second)];
}

export function isReplayDone(thread: ReplayThread): boolean {
  return thread.isDone;
}
