/** What a host can be told, with defaults, and the clear errors for what it cannot. */
import { FOPEN_FLAGS } from '../wire/flags.ts';
import type { MemoryOptions } from './memory-map.ts';

const MIB = 1 << 20;
const GIB = 1 << 30;

/** How long a guest may believe attributes, names, and that there is no such name. */
export interface Timeouts {
  readonly attrTimeoutMs: number;
  readonly entryTimeoutMs: number;
  readonly negativeTimeoutMs: number;
}

/** What the host worker needs besides the memory's plan. Structured-cloneable. */
export interface HostSettings extends Timeouts {
  readonly fs: FileSystemSpec;
  readonly tag: string;
  /** For guests that are told what others change; absent: nobody is told. */
  readonly told?: Timeouts;
  readonly writeBackMs: number;
  /** FOPEN_* bits of every OPEN reply to a guest. */
  readonly openFlags?: number;
  /** Guests that mount with `dax: 'inode'` use their window for files of at least this size. */
  readonly daxFileSize: number;
  /** Guests may let the host choose where mappings go. */
  readonly extensions: boolean;
  readonly recallBelow?: number;
}

/**
 * What guests with a page cache of their own (`pageCacheSize`) may keep of files that they do not read through a
 * window, as virtiofsd's `--cache`: `none`: nothing (FOPEN_DIRECT_IO); `auto`: from open to close; `always`: for as
 * long as they like (FOPEN_KEEP_CACHE). The timeouts follow it: 0, 1 second, 1 day.
 */
export type CacheMode = 'none' | 'auto' | 'always';

/** A file system by name: what SPEC means on the command line. */
export type FileSystemSpec =
  | { readonly type: 'memory'; readonly size?: number }
  /** `native`: use the optional package of system calls, if it is installed. Default: yes. */
  | { readonly type: 'dir'; readonly path: string; readonly readOnly?: boolean; readonly native?: boolean }
  /** A foreign FUSE server behind a Unix socket. */
  | { readonly type: 'fuse'; readonly path: string };

export interface HostOptions extends Partial<MemoryOptions> {
  /** What to serve: `memory`, `memory:64MiB`, `dir:PATH`, `fuse:SOCKET`, or that as an object. Default: `memory`. */
  readonly fs?: string | FileSystemSpec;
  /** The device's tag, up to 36 bytes. Default: `virtiofs`. */
  readonly tag?: string;
  /** Default: `auto`. */
  readonly cache?: CacheMode;
  /**
   * How long guests may believe names and attributes without asking, in milliseconds. Default: as `cache` says; with
   * `auto` a day for guests that are told of changes, if nobody but this host can change the files (`memory`).
   */
  readonly attrTimeoutMs?: number;
  readonly entryTimeoutMs?: number;
  /** The same for names that do not exist. Default: 0, or a day as above. */
  readonly negativeTimeoutMs?: number;
  /** Tells guests what others change, before the call that changed it returns. Default: true. */
  readonly notifications?: boolean;
  /** How often dirty pages are written back. Default: 1000. */
  readonly writeBackMs?: number;
  /**
   * With `mount({ dax: 'inode' })`: files of at least so many bytes are read and written through the window, smaller
   * ones by READ and WRITE. Decided when a guest first meets a file, as in Linux; until it has forgotten the file, a
   * change of size changes nothing. Default: 0, all.
   */
  readonly daxFileSize?: number;
  /** Private additions to FUSE, for guests that ask for them: see docs/wire.md. Default: true. */
  readonly extensions?: boolean;
  /**
   * With `mount({ allocation: 'server' })`: the share of a window's ranges that the host keeps free by asking for some
   * back. Default: 0.2, as Linux's reclaim; 0: it asks when it has none.
   */
  readonly recallBelow?: number;
}

const DEFAULTS: MemoryOptions = {
  cacheSize: 256 * MIB,
  guests: 8,
  windowSize: 64 * MIB,
  queueSize: 128,
  requestQueues: 1,
  dataSize: 256 * 1024,
};

const DAY_MS = 86_400_000;
const CACHE_MODES: Readonly<Record<string, { readonly openFlags: number; readonly timeoutMs: number }>> = {
  none: { openFlags: FOPEN_FLAGS.FOPEN_DIRECT_IO, timeoutMs: 0 },
  auto: { openFlags: 0, timeoutMs: 1000 },
  always: { openFlags: FOPEN_FLAGS.FOPEN_KEEP_CACHE, timeoutMs: DAY_MS },
};

/** Where a kernel could mount us. Their memory is not used before they are. */
const KERNEL_MOUNTS = 2;

/** A relay has no pages of its own: no window, and a cache that is never used. */
const RELAYED = { cacheSize: 64 * 1024, windowSize: 0, kernelMounts: 0 };

/**
 * Fills in the defaults; throws a TypeError or RangeError that says which option is wrong. `isOnlyWriter`: a `memory`
 * file system is changed by its host alone.
 */
