/** What access control lists of a file system change in the server, pure: the umask, and who may keep set-group-ID. */
import type { FileSystem } from './file-system.ts';
import type { Attr, Caller, Inode } from './inode.ts';

/** The permission bits of what is created: where a default list is inherited, the umask does not count. */
export function createMode(fs: FileSystem, parent: Inode, asked: number, umask: number): number {
  return fs.acls?.inheritsDefault(parent) === true ? asked & 0o7777 : asked & 0o7777 & ~umask;
}

/** Set-group-ID is for members of the group. SPEC: Linux, in_group_or_capable. */
export function losesSetgid(attr: Attr, caller: Caller): boolean {
  return caller.uid !== 0 && !caller.isIn(attr.gid);
}
