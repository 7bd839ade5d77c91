/** Proves that a memory file system's tree, its set of inodes and its accounts say the same. */
import { assert } from '../base/assert.ts';
import { isDirectory, type MemoryDirectory, type MemoryInode } from './memory-inode.ts';
import type { MemoryQuota } from './memory-quota.ts';

/** Throws if an invariant does not hold. */
export function checkTree(root: MemoryDirectory, inodes: ReadonlySet<MemoryInode>, quota: MemoryQuota): void {
  const links = new Map<MemoryInode, number>([[root, 2]]);
  countLinks(root, links);
  let pages = 0;
  for (const inode of inodes) {
    assert(inode.nlink === (links.get(inode) ?? 0), `inode ${inode.ino} has a wrong link count`);
    assert(inode.nlink > 0 || inode.holds > 0, `inode ${inode.ino} has neither name nor holder`);
    pages += inode.space?.residentPages ?? 0;
  }
  for (const inode of links.keys()) assert(inodes.has(inode), `inode ${inode.ino} has a name but was freed`);
  assert(pages === quota.usedPages, 'the pages of all files are not what the quota counts');
  assert(quota.freeInodes === quota.maxInodes - (inodes.size - 1), 'the quota miscounts inodes');
}

function countLinks(directory: MemoryDirectory, links: Map<MemoryInode, number>): void {
  directory.entries.checkInvariants();
  for (const { inode } of directory.entries) {
    assert(inode !== undefined, 'a dead entry has a name');
    links.set(inode, (links.get(inode) ?? 0) + 1);
    if (!isDirectory(inode)) continue;
    assert(inode.parent === directory, `".." of ${inode.ino} is not where its name is`);
    links.set(inode, (links.get(inode) as number) + 1);
    links.set(directory, (links.get(directory) as number) + 1);
    countLinks(inode, links);
  }
}