export function completeOptions(
  options: HostOptions,
  isOnlyWriter = true,
): { settings: HostSettings; memory: MemoryOptions } {
  const spec = typeof options.fs === 'object' ? options.fs : parseSpec(options.fs ?? 'memory');
  const tag = options.tag ?? 'virtiofs';
  const tagSize = new TextEncoder().encode(tag).length;
  if (tagSize < 1 || tagSize > 36 || tag.includes('\n'))
    throw new RangeError('tag must have 1 to 36 bytes on one line');
  const cache = CACHE_MODES[options.cache ?? 'auto'];
  if (cache === undefined) throw new TypeError(`cache must be none, auto or always, not ${String(options.cache)}`);
  const settings: HostSettings = {
    fs: spec,
    tag,
    ...timeouts(options, cache.timeoutMs, 0),
    ...toldTimeouts(options, spec, isOnlyWriter, cache.timeoutMs),
    writeBackMs: milliseconds('writeBackMs', options.writeBackMs, 1000),
    openFlags: cache.openFlags,
    daxFileSize: size('daxFileSize', options.daxFileSize ?? 0),
    extensions: options.extensions ?? true,
    recallBelow: share('recallBelow', options.recallBelow ?? 0.2),
  };
  const memory: MemoryOptions = {
    cacheSize: options.cacheSize ?? DEFAULTS.cacheSize,
    guests: options.guests ?? DEFAULTS.guests,
    windowSize: options.windowSize ?? DEFAULTS.windowSize,
    queueSize: options.queueSize ?? DEFAULTS.queueSize,
    requestQueues: options.requestQueues ?? DEFAULTS.requestQueues,
    dataSize: options.dataSize ?? DEFAULTS.dataSize,
    kernelMounts: options.kernelMounts ?? (isLinux() ? KERNEL_MOUNTS : 0),
  };
  return { settings, memory: spec.type === 'fuse' ? { ...memory, ...RELAYED } : memory };
}

/** Reads a SPEC: `memory`, `memory:SIZE`, `dir:PATH`, `fuse:SOCKET`. */
export function parseSpec(text: string): FileSystemSpec {
  const colon = text.indexOf(':');
  const type = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? '' : text.slice(colon + 1);
  if (type === 'memory') return rest === '' ? { type } : { type, size: parseSize(rest) };
  if (type === 'dir') {
    if (rest === '') throw new TypeError('dir: needs a path, as in dir:/some/where');
    return { type, path: rest };
  }
  if (type === 'fuse') {
    if (rest === '') throw new TypeError('fuse: needs the path of a Unix socket, as in fuse:/run/server.sock');
    return { type, path: rest };
  }
  throw new TypeError(`unknown file system '${text}': expected memory, memory:SIZE, dir:PATH or fuse:SOCKET`);
}

/** Reads `64MiB`, `1G`, `4096`; K, M, G are powers of 1024. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmg])(?:i?b)?|b)?$/i.exec(text.trim());
  if (match === null) throw new TypeError(`'${text}' is not a size: write it as 4096, 64MiB or 1G`);
  const unit = { '': 1, k: 1024, m: MIB, g: GIB }[(match[2] ?? '').toLowerCase()] ?? 1;
  const size = Math.floor(Number(match[1]) * unit);
  if (size < 1) throw new RangeError(`'${text}' is too small: nothing would fit`);
  return size;
}

/** A foreign server tells us nothing that we could pass on; a directory's other users tell nobody. */
function toldTimeouts(
  options: HostOptions,
  spec: FileSystemSpec,
  isOnlyWriter: boolean,
  byDefault: number,
): { told?: Timeouts } {
  if (options.notifications === false || spec.type === 'fuse') return {};
  const isOurs = spec.type === 'memory' && isOnlyWriter && options.cache !== 'none';
  return { told: isOurs ? timeouts(options, DAY_MS, DAY_MS) : timeouts(options, byDefault, 0) };
}

function timeouts(options: HostOptions, byDefault: number, negativeByDefault: number): Timeouts {
  return {
    attrTimeoutMs: milliseconds('attrTimeoutMs', options.attrTimeoutMs, byDefault),
    entryTimeoutMs: milliseconds('entryTimeoutMs', options.entryTimeoutMs, byDefault),
    negativeTimeoutMs: milliseconds('negativeTimeoutMs', options.negativeTimeoutMs, negativeByDefault),
  };
}

function milliseconds(name: string, value: number | undefined, byDefault: number): number {
  const ms = value ?? byDefault;
  if (!(ms >= 0)) throw new RangeError(`${name} is ${value}: it must be 0 or more milliseconds`);
  return ms;
}

function size(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`${name} is ${value}: it must be 0 or more bytes`);
  return value;
}

function share(name: string, value: number): number {
  if (!(value >= 0 && value <= 1)) throw new RangeError(`${name} is ${value}: it must be from 0 to 1`);
  return value;
}

function isLinux(): boolean {
  return typeof process === 'object' && process.platform === 'linux';
}
