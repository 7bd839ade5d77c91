/** What tests of locks say to the host: one client, one file, one handle. */
import * as fuse from '../../src/wire/fuse.ts';
import type { OpName } from '../../src/wire/ops.ts';
import { decode } from '../../src/wire/struct.ts';
import { bytes, type Client, ok, type Reply } from './client.ts';
import type { World } from './world.ts';

export const READ = 0;
export const WRITE = 1;
export const UNLOCK = 2;
/** 2^63 − 1 */
const TO_END = new Uint8Array([255, 255, 255, 255, 255, 255, 255, 127]);

export interface LockOptions {
  readonly owner?: bigint;
  readonly pid?: number;
  readonly flock?: boolean;
}

/** A file open in one client. */
export class LockFile {
  readonly client: Client;
  readonly nodeid: number;
  readonly fh: number;

  constructor(client: Client, nodeid: number, fh: number) {
    this.client = client;
    this.nodeid = nodeid;
    this.fh = fh;
  }

  /** `to` is inclusive, Infinity is to the end. */
  send(name: OpName, type: number, from: number, to: number, options: LockOptions = {}): Reply {
    const { owner = 1n, pid = 42, flock = false } = options;
    const lk = { start: from, end: Math.min(to, Number.MAX_SAFE_INTEGER), type, pid };
    const args = bytes(fuse.LkIn, { fh: this.fh, owner, lk, lk_flags: flock ? 1 : 0 });
    if (to === Number.POSITIVE_INFINITY) args.set(TO_END, fuse.LkIn.lk.end.offset);
    return this.client.send(name, [args], { nodeid: this.nodeid });
  }

  set(type: number, from: number, to: number, options?: LockOptions): number {
    return this.send('SETLK', type, from, to, options).errno;
  }

  /** Returns the errno, or the request's `unique` when it waits. */
  wait(type: number, from: number, to: number, options?: LockOptions): number | bigint {
    const { isAnswered, errno, unique } = this.send('SETLKW', type, from, to, options);
    return isAnswered ? errno : unique;
  }

  flock(type: number, owner: bigint): number {
    return this.set(type, 0, Number.POSITIVE_INFINITY, { owner, flock: true });
  }

  waitFlock(type: number, owner: bigint): number | bigint {
    return this.wait(type, 0, Number.POSITIVE_INFINITY, { owner, flock: true });
  }

  /** What is in the way: "w 3-9 pid 42", or "free". */
  test(type: number, from: number, to: number, options?: LockOptions): string {
    const { errno, body } = this.send('GETLK', type, from, to, options);
    if (errno !== 0) return `errno ${errno}`;
    const { lk } = decode(fuse.LkOut, body, 0);
    if (lk.type === UNLOCK) return 'free';
    const isEndless = body.getBigUint64(fuse.LkOut.lk.end.offset, true) === 2n ** 63n - 1n;
    return `${lk.type === WRITE ? 'w' : 'r'} ${lk.start}-${isEndless ? 'end' : lk.end} pid ${lk.pid}`;
  }

  /** Every byte that `owner` has locked among the first `count`, as others see it: "r", "w" or ".". */
  map(count: number): string {
    let text = '';
    for (let at = 0; at < count; at++)
      text += (this.test(WRITE, at, at, { owner: 999n })[0] as string).replace('f', '.');
    return text;
  }

  flush(owner = 1n): number {
    const args = bytes(fuse.FlushIn, { fh: this.fh, lock_owner: owner });
    return this.client.send('FLUSH', [args], { nodeid: this.nodeid }).errno;
  }

  release(flockOwner?: bigint): number {
    const flock = flockOwner === undefined ? {} : { release_flags: 2, lock_owner: flockOwner };
    const args = bytes(fuse.ReleaseIn, { fh: this.fh, ...flock });
    return this.client.send('RELEASE', [args], { nodeid: this.nodeid }).errno;
  }

  interrupt(unique: bigint): void {
    this.client.send('INTERRUPT', [bytes(fuse.InterruptIn, { unique })]);
  }

  /** The same file, opened once more. */
  again(flags = 2): LockFile {
    return new LockFile(this.client, this.nodeid, this.client.open(this.nodeid, flags));
  }
}

/** One file, `/f`, open for reading and writing in `count` clients. */
export function openEverywhere(world: World, count: number): LockFile[] {
  const { nodeid, fh } = ok(world.client.create(1, 'f'));
  const files = [new LockFile(world.client, nodeid, fh)];
  while (files.length < count) {
    const client = world.attach();
    client.init();
    const entry = ok(client.lookup(1, 'f'));
    files.push(new LockFile(client, entry.nodeid, client.open(entry.nodeid, 2)));
  }
  return files;
}
