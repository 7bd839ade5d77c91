/** Who is running: the process on whose behalf calls are made. The mount has one current task at a time. */
import type { Credentials } from './credentials.ts';
import type { Inode } from './inode.ts';
import type { ProcessTable } from './process-table.ts';

export class Task {
  credentials: Credentials;
  /** Where absolute paths start, and what ".." does not leave: chroot(2). */
  root: Inode;
  cwd: Inode;
  /** Its paths stay beneath the directory that each starts from: see Namei. */
  isBeneath = false;
  /** As an owner of record locks. Open file descriptions have numbers of their own. */
  lockOwner: number;
  /** Files of which it has locked ranges: closing any descriptor of one releases them. */
  readonly locked = new Set<Inode>();

  /** Other threads may lock and close as well: what they do is not in `locked`. */
  shared: ProcessTable | undefined;

  constructor(credentials: Credentials, root: Inode, cwd: Inode, lockOwner: number) {
    this.credentials = credentials;
    this.root = root;
    this.cwd = cwd;
    this.lockOwner = lockOwner;
  }

  /** It closes a descriptor of the file: tells whether it may have locks there, which go. */
  takeLocks(inode: Inode): boolean {
    const hasOwn = this.locked.delete(inode);
    return this.shared?.hasLocks ?? hasOwn;
  }
}
