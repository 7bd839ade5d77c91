/** Listing a directory of a memory file system. */
import { bytesOfText } from '../base/bytes.ts';
import type { DirSink } from '../host/file-system.ts';
import { ENOENT, type Errno, OK } from '../wire/errno.ts';
import { S_IFDIR } from '../wire/mode.ts';
import { DOT_COOKIE, DOTDOT_COOKIE } from './memory-entries.ts';
import type { MemoryDirectory } from './memory-inode.ts';

const DOT = bytesOfText('.');
const DOTDOT = bytesOfText('..');

/** Offers the entries after the cookie `offset`, "." and ".." first. */
export function listDirectory(directory: MemoryDirectory, offset: number, sink: DirSink): Errno {
  if (directory.isDead) return ENOENT;
  if (offset < DOT_COOKIE && !sink.add(DOT, directory.ino, S_IFDIR, DOT_COOKIE)) return OK;
  if (offset < DOTDOT_COOKIE && !sink.add(DOTDOT, directory.parent.ino, S_IFDIR, DOTDOT_COOKIE)) return OK;
  directory.entries.listAfter(offset, (entry, inode) => sink.add(entry.name, inode.ino, inode.type, entry.cookie));
  return OK;
}
