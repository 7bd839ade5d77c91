/**
 * A directory file system over a fresh temporary directory, and what tests need to act inside and look from outside.
 */
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { PAGE_SIZE, RANGE_SIZE } from '../../assembly/layout.ts';
import { type ByteString, bytesOfText, textOfBytes } from '../../src/base/bytes.ts';
import { SystemClock } from '../../src/base/clock.ts';
import { DirFileSystem, type DirOptions } from '../../src/fs/dir/dir.ts';
import type { DirInode } from '../../src/fs/dir/inode.ts';
import { Attr, AttrChange, Caller } from '../../src/host/inode.ts';
import { SegmentList } from '../../src/virtio/chain.ts';
import { type Errno, errnoName, OK } from '../../src/wire/errno.ts';
import { O_RDWR, S_IFREG } from '../../src/wire/mode.ts';
import { nativeSkipReason } from './native.ts';
import { createTestPages } from './pages.ts';

/** How a world is anchored: with native system calls, where their package is installed, or without. */
export type AnchorKind = 'descriptors' | 'paths' | 'descriptors and native calls';

/** Everything below runs once for each. */
export const ANCHORS: readonly AnchorKind[] = [
  ...(process.platform === 'linux' ? (['descriptors'] as const) : []),
  'paths',
  ...(nativeSkipReason === undefined ? (['descriptors and native calls'] as const) : []),
];

/** In memory where that is possible: thousands of files are made and removed. */
const TEMPORARY = process.env['TMPDIR'] ?? (existsSync('/dev/shm') ? '/dev/shm' : tmpdir());

export interface Listed {
  readonly name: string;
  readonly ino: number;
  readonly type: number;
  readonly cookie: number;
}

type WorldOptions = Omit<Partial<DirOptions>, 'anchor' | 'native'> & {
  anchor?: AnchorKind;
  frames?: number;
  setUp?: (dir: string) => void;
};

export class DirWorld {
  readonly dir: string;
  readonly lines: string[] = [];
  readonly pages: ReturnType<typeof createTestPages>;
  readonly fs: DirFileSystem;
  readonly caller = new Caller();
  readonly #attr = new Attr();

  constructor(options: WorldOptions = {}) {
    const { frames = 512, setUp, anchor, ...rest } = options;
    this.dir = mkdtempSync(join(TEMPORARY, 'virtiofs-dir-'));
    setUp?.(this.dir);
    this.pages = createTestPages({ frames });
    this.fs = new DirFileSystem({
      path: this.dir,
      pageCache: this.pages.pageCache,
      clock: new SystemClock(),
      log: (level, text) => this.lines.push(`${level} ${text}`),
      // Most tests are about what is left when nobody holds a file.
      idleMax: 0,
      ...(anchor === undefined ? {} : { anchor: anchor === 'paths' ? anchor : ('descriptors' as const) }),
      native: anchor === 'descriptors and native calls',
      ...rest,
    });
  }

  get hasNative(): boolean {
    return this.fs.getxattr !== undefined;
  }

