/** `virtiofs/node-fs`: the functions of node:fs over a guest's tree. */
export type { Emitter, Platform, Timer } from './adapters/node-fs/platform.ts';
export type { Process } from './guest/process.ts';
export { type NodeFs, type NodeFsOptions, type NodeFsPromises, nodeFs } from './worker/node-fs.ts';
