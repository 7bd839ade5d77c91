/** Arguments, environment, the end; and what a file system has not: signals and sockets. */
import * as a from './abi.ts';
import type { Program } from './program.ts';

/** How proc_exit gets out of the program: thrown through it, caught by `start`. */
export class WasiExit extends Error {
  override readonly name = 'WasiExit';
  readonly code: number;

  constructor(code: number) {
    super(`the program ended with exit code ${code}`);
    this.code = code;
  }
}

export function args_get(program: Program, pointers: number, buf: number): number {
  return putStrings(program, program.options.args, pointers >>> 0, buf >>> 0);
}

export function args_sizes_get(program: Program, count: number, size: number): number {
  return putSizes(program, program.options.args, count >>> 0, size >>> 0);
}

export function environ_get(program: Program, pointers: number, buf: number): number {
  return putStrings(program, program.options.env, pointers >>> 0, buf >>> 0);
}

export function environ_sizes_get(program: Program, count: number, size: number): number {
  return putSizes(program, program.options.env, count >>> 0, size >>> 0);
}

export function proc_exit(_program: Program, code: number): never {
  throw new WasiExit(code >>> 0);
}

/** There are no signals. */
export function proc_raise(): number {
  return a.NOSYS;
}

export function sched_yield(): number {
  return a.SUCCESS;
}

export function sock_accept(program: Program, fd: number): number {
  return noSocket(program, fd);
}

export function sock_recv(program: Program, fd: number): number {
  return noSocket(program, fd);
}

export function sock_send(program: Program, fd: number): number {
  return noSocket(program, fd);
}

export function sock_shutdown(program: Program, fd: number): number {
  return noSocket(program, fd);
}

function noSocket({ table }: Program, fd: number): number {
  return table.get(fd) === undefined ? a.BADF : a.NOTSOCK;
}

function putSizes({ ram }: Program, strings: readonly Uint8Array[], count: number, size: number): number {
  ram.look();
  if (!ram.has(count, 4) || !ram.has(size, 4)) return a.FAULT;
  ram.put32(count, strings.length);
  return ram.put32(size, sizeOf(strings));
}

function putStrings({ ram }: Program, strings: readonly Uint8Array[], pointers: number, buf: number): number {
  ram.look();
  if (!ram.has(pointers, strings.length * 4) || !ram.has(buf, sizeOf(strings))) return a.FAULT;
  let at = buf;
  for (const [i, string] of strings.entries()) {
    ram.put32(pointers + i * 4, at);
    ram.bytes.set(string, at);
    at += string.length;
  }
  return a.SUCCESS;
}

function sizeOf(strings: readonly Uint8Array[]): number {
  return strings.reduce((sum, string) => sum + string.length, 0);
}
