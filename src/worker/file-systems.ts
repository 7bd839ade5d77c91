/**
 * From a SPEC to a file system, inside the host's thread. Backends that only some systems have are loaded on demand.
 */
import type { Clock } from '../base/clock.ts';
import { MemoryFileSystem } from '../fs/memory.ts';
import type { FileSystem } from '../host/file-system.ts';
import type { Log } from '../host/log.ts';
import type { PageCache } from '../host/page-cache.ts';
import type { Relay } from '../transport/stream/relay.ts';
import { LocalMemory } from '../virtio/memory.ts';
import type { FileSystemSpec } from './host-options.ts';

export type MakeFileSystem = (pageCache: PageCache, clock: Clock, log: Log) => FileSystem;

/** Returns what makes the file system once the page cache is there. A foreign server is none: see `loadRelay`. */
export async function loadFileSystem(spec: FileSystemSpec, cacheSize: number): Promise<MakeFileSystem> {
  if (spec.type === 'memory') {
    const sizeLimit = Math.min(spec.size ?? cacheSize, cacheSize);
    return (pageCache, clock) => new MemoryFileSystem({ pageCache, clock, sizeLimit });
  }
  if (spec.type === 'fuse') throw new TypeError(`fuse:${spec.path} can be mounted by guests of createHost() only`);
  const { DirFileSystem } = await import('../fs/dir/dir.ts');
  const { path, readOnly = false, native = true } = spec;
  return (pageCache, clock, log) => new DirFileSystem({ path, pageCache, clock, log, readOnly, native });
}

export interface RelaySettings {
  /** The host's memory. */
  readonly buffer: ArrayBufferLike;
  readonly maxWrite: number;
  readonly log: Log;
  readonly isStopping: () => boolean;
}

/** Connects to a foreign server. */
export async function loadRelay(path: string, settings: RelaySettings): Promise<Relay> {
  const { buffer, maxWrite, log, isStopping } = settings;
  const { openRelayLink } = await import('../transport/stream/relay-link.ts');
  const { Relay } = await import('../transport/stream/relay.ts');
  const link = await openRelayLink({ path, maxWrite, isStopping });
  return new Relay({ link, memory: new LocalMemory(buffer), maxWrite, log });
}
