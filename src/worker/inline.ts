/**
 * Host and guests in one thread, over unshared memory: works everywhere (no cross-origin isolation, no workers), and is
 * deterministic. Where a guest would sleep until the host has answered, it runs the host instead.
 */
import { CPU_CLAIMED, CPU_DEAD, CPU_FREE, CPU_GENERATION, CPU_GUEST, CPU_STATE } from '../../assembly/layout.ts';
import { type Clock, SystemClock } from '../base/clock.ts';
import { InlineDoorbell } from '../base/doorbell.ts';
import type { DaxExports } from '../dax/exports.ts';
import { instantiate } from '../dax/instantiate.ts';
import type { Guest } from '../guest/guest.ts';
import type { Log } from '../host/log.ts';
import { type Connection, connect, slotOf } from './connect.ts';
import { loadFileSystem, type MakeFileSystem } from './file-systems.ts';
import { HostCore, type HostReport } from './host-core.ts';
import { completeOptions, type HostOptions } from './host-options.ts';
import { HEADER_GUESTS, type MemoryMap, planMemory } from './memory-map.ts';
import { type MountOptions, mountConnection } from './mount.ts';
import { wasmModule } from './wasm-modules.ts';

export interface InlineOptions extends HostOptions {
  readonly clock?: Clock;
  readonly log?: Log;
  /** A file system of your own instead of `fs`; it gets the page cache its files must live in. */
  readonly makeFileSystem?: MakeFileSystem;
  readonly wasm?: WebAssembly.Module;
}

/** Builds a host that runs whenever a guest waits for it. */
export async function createInline(options: InlineOptions = {}): Promise<InlineHost> {
  const { settings, memory } = completeOptions(
    { cacheSize: 64 << 20, ...options },
    options.makeFileSystem === undefined,
  );
  const makeFileSystem = options.makeFileSystem ?? (await loadFileSystem(settings.fs, memory.cacheSize));
  return new InlineHost({ ...options, makeFileSystem }, settings, planMemory(memory));
}

export class InlineHost {
  readonly core: HostCore;
  readonly map: MemoryMap;
  readonly memory: WebAssembly.Memory;
  readonly wasm: DaxExports;
  readonly clock: Clock;
  readonly #bells: readonly InlineDoorbell[];
  readonly #module: WebAssembly.Module;
  readonly #hostBell = new InlineDoorbell();
  #isStopped = false;

  /** Use createInline. */
  constructor(
    options: InlineOptions & { makeFileSystem: MakeFileSystem },
    settings: ReturnType<typeof completeOptions>['settings'],
    map: MemoryMap,
  ) {
    this.map = map;
    const pages = map.memorySize / 65536;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.#module = options.wasm ?? wasmModule('unshared');
    this.wasm = instantiate(this.#module, this.memory);
    this.clock = options.clock ?? new SystemClock();
    this.#bells = map.slots.map(() => new InlineDoorbell(() => this.step()));
    this.core = new HostCore({
      buffer: this.memory.buffer,
      wasm: this.wasm,
      map,
      settings,
      clock: this.clock,
      log: options.log ?? (() => {}),
      makeFileSystem: options.makeFileSystem,
      bells: { host: this.#hostBell, guest: (index) => this.#bells[index] as InlineDoorbell },
      idleLooks: 0,
      pause: () => {},
      isStopping: () => this.#isStopped,
    });
  }

  /** Serves what is there; tells whether there was anything. */
  step(): boolean {
    // Nobody else tells this host that time passes.
    this.core.loop.tick();
    return this.core.loop.step();
  }

  /** Brings a device up on a free slot, without a FUSE client; with `guest`, as another CPU of that one. */
  connect(notifications = true, guest?: Guest): Connection {
    const words = new Int32Array(this.memory.buffer);
    const slot = this.map.slots.findIndex((place) => words[(place.cpuAt + CPU_STATE) >> 2] === CPU_FREE);
    if (slot < 0) throw new RangeError(`all ${this.map.slots.length} guest slots are taken`);
    const cpu = (this.map.slots[slot]?.cpuAt ?? 0) >> 2;
    words[cpu + (CPU_STATE >> 2)] = CPU_CLAIMED;
    words[cpu + (CPU_GUEST >> 2)] = this.#guestNumber(words, guest);
    return connect({
      buffer: this.memory.buffer,
      // An instance knows which guest it serves.
      wasm: instantiate(this.#module, this.memory),
      map: this.map,
      slot,
      generation: words[cpu + (CPU_GENERATION >> 2)] as number,
      clock: this.clock,
      bells: { host: this.#hostBell, guest: this.#bells[slot] as InlineDoorbell },
      spins: 0,
      notifications,
    });
  }

  /** With `guest`: another CPU of that guest, as a worker of its own would be. */
  mount(options: MountOptions & { readonly guest?: Guest } = {}): Guest {
    const { guest, ...rest } = options;
    return mountConnection(this.connect(options.notifications, guest), { clock: this.clock, ...rest });
  }

  /** A guest's worker has ended without a word: the host takes back what it had. */
  detach(guest: Guest): void {
    const words = new Int32Array(this.memory.buffer);
    words[this.#cpuOf(guest) + (CPU_STATE >> 2)] = CPU_DEAD;
    this.step();
  }

  /** Index of its CPU struct. */
  #cpuOf(guest: Guest): number {
    const slot = this.map.slots[slotOf(guest.mount.channel.cpu?.number ?? 0)];
    return (slot?.cpuAt ?? 0) >> 2;
  }

  #guestNumber(words: Int32Array, guest: Guest | undefined): number {
    if (guest !== undefined) return words[this.#cpuOf(guest) + (CPU_GUEST >> 2)] as number;
    words[HEADER_GUESTS >> 2] = (words[HEADER_GUESTS >> 2] as number) + 1;
    return words[HEADER_GUESTS >> 2] as number;
  }

  stop(): HostReport {
    this.#isStopped = true;
    while (this.step());
    return this.core.stop();
  }

  [Symbol.dispose](): void {
    if (!this.#isStopped) this.stop();
  }
}
