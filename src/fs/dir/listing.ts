/** The names in a directory at one moment, with what listing it tells of each. */
import { type Dirent, readdirSync } from 'node:fs';
import type { ByteString } from '../../base/bytes.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from '../../wire/mode.ts';
import type { Path } from './path.ts';

/** No object has it. */
export const UNTOLD_INO = 0;

export class Listing {
  readonly names: ByteString[] = [];
  /** S_IFMT bits; 0 = unknown. */
  readonly types: number[] = [];
  /** The system's inode numbers; UNTOLD_INO if the listing has none. */
  readonly inos: number[] = [];

  clear(): void {
    this.names.length = 0;
    this.types.length = 0;
    this.inos.length = 0;
  }

  add(name: ByteString, type: number, ino: number): void {
    this.names.push(name);
    this.types.push(type);
    this.inos.push(ino);
  }
}

/** As strings with one unit per byte: a buffer for each name would cost more than the system calls. */
export function listByPath(path: Path, into: Listing): void {
  for (const entry of readdirSync(path, { encoding: 'latin1', withFileTypes: true })) {
    into.add(entry.name as ByteString, typeOf(entry), UNTOLD_INO);
  }
}

function typeOf(entry: Dirent): number {
  if (entry.isFile()) return S_IFREG;
  if (entry.isDirectory()) return S_IFDIR;
  if (entry.isSymbolicLink()) return S_IFLNK;
  if (entry.isFIFO()) return S_IFIFO;
  if (entry.isSocket()) return S_IFSOCK;
  if (entry.isCharacterDevice()) return S_IFCHR;
  return entry.isBlockDevice() ? S_IFBLK : 0;
}