  /** The path from outside. */
  out(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  /** Makes a file from outside. */
  put(name: string, text = ''): void {
    writeFileSync(this.out(name), text);
  }

  /** Looks a path up from the root; throws the errno's name. */
  walk(path: string): DirInode {
    let at = this.fs.root;
    for (const name of path.split('/').filter((part) => part !== '')) at = ok(this.fs.lookup(at, bytesOfText(name)));
    return at;
  }

  create(parent: DirInode, name: string, mode = 0o644): DirInode {
    return ok(this.fs.mknod(parent, bytesOfText(name), S_IFREG | mode, 0, this.caller));
  }

  mkdir(parent: DirInode, name: string, mode = 0o755): DirInode {
    return ok(this.fs.mkdir(parent, bytesOfText(name), mode, this.caller));
  }

  open(inode: DirInode, flags = O_RDWR): DirInode {
    check(this.fs.open(inode, flags));
    return inode;
  }

  attr(inode: DirInode): Attr {
    check(this.fs.getattr(inode, this.#attr));
    return this.#attr;
  }

  setattr(inode: DirInode, fields: Partial<AttrChange>): Errno {
    return this.fs.setattr(inode, Object.assign(new AttrChange(), fields), this.caller);
  }

  /** Writes from addresses of the shared memory, cut into pieces of `piece` bytes that do not touch. */
  write(inode: DirInode, pos: number, data: string | Uint8Array, piece = 1 << 20, killSuidgid = false): number {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
    const from = this.segments(bytes.length, piece);
    for (let i = 0, done = 0; i < from.count; done += from.length(i++)) {
      this.pages.pageCache.bytes.set(bytes.subarray(done, done + from.length(i)), from.at(i));
    }
    return this.fs.write(inode, pos, from, killSuidgid);
  }

  read(inode: DirInode, pos = 0, size = 65536): string {
    const into = this.segments(size, 1 << 20);
    const count = this.fs.read(inode, pos, size, into);
    if (count < 0) throw new Error(errnoName(-count));
    return Buffer.from(this.pages.pageCache.bytes.slice(into.at(0), into.at(0) + count)).toString('latin1');
  }

  segments(size: number, piece: number): SegmentList {
    const list = new SegmentList();
    let at = this.pages.room;
    for (let done = 0; done < size; done += piece) {
      list.push(at, Math.min(piece, size - done));
      at += piece + 16;
    }
    return list;
  }

  /** What a guest's store through a DAX window does: the page becomes resident and dirty, the host hears nothing. */
  store(inode: DirInode, pos: number, text: string): void {
    const space = inode.space!;
    const leaf = space.pages.leafFor(Math.floor(pos / RANGE_SIZE))!;
    const page = Math.floor((pos % RANGE_SIZE) / PAGE_SIZE);
    this.pages.pageCache.bytes.set(Buffer.from(text, 'latin1'), this.pages.room);
    for (let tries = 0; tries < 3; tries++) {
      leaf.mayBeDirty = true;
      const put = this.pages.wasm.leafWrite(leaf.at, pos % RANGE_SIZE, this.pages.room, text.length, 1);
      if (put === text.length) return;
      check(space.pages.fault(leaf, page, 1, true));
    }
    throw new Error('the page does not stay');
  }

  list(directory: DirInode, chunk = Number.POSITIVE_INFINITY): Listed[] {
    const stream = this.fs.opendir(directory);
    if (typeof stream === 'number') throw new Error(errnoName(stream));
    const all: Listed[] = [];
    for (let before = -1; before < all.length; ) {
      before = all.length;
      let room = chunk;
      const add = (name: ByteString, ino: number, type: number, cookie: number): boolean => {
        if (room-- <= 0) return false;
        all.push({ name: textOfBytes(name), ino, type, cookie });
        return true;
      };
      check(stream.read(all.at(-1)?.cookie ?? 0, { knowsIno: false, add }));
    }
    stream.close();
    return all;
  }

  names(directory: DirInode): string[] {
    return this.list(directory)
      .map((entry) => entry.name)
      .filter((name) => name !== '.' && name !== '..')
      .sort();
  }
}

/** Boots a world that is torn down when the running test ends; its invariants are checked and nothing may stay open. */
export function bootDir(options: WorldOptions = {}): DirWorld {
  const world = new DirWorld(options);
  onTestFinished(() => {
    world.fs.checkInvariants();
    world.fs.destroy();
    world.pages.pageCache.checkInvariants();
    const left = openBelow(world.dir);
    rmSync(world.dir, { recursive: true, force: true });
    if (left > 0) throw new Error(`${left} descriptors were left open`);
  });
  return world;
}

/** How many descriptors of this process are of objects in `dir`. Linux only, else 0. */
export function openBelow(dir: string): number {
  if (process.platform !== 'linux') return 0;
  return readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith(dir)).length;
}

/** Other threads of this process open and close descriptors meanwhile. */
function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

export function name(text: string): ByteString {
  return bytesOfText(text);
}

export function ok<T>(result: T | Errno): T {
  if (typeof result === 'number') throw new Error(errnoName(result));
  return result;
}

export function check(errno: Errno): void {
  if (errno !== OK) throw new Error(errnoName(errno));
}

/** The errno's name of a result that should have failed. */
export function errnoOfResult(result: unknown): string {
  return typeof result === 'number' ? errnoName(result < 0 ? -result : result) : 'no error';
}
