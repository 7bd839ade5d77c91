/** Stats, Dirent and StatFs, with the properties and the order of properties of node:fs. */
import type { Inode } from '../../guest/inode.ts';
import type { StatFs as RawStatFs } from '../../guest/stats.ts';
import * as m from '../../wire/mode.ts';

/** One file system, one device: a number that is not 0, which some programs take for "none". */
const DEV = 1;
/** SPEC: statfs(2), linux/magic.h, FUSE_SUPER_MAGIC. */
const FUSE_SUPER_MAGIC = 0x65735546;
const NS_PER_SEC = 1_000_000_000n;
const NS_PER_MS = 1_000_000n;

class StatsBase<T extends number | bigint> {
  declare readonly mode: T;

  isDirectory(): boolean {
    return this.#is(m.S_IFDIR);
  }
  isFile(): boolean {
    return this.#is(m.S_IFREG);
  }
  isBlockDevice(): boolean {
    return this.#is(m.S_IFBLK);
  }
  isCharacterDevice(): boolean {
    return this.#is(m.S_IFCHR);
  }
  isSymbolicLink(): boolean {
    return this.#is(m.S_IFLNK);
  }
  isFIFO(): boolean {
    return this.#is(m.S_IFIFO);
  }
  isSocket(): boolean {
    return this.#is(m.S_IFSOCK);
  }

  #is(type: number): boolean {
    return (Number(this.mode) & m.S_IFMT) === type;
  }
}

const NUMBERS = ['dev', 'mode', 'nlink', 'uid', 'gid', 'rdev', 'blksize', 'ino', 'size', 'blocks'] as const;
const TIMES = ['atime', 'mtime', 'ctime', 'birthtime'] as const;

export class Stats extends StatsBase<number> {
  declare readonly size: number;
  declare readonly mtimeMs: number;

  /** Fields in the order of node:fs, then the four times in milliseconds. */
  constructor(...values: readonly number[]) {
    super();
    const fields: Record<string, number | Date> = {};
    for (const [i, name] of NUMBERS.entries()) fields[name] = values[i] as number;
    for (const [i, name] of TIMES.entries()) fields[`${name}Ms`] = values[NUMBERS.length + i] as number;
    for (const [i, name] of TIMES.entries()) fields[name] = new Date(Math.round(values[NUMBERS.length + i] as number));
    Object.assign(this, fields);
  }
}

export class BigIntStats extends StatsBase<bigint> {
  /** Fields in the order of node:fs, then the four times in nanoseconds. */
  constructor(...values: readonly bigint[]) {
    super();
    const fields: Record<string, bigint | Date> = {};
    const time = (i: number): bigint => values[NUMBERS.length + i] as bigint;
    for (const [i, name] of NUMBERS.entries()) fields[name] = values[i] as bigint;
    for (const [i, name] of TIMES.entries()) fields[`${name}Ms`] = time(i) / NS_PER_MS;
    for (const [i, name] of TIMES.entries()) fields[`${name}Ns`] = time(i);
    for (const [i, name] of TIMES.entries()) fields[name] = new Date(Number(time(i) / NS_PER_MS));
    Object.assign(this, fields);
  }
}

/** FUSE knows no time of birth: as libuv does then, it is that of the last change of status. */
export function statsOf(inode: Inode, isBigint: boolean): Stats | BigIntStats {
  const { mode, nlink, uid, gid, rdev, blksize, ino, size, blocks } = inode;
  const numbers = [DEV, mode, nlink, uid, gid, rdev, blksize, ino, size, blocks];
  const times = [
    [inode.atime, inode.atimensec],
    [inode.mtime, inode.mtimensec],
    [inode.ctime, inode.ctimensec],
    [inode.ctime, inode.ctimensec],
  ] as const;
  if (!isBigint) return new Stats(...numbers, ...times.map(([sec, nsec]) => sec * 1000 + nsec / 1e6));
  const exact = times.map(([sec, nsec]) => BigInt(sec) * NS_PER_SEC + BigInt(nsec));
  return new BigIntStats(...numbers.map(BigInt), ...exact);
}

/** All zero: what watchFile shows of a file that is not there. */
export function noStats(isBigint: boolean): Stats | BigIntStats {
  const zeros = new Array<number>(NUMBERS.length + TIMES.length).fill(0);
  return isBigint ? new BigIntStats(...zeros.map(BigInt)) : new Stats(...zeros);
}

class StatFs {
  constructor(fields: object) {
    Object.assign(this, fields);
  }
}

export function statFsOf(raw: RawStatFs, isBigint: boolean): StatFs {
  const { bsize, blocks, bfree, bavail, files, ffree } = raw;
  const fields = { type: FUSE_SUPER_MAGIC, bsize, blocks, bfree, bavail, files, ffree };
  if (!isBigint) return new StatFs(fields);
  return new StatFs(Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, BigInt(value)])));
}

export class Dirent {
  readonly name: string | Uint8Array;
  readonly parentPath: string | Uint8Array;
  readonly path: string | Uint8Array;
  readonly #type: number;

  /** `type` is a UV_DIRENT_* number. */
  constructor(name: string | Uint8Array, type: number, path: string | Uint8Array) {
    this.name = name;
    this.parentPath = path;
    this.path = path;
    this.#type = type;
  }

  isDirectory(): boolean {
    return this.#type === UV_DIRENT.DIR;
  }
  isFile(): boolean {
    return this.#type === UV_DIRENT.FILE;
  }
  isBlockDevice(): boolean {
    return this.#type === UV_DIRENT.BLOCK;
  }
  isCharacterDevice(): boolean {
    return this.#type === UV_DIRENT.CHAR;
  }
  isSymbolicLink(): boolean {
    return this.#type === UV_DIRENT.LINK;
  }
  isFIFO(): boolean {
    return this.#type === UV_DIRENT.FIFO;
  }
  isSocket(): boolean {
    return this.#type === UV_DIRENT.SOCKET;
  }
}

export const UV_DIRENT = { UNKNOWN: 0, FILE: 1, DIR: 2, LINK: 3, FIFO: 4, SOCKET: 5, CHAR: 6, BLOCK: 7 } as const;

const UV_TYPES: Readonly<Record<number, number>> = {
  [m.DT_REG]: UV_DIRENT.FILE,
  [m.DT_DIR]: UV_DIRENT.DIR,
  [m.DT_LNK]: UV_DIRENT.LINK,
  [m.DT_FIFO]: UV_DIRENT.FIFO,
  [m.DT_SOCK]: UV_DIRENT.SOCKET,
  [m.DT_CHR]: UV_DIRENT.CHAR,
  [m.DT_BLK]: UV_DIRENT.BLOCK,
};

/** The UV_DIRENT_* number of a DT_* one. */
export function uvType(type: number): number {
  return UV_TYPES[type] ?? UV_DIRENT.UNKNOWN;
}
