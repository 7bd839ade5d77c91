/**
 * `createHost`: a host in a worker of its own, and what its creator holds of it. Guests attach by taking a slot in the
 * shared memory; an `Attachment` is a plain object that is posted to the guest's worker, where `mount` uses it.
 */
import {
  CPU_BELL,
  CPU_CLAIMED,
  CPU_DEAD,
  CPU_FREE,
  CPU_GENERATION,
  CPU_GUEST,
  CPU_LIVE,
  CPU_STATE,
} from '../../assembly/layout.ts';
import { SharedDoorbell } from '../base/doorbell.ts';
import type { LogLevel } from '../host/log.ts';
import type { SharedMount } from '../transport/kernel/shared-mount.ts';
import type { HostReport } from './host-core.ts';
import { completeOptions, type HostOptions, type HostSettings } from './host-options.ts';
import type { StartMessage } from './host-worker.ts';
import {
  HEADER_GUESTS,
  HEADER_HOST_BELL,
  HEADER_HOST_STATE,
  HEADER_STOP,
  HOST_STOPPED,
  type MemoryMap,
  planMemory,
} from './memory-map.ts';
import { type AnyWorker, adopt, canWait, pause, startHostWorker, type Thread } from './threads.ts';
import { wasmModule } from './wasm-modules.ts';

export interface CreateHostOptions extends HostOptions {
  /**
   * Starts the host's worker, for bundlers and policies that need another URL. Default: `host-worker.js` beside the
   * bundle.
   */
  readonly worker?: () => AnyWorker | Promise<AnyWorker>;
  /** The wasm module of the shared build, if the embedded one cannot be used. */
  readonly wasm?: WebAssembly.Module;
  /**
   * What the host has to say: broken devices, malformed requests, failed write-backs. Default: errors to
   * console.error.
   */
  readonly log?: (level: LogLevel, text: string) => void;
  readonly signal?: AbortSignal;
}

/** A guest's ticket: post it to the guest's worker and give it to `mount` there. */
export interface Attachment {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly map: MemoryMap;
  readonly slot: number;
  /** How often the slot was used before: an old ticket cannot take a new guest's place. */
  readonly generation: number;
  /** Which guest it is a CPU of. */
  readonly guest: number;
}

export interface AttachOptions {
  /** Detaches when this worker ends. */
  readonly worker?: AnyWorker;
  /** Makes it another CPU of the guest that has this attachment: open files, locks and processes are common to both. */
  readonly guest?: Attachment;
}

/** A directory on which the host is mounted. */
export interface KernelMountHandle extends AsyncDisposable {
  readonly mountPoint: string;
  /** Resolves when the mount is gone, whoever unmounted it. */
  readonly ended: Promise<void>;
  /** Unmounts, and waits for the end; rejects if somebody uses the mount. */
  unmount(): Promise<void>;
  /** Unmounts whoever uses it: they get ENOTCONN. */
  force(): Promise<void>;
}

/** What the host's worker says of a mount. */
interface MountMessage {
  readonly index: number;
  readonly what: 'ready' | 'closed';
}

/** This environment cannot share memory between workers. */
export class IsolationError extends Error {
  override readonly name = 'IsolationError';
  readonly code = 'ERR_NOT_ISOLATED';
}

/** Throws an IsolationError that says what to do when shared memory is not to be had. */
function requireSharedMemory(): void {
  const scope = globalThis as { crossOriginIsolated?: boolean; SharedArrayBuffer?: unknown };
  if (scope.SharedArrayBuffer !== undefined && scope.crossOriginIsolated !== false) return;
  throw new IsolationError(
    'shared memory needs a cross-origin isolated page: serve it with the headers ' +
      '"Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp" ' +
      '(or use createInline(), which runs host and guest in one thread and works everywhere)',
  );
}

/** Starts a host and resolves when it serves. */
export async function createHost(options: CreateHostOptions = {}): Promise<Host> {
  options.signal?.throwIfAborted();
  const { settings, memory: wanted } = completeOptions(options);
  requireSharedMemory();
  const { memory, map } = allocate(wanted);
  const module = options.wasm ?? wasmModule('shared');
  const thread = options.worker === undefined ? await startHostWorker() : adopt(await options.worker());
  // Aborted while the worker started: no event will tell.
  if (options.signal?.aborted === true) await thread.terminate();
  options.signal?.throwIfAborted();
  const host = new Host(thread, memory, module, map, settings, options.log ?? logErrors);
  const abort = () => void host.terminate();
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    thread.post({ type: 'start', memory, module, map, settings } satisfies StartMessage);
    await host.ready;
    options.signal?.throwIfAborted();
    return host;
  } catch (error) {
    await host.terminate();
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', abort);
  }
}

