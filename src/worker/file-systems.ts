/**
 * From a SPEC to a file system, inside the host's thread. Backends that only some systems have are loaded on demand.
 */
import type { Clock } from '../base/clock.ts';
import { MemoryFileSystem } from '../fs/memory.ts';
import type { FileSystem } from '../host/file-system.ts';
import type { Log } from '../host/log.ts';
import type { PageCache } from '../host/page-cache.ts';
import type { FileSystemSpec } from './host-options.ts';

export type MakeFileSystem = (pageCache: PageCache, clock: Clock, log: Log) => FileSystem;

/** Returns what makes the file system once the page cache is there. */
export async function loadFileSystem(spec: FileSystemSpec, cacheSize: number): Promise<MakeFileSystem> {
  if (spec.type === 'memory') {
    const sizeLimit = Math.min(spec.size ?? cacheSize, cacheSize);
    return (pageCache, clock) => new MemoryFileSystem({ pageCache, clock, sizeLimit });
  }
  const { DirFileSystem } = await import('../fs/dir/dir.ts');
  return (pageCache, clock, log) =>
    new DirFileSystem({ path: spec.path, pageCache, clock, log, readOnly: spec.readOnly ?? false });
}
