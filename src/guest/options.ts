/** What a program may choose when it mounts. */
import type { Clock } from '../base/clock.ts';

/**
 * `always`: every regular file is read and written through the window; `never`: none; `inode`: those that the host
 * marks (FUSE_ATTR_DAX). Without a window, `always` fails and `inode` means `never`.
 */
export type DaxMode = 'always' | 'never' | 'inode';

/**
 * Who chooses where in the window a mapping goes. `client`: the guest (SETUPMAPPING), which is FUSE as it is; `server`:
 * the host, which asks for ranges back when it runs out (private MAP); `combined`: the host while it has free ranges,
 * then the guest. A host that knows only the first is served with that.
 */
export type Allocation = 'client' | 'server' | 'combined';

/**
 * `inline`: a range is taken from a file when another needs one; `background`: before that, some at a time, when fewer
 * than a fifth are free.
 */
export type ReclaimMode = 'inline' | 'background';

export interface MountOptions {
  readonly clock: Clock;
  /** Default: `always` if there is a window, else `never`. */
  readonly dax?: DaxMode;
  /** Default: `client`. */
  readonly allocation?: Allocation;
  /** With `allocation: 'client'`. Default: `inline`. */
  readonly reclaim?: ReclaimMode;
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
  /** Default 0o022. */
  readonly umask?: number;
  /** Names the guest keeps in its cache, and with them their inodes; default 8,192, at least 16. */
  readonly maxInodes?: number;
  /**
   * Bytes of file data that this guest keeps to itself, of files that it does not read through a window and for which
   * the host allows it; default 0. Another guest's stores through a window are not seen in it.
   */
  readonly pageCacheSize?: number;
  /** Gathers writes in the page cache. Default false: they go to the host at once. */
  readonly writeback?: boolean;
}

export interface ResolvedOptions {
  readonly clock: Clock;
  readonly dax: DaxMode;
  readonly allocation: Allocation;
  readonly reclaim: ReclaimMode;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly umask: number;
  readonly maxInodes: number;
  readonly pageCacheSize: number;
  readonly writeback: boolean;
}

const DEFAULT_UMASK = 0o022;
const DEFAULT_MAX_INODES = 8192;
/** A path walk keeps what it has just looked up, so the cache cannot be arbitrarily small. */
const MIN_MAX_INODES = 16;
/** Room for what one request reads ahead, twice. */
const MIN_PAGE_CACHE = 64 * 4096;
const MAX_PAGE_CACHE = 2 ** 32;

/** Checks the options and fills in defaults. Throws TypeError or RangeError with the option's name. */
export function resolveOptions(options: MountOptions, hasWindow: boolean): ResolvedOptions {
  if (typeof options.clock?.monotonicMs !== 'function') throw new TypeError('mount option "clock" must be a Clock');
  return {
    clock: options.clock,
    dax: daxMode(options.dax, hasWindow),
    allocation: choice('allocation', options.allocation ?? 'client', ['client', 'server', 'combined']),
    reclaim: choice('reclaim', options.reclaim ?? 'inline', ['inline', 'background']),
    uid: integer('uid', options.uid ?? 0, 0, 0xffff_fffe),
    gid: integer('gid', options.gid ?? 0, 0, 0xffff_fffe),
    pid: integer('pid', options.pid ?? 1, 0, 0xffff_ffff),
    umask: integer('umask', options.umask ?? DEFAULT_UMASK, 0, 0o777),
    maxInodes: integer('maxInodes', options.maxInodes ?? DEFAULT_MAX_INODES, MIN_MAX_INODES, 2 ** 31),
    ...pageCache(options.pageCacheSize ?? 0, options.writeback ?? false),
  };
}

function pageCache(pageCacheSize: number, writeback: boolean): { pageCacheSize: number; writeback: boolean } {
  if (pageCacheSize !== 0) integer('pageCacheSize', pageCacheSize, MIN_PAGE_CACHE, MAX_PAGE_CACHE);
  else if (writeback) throw new TypeError('mount option "writeback" needs a "pageCacheSize"');
  return { pageCacheSize, writeback };
}

function daxMode(mode: DaxMode | undefined, hasWindow: boolean): DaxMode {
  if (mode === undefined) return hasWindow ? 'always' : 'never';
  if (mode !== 'always' && mode !== 'never' && mode !== 'inode') {
    throw new TypeError(`mount option "dax" must be "always", "never" or "inode", not ${JSON.stringify(mode)}`);
  }
  if (mode === 'always' && !hasWindow) {
    throw new TypeError('mount option "dax" is "always", but the host gives this guest no window of 2 MiB or more');
  }
  return hasWindow ? mode : 'never';
}

function choice<T extends string>(name: string, value: T, choices: readonly T[]): T {
  if (choices.includes(value)) return value;
  const list = choices.map((c) => JSON.stringify(c)).join(', ');
  throw new TypeError(`mount option "${name}" must be one of ${list}, not ${JSON.stringify(value)}`);
}

function integer(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`mount option "${name}" must be an integer from ${min} to ${max}, not ${String(value)}`);
  }
  return value;
}
