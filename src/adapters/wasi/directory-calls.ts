/** fd_readdir: a directory by cookies, which are the host's own: they hold while others change the directory. */
import type { ByteString } from '../../base/bytes.ts';
import type { OpenDirectory } from '../../guest/directory.ts';
import { typeToMode } from '../../wire/mode.ts';
import * as a from './abi.ts';
import type { Program } from './program.ts';
import type { Ram } from './ram.ts';
import type { FileEntry, Listing } from './table.ts';

/**
 * Fills the buffer with entries from `cookie` on, the last of them cut where the buffer ends: a buffer that is not full
 * is the end of the directory.
 */
export function fd_readdir(p: Program, fd: number, buf: number, size: number, cookie: bigint, result: number): number {
  const entry = p.directory(fd, a.R.FD_READDIR);
  if (typeof entry === 'number') return entry;
  const { ram } = p;
  const [at, end] = [buf >>> 0, (buf >>> 0) + (size >>> 0)];
  if (!ram.has(at, size >>> 0) || !ram.has(result >>> 0, 4)) return a.FAULT;
  const directory = entry.owner.directory(entry.fd);
  if (directory === undefined) return a.NOTDIR;
  seekTo(entry, directory, BigInt.asUintN(64, cookie));
  let pos = at;
  while (pos < end) {
    const found = entry.listing ?? entry.owner.as(() => take(directory));
    entry.listing = undefined;
    if (found === 0) break;
    // What was listed before an error is told first: the next call meets the error again.
    if (typeof found === 'number') return pos > at ? ram.put32(result >>> 0, pos - at) : a.wasiErrno(found);
    const next = pos + a.DIRENT_SIZE + found.name.length;
    putDirent(ram, pos, end, found);
    if (next > end) entry.listing = found;
    pos = Math.min(next, end);
  }
  return ram.put32(result >>> 0, pos - at);
}

function cookieOf({ cookie: [low, high] }: OpenDirectory): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** Goes to where a cookie points, unless the listing is there. */
function seekTo(entry: FileEntry, directory: OpenDirectory, cookie: bigint): void {
  if (entry.listing?.before === cookie) return;
  const isHere = entry.listing === undefined && cookie !== 0n && cookieOf(directory) === cookie;
  entry.listing = undefined;
  if (!isHere) directory.seek(Number(cookie & 0xffff_ffffn), Number(cookie >> 32n));
}

function take(directory: OpenDirectory): Listing | number {
  const before = cookieOf(directory);
  const outcome = directory.next();
  if (outcome <= 0) return outcome;
  const { name, ino, type } = directory;
  return { before, after: cookieOf(directory), name, ino, type };
}

function putDirent(ram: Ram, at: number, end: number, { after, ino, name, type }: Listing): void {
  const head = new DataView(new ArrayBuffer(a.DIRENT_SIZE));
  head.setBigUint64(0, after, true);
  head.setBigUint64(8, BigInt(ino), true);
  head.setUint32(16, name.length, true);
  head.setUint8(20, a.fileType(typeToMode(type)));
  const room = Math.min(end - at, a.DIRENT_SIZE);
  ram.bytes.set(new Uint8Array(head.buffer, 0, room), at);
  putName(ram, at + a.DIRENT_SIZE, end, name);
}

function putName(ram: Ram, at: number, end: number, name: ByteString): void {
  for (let i = 0; i < name.length && at + i < end; i++) ram.bytes[at + i] = name.charCodeAt(i);
}
