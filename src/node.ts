/** `virtiofs/node`: what exists in Node only: the file system over a real directory, for inline hosts and tests. */
export { DirFileSystem, type DirOptions } from './fs/dir/dir.ts';
export { MemoryFileSystem } from './fs/memory.ts';
export { ReadOnlyFileSystem } from './fs/read-only.ts';