/** The memory is made at its full size and never grows; where that much address space is refused, half is tried. */
function allocate(wanted: Parameters<typeof planMemory>[0]): { memory: WebAssembly.Memory; map: MemoryMap } {
  for (let cacheSize = wanted.cacheSize; ; cacheSize = Math.floor(cacheSize / 2)) {
    const map = planMemory({ ...wanted, cacheSize });
    const pages = map.memorySize / 65536;
    try {
      return { memory: new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }), map };
    } catch (error) {
      if (!(error instanceof RangeError) || cacheSize < 32 << 20) throw error;
    }
  }
}

function logErrors(level: LogLevel, text: string): void {
  if (level === 'error') console.error(`virtiofs: ${text}`);
}

/** How long `attach` waits for the host to take back what a guest has left. */
const LEAVING_MS = 2000;

export class Host {
  /** Resolves when the host serves; rejects when it could not start. */
  readonly ready: Promise<void>;
  /** Resolves when the host has ended, with what it counted; undefined when it was terminated. */
  readonly closed: Promise<HostReport | undefined>;
  readonly map: MemoryMap;
  readonly #thread: Thread;
  readonly #memory: WebAssembly.Memory;
  readonly #module: WebAssembly.Module;
  readonly #words: Int32Array;
  readonly #settings: HostSettings;
  readonly #log: (level: LogLevel, text: string) => void;
  readonly #mounts = new Set<SharedMount>();
  #report: HostReport | undefined;

