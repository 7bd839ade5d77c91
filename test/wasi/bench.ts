/** The calls of a program that is not there: a memory, values in it, and the functions a program would import. */

import type { CALLS } from '../../src/adapters/wasi/calls.ts';
import { Wasi, type WasiOptions } from '../../src/adapters/wasi/wasi.ts';
import { bytesOfArray } from '../../src/base/bytes.ts';
import { boot, type World, type WorldOptions } from '../guest/world.ts';

export type CallName = keyof typeof CALLS;
type Argument = number | bigint;

/** Addresses that the helpers below use; what a test stores itself goes above `FREE`. */
const PATH = 1024;
const PATH2 = 8192;
const RESULT = 512;
const IOVS = 640;
export const FREE = 16384;
export const ALL_RIGHTS = 0x3fff_ffffn;

export class Bench {
  readonly world: World;
  readonly wasi: Wasi;
  readonly memory: WebAssembly.Memory;
  readonly calls: Record<CallName, (...args: Argument[]) => number>;
  /** Where this program's addresses begin, in a memory that is not its own. */
  readonly base: number;

  constructor(
    options: Partial<WasiOptions> = {},
    world: WorldOptions = {},
    where?: (world: World) => [WebAssembly.Memory, number],
  ) {
    this.world = boot(world);
    const { guest, clock } = this.world;
    guest.mkdir('/in/sub', { recursive: true });
    const sleep = (ms: number) => clock.advance(Math.max(1, ms));
    this.wasi = new Wasi({ guest, preopens: { '/': '/in' }, sleep, ...options });
    [this.memory, this.base] = where?.(this.world) ?? [new WebAssembly.Memory({ initial: 4 }), 0];
    const imports = this.wasi.imports(this.memory)['wasi_snapshot_preview1'];
    this.calls = imports as unknown as Record<CallName, (...args: Argument[]) => number>;
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.memory.buffer, this.base);
  }
  get view(): DataView {
    return new DataView(this.memory.buffer, this.base);
  }

  at(address: number): number {
    return this.base + address;
  }

  /** Stores a path: address and size. */
  path(text: string | Uint8Array, at = PATH): [number, number] {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    this.bytes.set(bytes, at);
    return [this.at(at), bytes.length];
  }

  /** Stores a vector of [address, size]: its address and count. */
  iovs(...places: readonly (readonly [number, number])[]): [number, number] {
    for (const [i, [at, size]] of places.entries()) {
      this.view.setUint32(IOVS + i * 8, this.at(at), true);
      this.view.setUint32(IOVS + i * 8 + 4, size, true);
    }
    return [this.at(IOVS), places.length];
  }

  result32(): number {
    return this.view.getUint32(RESULT, true);
  }
  result64(): bigint {
    return this.view.getBigUint64(RESULT, true);
  }
  get result(): number {
    return this.at(RESULT);
  }

  /** Opens: a descriptor, or WASI's errno negated. */
  open(
    path: string,
    oflags = 0,
    { dir = 3, rights = ALL_RIGHTS, below = ALL_RIGHTS, fdflags = 0, lookup = 1 } = {},
  ): number {
    const errno = this.calls.path_open(dir, lookup, ...this.path(path), oflags, rights, below, fdflags, this.result);
    return errno === 0 ? this.result32() : -errno;
  }

  write(fd: number, text: string): number {
    this.bytes.set(new TextEncoder().encode(text), FREE);
    return this.calls.fd_write(fd, ...this.iovs([FREE, text.length]), this.result);
  }

  text(at: number, size: number): string {
    return new TextDecoder().decode(this.bytes.slice(at, at + size));
  }

  rename(from: string, to: string): number {
    return this.calls.path_rename(3, ...this.path(from), 3, ...this.path(to, PATH2));
  }

  link(from: string, to: string, lookup = 0): number {
    return this.calls.path_link(3, lookup, ...this.path(from), 3, ...this.path(to, PATH2));
  }

  /** Lists a directory with a buffer of `size`, calling again from the last whole entry, as libraries do. */
  list(fd: number, size: number, each: () => void = () => {}): string[] {
    const names: string[] = [];
    let cookie = 0n;
    for (;;) {
      const errno = this.calls.fd_readdir(fd, this.at(FREE), size, cookie, this.result);
      if (errno !== 0) throw new Error(`fd_readdir: ${errno}`);
      const used = this.result32();
      let pos = 0;
      while (pos + 24 <= used) {
        const length = this.view.getUint32(FREE + pos + 16, true);
        if (pos + 24 + length > used) break;
        names.push(bytesOfArray(this.bytes.slice(FREE + pos + 24, FREE + pos + 24 + length)));
        cookie = this.view.getBigUint64(FREE + pos, true);
        pos += 24 + length;
      }
      if (used < size) return names;
      if (pos === 0) throw new Error('the buffer is too small for an entry');
      each();
    }
  }

  end(): void {
    this.wasi.release();
    this.world.check();
    this.world.unmountAll();
  }
}
