/**
 * The rules of rename(2), in the order in which Linux applies them.
 * SPEC: POSIX.1-2024 rename(); renameat2(2) for RENAME_NOREPLACE and RENAME_EXCHANGE.
 */
import type { ByteString } from '../base/bytes.ts';
import { EEXIST, EINVAL, EISDIR, EMLINK, ENOENT, ENOTDIR, ENOTEMPTY, type Errno, OK } from '../wire/errno.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../wire/mode.ts';
import { isDirectory, type MemoryDirectory, type MemoryInode } from './memory-inode.ts';

/** Tells whether `moved` may go from `parent` to `newParent`, where its new name stands for `replaced` so far. */
export function checkRename(
  parent: MemoryDirectory,
  moved: MemoryInode,
  newParent: MemoryDirectory,
  replaced: MemoryInode | undefined,
  flags: number,
  linkMax: number,
): Errno {
  if ((flags & RENAME_NOREPLACE) !== 0 && replaced !== undefined) return EEXIST;
  const isExchange = (flags & RENAME_EXCHANGE) !== 0;
  if (isExchange && replaced === undefined) return ENOENT;
  if (isDirectory(moved) && moved.isAncestorOf(newParent)) return EINVAL;
  if (replaced !== undefined && isDirectory(replaced) && replaced.isAncestorOf(parent)) {
    return isExchange ? EINVAL : ENOTEMPTY;
  }
  if (replaced === moved) return OK;
  if (newParent.isDead) return ENOENT;
  if (isExchange) return OK;
  if (replaced !== undefined) return checkReplace(moved, replaced);
  return isDirectory(moved) && parent !== newParent && newParent.nlink >= linkMax ? EMLINK : OK;
}

function checkReplace(moved: MemoryInode, replaced: MemoryInode): Errno {
  if (!isDirectory(replaced)) return isDirectory(moved) ? ENOTDIR : OK;
  if (!isDirectory(moved)) return EISDIR;
  return replaced.entries.count > 0 ? ENOTEMPTY : OK;
}

/** Swaps what two names stand for. */
export function exchange(
  parent: MemoryDirectory,
  name: ByteString,
  newParent: MemoryDirectory,
  newName: ByteString,
): void {
  const one = parent.entries.get(name) as MemoryInode;
  const other = newParent.entries.get(newName) as MemoryInode;
  parent.entries.replace(name, other);
  newParent.entries.replace(newName, one);
  adopt(one, parent, newParent);
  adopt(other, newParent, parent);
}

/** After `inode` moved between directories: a directory's ".." and the link counts that ".." entries make. */
export function adopt(inode: MemoryInode, from: MemoryDirectory, to: MemoryDirectory): void {
  if (from === to || !isDirectory(inode)) return;
  from.nlink--;
  to.nlink++;
  inode.parent = to;
}
