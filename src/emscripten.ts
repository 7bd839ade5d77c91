/** `virtiofs/emscripten`: a file system type for Emscripten programs, Pyodide among them. */
export { createVirtiofs, type VirtiofsMountOptions, type VirtiofsType } from './adapters/emscripten/file-system.ts';
export type { EmscriptenModule } from './adapters/emscripten/module.ts';
export { loadPyodideWith } from './adapters/emscripten/pyodide.ts';
export { Syscalls } from './adapters/emscripten/syscalls.ts';
