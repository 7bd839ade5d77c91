/** Four guests and a host in one thread, with a pool and windows that are far too small, and what must hold of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CPU_DEAD, CPU_EPOCH, CPU_FREE, CPU_STATE, PIN_SIZE, PMD_SIZE } from '../../assembly/layout.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { DirFileSystem } from '../../src/fs/dir/dir.ts';
import { MemoryFileSystem } from '../../src/fs/memory.ts';
import type { Guest } from '../../src/guest/guest.ts';
import type { FileSystem } from '../../src/host/file-system.ts';
import { WindowMapper } from '../../src/host/mapper.ts';
import type { PageCache } from '../../src/host/page-cache.ts';
import type { CacheMode } from '../../src/worker/host-options.ts';
import { createInline, type InlineHost } from '../../src/worker/inline.ts';
import type { MountOptions } from '../../src/worker/mount.ts';
import type { FaultyBackings } from '../fakes/faulty-backing.ts';

export const GUESTS = 4;
const RANGES = 3;
const MIB = 1 << 20;

export interface WorldOptions {
  /** `dir`: files are backed, the pool is a cache; `memory`: the pool is the files. */
  readonly fs: 'dir' | 'memory';
  readonly frames: number;
  readonly faulty?: FaultyBackings;
  /** What the host lets guests keep; a world without it has no guest with pages of its own. */
  readonly cache?: CacheMode;
  /** Guests believe names and attributes for ever, unless they are told; else for no time at all. */
  readonly isBelievedForever?: boolean;
}

export class World {
  readonly host: InlineHost;
  readonly clock: ManualClock;
  readonly isBacked: boolean;
  /** The served directory; none for `memory`. */
  readonly directory: string | undefined;
  readonly logged: string[];
  /** Guests may keep pages of their own. */
  readonly hasPages: boolean;
  readonly cache: CacheMode | undefined;
  readonly #fs: FileSystem & { checkInvariants?(): void };

  constructor(
    parts: Pick<World, 'host' | 'clock' | 'isBacked' | 'directory' | 'logged' | 'hasPages' | 'cache'> & {
      fs: FileSystem;
    },
  ) {
    this.host = parts.host;
    this.clock = parts.clock;
    this.isBacked = parts.isBacked;
    this.directory = parts.directory;
    this.logged = parts.logged;
    this.hasPages = parts.hasPages;
    this.cache = parts.cache;
    this.#fs = parts.fs;
  }

  mount(options: MountOptions): { guest: Guest; slot: number } {
    const slot = this.#freeSlot();
    return { guest: this.host.mount({ maxInodes: 16, ...options }), slot };
  }

  /** The worker of a guest ends where it stands: perhaps inside an access. */
  kill(slot: number, isInside: boolean): void {
    const words = new Int32Array(this.host.memory.buffer);
    const { cpuAt } = this.#place(slot);
    if (isInside) words[(cpuAt + CPU_EPOCH) >> 2] = (words[(cpuAt + CPU_EPOCH) >> 2] as number) | 1;
    words[(cpuAt + CPU_STATE) >> 2] = CPU_DEAD;
    this.settle();
    this.checkGone(slot);
  }

  settle(): void {
    while (this.host.step());
  }

  /** Nothing of a guest that has unmounted, or is dead, is left in its window. */
  checkGone(slot: number): void {
    const words = new Int32Array(this.host.memory.buffer);
    const { cpuAt, tableAt, pinsAt } = this.#place(slot);
    if (words[(cpuAt + CPU_STATE) >> 2] !== CPU_FREE) throw new Error(`slot ${slot} was not given back`);
    if (((words[(cpuAt + CPU_EPOCH) >> 2] as number) & 1) !== 0) throw new Error(`slot ${slot} is inside an access`);
    for (let range = 0; range < RANGES; range++) {
      if (words[(tableAt + range * PMD_SIZE) >> 2] !== 0) throw new Error(`slot ${slot} has range ${range} mapped`);
      if (words[(pinsAt + range * PIN_SIZE) >> 2] !== 0) throw new Error(`slot ${slot} has range ${range} pinned`);
    }
  }

  /** Everything that is true between two steps, whatever they were. */
  check(guests: Iterable<Guest>): void {
    const { server, pageCache } = this.host.core;
    server.checkInvariants();
    pageCache.checkInvariants();
    this.#fs.checkInvariants?.();
    for (const session of server.sessions) {
      const { window } = session.options;
      if (window instanceof WindowMapper) window.checkInvariants();
    }
    for (const guest of guests) guest.mount.checkInvariants();
  }

  /** All guests have gone: nothing but the root, the pages of files, and the page of zeros is held. */
  checkEmpty(): void {
    const { server, pageCache, slots } = this.host.core;
    for (const slot of slots.keys()) this.checkGone(slot);
    if (server.store.count !== 1) throw new Error(`${server.store.count} inodes are held, not the root alone`);
    pageCache.sweepLimbo();
    pageCache.checkInvariants();
    for (const session of server.sessions) {
      if (session.lookups.size + session.handles.size > 0) throw new Error('a session has something left');
    }
  }

  destroy(): void {
    this.host.stop();
    if (this.directory !== undefined) rmSync(this.directory, { recursive: true });
  }

  #freeSlot(): number {
    const words = new Int32Array(this.host.memory.buffer);
    return this.host.map.slots.findIndex((place) => words[(place.cpuAt + CPU_STATE) >> 2] === CPU_FREE);
  }

  #place(slot: number): { cpuAt: number; tableAt: number; pinsAt: number } {
    const place = this.host.map.slots[slot];
    if (place === undefined) throw new Error(`no slot ${slot}`);
    return place;
  }
}

export async function createWorld(options: WorldOptions): Promise<World> {
  const isBacked = options.fs === 'dir';
  const directory = isBacked ? mkdtempSync(join(process.env['TMPDIR'] ?? tmpdir(), 'virtiofs-dax-')) : undefined;
  const clock = new ManualClock();
  const logged: string[] = [];
  let made: FileSystem | undefined;
  const makeFileSystem = (pageCache: PageCache): FileSystem => {
    made = makeTree(options, pageCache, clock, directory);
    return made;
  };
  const timeoutMs = options.isBelievedForever === true ? Number.POSITIVE_INFINITY : 0;
  const host = await createInline({
    cacheSize: options.frames * 4096,
    windowSize: RANGES * 2 * MIB,
    guests: GUESTS,
    dataSize: 64 * 1024,
    kernelMounts: 0,
    cache: options.cache ?? 'auto',
    daxFileSize: options.cache === undefined ? 0 : MIB,
    attrTimeoutMs: timeoutMs,
    entryTimeoutMs: timeoutMs,
    negativeTimeoutMs: timeoutMs,
    clock,
    log: (level, text) => logged.push(`${level} ${text}`),
    makeFileSystem,
  });
  const hasPages = options.cache !== undefined;
  return new World({
    host,
    clock,
    isBacked,
    directory,
    logged,
    hasPages,
    cache: options.cache,
    fs: made as FileSystem,
  });
}

function makeTree(
  options: WorldOptions,
  pageCache: PageCache,
  clock: ManualClock,
  path: string | undefined,
): FileSystem {
  if (path === undefined) return new MemoryFileSystem({ pageCache, clock, sizeLimit: options.frames * 4096 });
  const pages = options.faulty?.wrap(pageCache) ?? pageCache;
  return new DirFileSystem({ path, pageCache: pages, clock, idleMax: 8 });
}
