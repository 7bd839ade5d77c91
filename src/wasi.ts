/** `virtiofs/wasi`: WASI preview 1 programs on guests' files. */
export type { WasiStream } from './adapters/wasi/streams.ts';
export { type Preopen, Wasi, type WasiOptions } from './adapters/wasi/wasi.ts';