  /** Use createHost. */
  constructor(
    thread: Thread,
    memory: WebAssembly.Memory,
    module: WebAssembly.Module,
    map: MemoryMap,
    settings: HostSettings,
    log: (level: LogLevel, text: string) => void,
  ) {
    this.#settings = settings;
    this.#log = log;
    this.#thread = thread;
    this.#memory = memory;
    this.#module = module;
    this.map = map;
    this.#words = new Int32Array(memory.buffer);
    let started: () => void;
    let failed: (error: Error) => void;
    let ended: (report: HostReport | undefined) => void;
    let isReady = false;
    this.ready = new Promise((resolve, reject) => {
      started = resolve;
      failed = reject;
    });
    this.closed = new Promise((resolve) => {
      ended = resolve;
    });
    thread.onMessage((message) => {
      const told = message as { type: string; level: LogLevel; text: string; message: string; report: HostReport };
      if (told.type === 'ready') {
        isReady = true;
        started();
      } else if (told.type === 'kernel-mount') this.#hearOfMount(message as MountMessage);
      else if (told.type === 'log') log(told.level, told.text);
      else if (told.type === 'failed') {
        failed(new Error(told.message));
        if (isReady) log('error', `the host failed: ${told.message}`);
        // A browser tells no end of a worker.
        ended(undefined);
      } else if (told.type === 'stopped') {
        this.#report = told.report;
        ended(told.report);
      }
    });
    thread.onExit((error) => {
      this.#hostIsGone();
      failed(error ?? new Error('the host worker ended before it served'));
      if (error !== undefined) log('error', `the host worker failed: ${error.message}`);
      ended(this.#report);
    });
    this.ready.catch(() => ended(undefined));
  }

  /**
   * Takes a slot for a guest. Post the result to the guest's worker. With `worker`, the slot is given back when that
   * worker fails or (Node) ends; else call `detach` when you know that it did. A browser says nothing when a worker is
   * terminated, and lets it run on for a while: hold a Web Lock in the worker, and detach when you get that lock.
   */
  attach(options: AttachOptions = {}): Attachment {
    if (options.guest !== undefined && this.#settings.fs.type === 'fuse') {
      throw new TypeError('a guest of fuse:SOCKET has one CPU: the foreign server keeps its files apart by session');
    }
    // ORDER: nothing but the number itself is shared by it.
    const guest = options.guest?.guest ?? Atomics.add(this.#words, HEADER_GUESTS >> 2, 1) + 1;
    const slot = this.#claim();
    // ORDER: while claimed; the host reads it when the slot is live and a request has come.
    Atomics.store(this.#words, this.#cpuWord(slot, CPU_GUEST), guest);
    const attachment: Attachment = {
      memory: this.#memory,
      module: this.#module,
      map: this.map,
      slot,
      generation: this.#load(slot, CPU_GENERATION),
      guest,
    };
    if (options.worker !== undefined) adopt(options.worker).onExit(() => this.detach(attachment));
    return attachment;
  }

  /** The guest's worker has ended: everything it held (locks, handles, pins, mappings) is released. */
  detach(attachment: Attachment): void {
    const { slot } = attachment;
    if (this.#load(slot, CPU_GENERATION) !== attachment.generation) return;
    const at = this.#cpuWord(slot, CPU_STATE);
    // ORDER: claimed or live → dead; the host takes everything back and frees the slot.
    if (Atomics.compareExchange(this.#words, at, CPU_LIVE, CPU_DEAD) !== CPU_LIVE) {
      Atomics.compareExchange(this.#words, at, CPU_CLAIMED, CPU_DEAD);
    }
    this.#ringHost();
  }

  /**
   * Mounts what the guests see on a directory, for every program of this system (Linux, as root). What a guest changes
   * is seen there when its call returns, whatever the timeouts. `options`: as after `-o` of `virtiofs mount`. `stop`
   * unmounts; so does whoever runs umount(8). A process that ends unmounts by force.
   */
  async mountKernel(directory: string, options = ''): Promise<KernelMountHandle> {
    const { fs } = this.#settings;
    if (fs.type === 'fuse') throw new TypeError('mountKernel cannot serve fuse:SOCKET: let its server mount itself');
    if (this.map.boxes.length === 0) throw new TypeError("mountKernel needs Linux, and a host with 'kernelMounts'");
    const { beginMount } = await import('../transport/kernel/shared-mount.ts');
    const mount = beginMount({
      buffer: this.#memory.buffer as unknown as SharedArrayBuffer,
      boxes: this.map.boxes,
      bellAt: HEADER_HOST_BELL,
      mountPoint: directory,
      served: fs.type === 'dir' ? fs.path : undefined,
      options,
      log: this.#log,
    });
    this.#mounts.add(mount);
    void mount.ended.then(() => this.#mounts.delete(mount));
    if (this.#load32(HEADER_HOST_STATE) === HOST_STOPPED) mount.hostIsGone();
    await mount.mount();
    return mount;
  }

  /** Guests attached now. */
  get guests(): number {
    return this.map.slots.filter((_, slot) => this.#load(slot, CPU_STATE) !== CPU_FREE).length;
  }

  /** Unmounts, serves what is in the queues, writes everything back, ends the worker. */
  async stop(): Promise<HostReport | undefined> {
    for (const mount of this.#mounts) await mount[Symbol.asyncDispose]();
    // ORDER: the host looks at this word each round; the ring wakes it.
    Atomics.store(this.#words, HEADER_STOP >> 2, 1);
    this.#ringHost();
    const report = await this.closed;
    await this.#thread.terminate();
    return report;
  }

  /** Ends the worker at once. What was written through the window and not synced is lost. */
  async terminate(): Promise<void> {
    // While the host still answers: a child that this process starts flushes, at its exec, what is open on the mount.
    for (const mount of this.#mounts) await mount.force();
    await this.#thread.terminate();
    this.#hostIsGone();
  }

  /** Lets the process end although the host runs. */
  unref(): void {
    this.#thread.unref();
    for (const mount of this.#mounts) mount.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Takes a free slot. One that a guest has just left is waited for, where a thread may wait. */
  #claim(): number {
    for (let patience = canWait() ? LEAVING_MS : 0; ; patience--) {
      const slot = this.#claimFree();
      if (slot >= 0) return slot;
      // Free, by now, counts too.
      const isTaken = (state: number) => state === CPU_LIVE || state === CPU_CLAIMED;
      if (patience <= 0 || this.map.slots.every((_, index) => isTaken(this.#load(index, CPU_STATE)))) break;
      this.#ringHost();
      pause(1);
    }
    throw new RangeError(`all ${this.map.slots.length} guest slots are taken: create the host with a larger 'guests'`);
  }

  #claimFree(): number {
    for (let slot = 0; slot < this.map.slots.length; slot++) {
      const at = this.#cpuWord(slot, CPU_STATE);
      // ORDER: free → claimed by whoever wins; the slot's words were reset before it became free.
      if (Atomics.compareExchange(this.#words, at, CPU_FREE, CPU_CLAIMED) === CPU_FREE) return slot;
    }
    return -1;
  }

  #hostIsGone(): void {
    // ORDER: guests that wait look at this word when their bell rings.
    Atomics.store(this.#words, HEADER_HOST_STATE >> 2, HOST_STOPPED);
    for (const slot of this.map.slots) new SharedDoorbell(this.#memory.buffer, slot.cpuAt + CPU_BELL).ring();
    for (const mount of this.#mounts) {
      mount.hostIsGone();
      void mount.force();
    }
  }

  #hearOfMount({ index, what }: MountMessage): void {
    for (const mount of this.#mounts) if (mount.index === index && !mount.isOver) mount.hear(what);
  }

  #ringHost(): void {
    new SharedDoorbell(this.#memory.buffer, HEADER_HOST_BELL).ring();
  }

  #cpuWord(slot: number, word: number): number {
    return ((this.map.slots[slot]?.cpuAt ?? 0) + word) >> 2;
  }

  #load(slot: number, word: number): number {
    return Atomics.load(this.#words, this.#cpuWord(slot, word));
  }

  #load32(at: number): number {
    return Atomics.load(this.#words, at >> 2);
  }
}
