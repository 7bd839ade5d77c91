/**
 * Objects anchored by where they were last seen, for systems without a descriptor directory. Every component of the
 * path is checked by identity, from the root down, just before each use; a symbolic link or another object in any
 * place is ESTALE.
 *
 * Limits: somebody who changes the tree between the check and the use wins (on Linux nobody can); an object that
 * somebody else moved cannot be found until it is looked up under its new name.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  openSync,
  unlinkSync,
} from 'node:fs';
import { type ByteString, bytesOfText } from '../../base/bytes.ts';
import { EINVAL, EOPNOTSUPP, ESTALE } from '../../wire/errno.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../wire/mode.ts';
import { type Anchor, BIGINT, type FileTime, PROBE } from './anchor.ts';
import { DescriptorSet } from './descriptors.ts';
import { DirError, errnoOf } from './errors.ts';
import type { DirInode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import { type Listing, listByPath } from './listing.ts';
import { type Path, pathOfBytes } from './path.ts';
import { type Stat, statOfNode } from './stat.ts';

/** Windows has no O_NOFOLLOW. */
const O_NOFOLLOW = constants.O_NOFOLLOW ?? 0;
/** A name with one of these would mean something else to Windows: a path, a drive, a stream, a pattern. */
const NOT_ON_WINDOWS = /[\\:*?"<>|]/;

export class PathAnchor implements Anchor {
  /** Windows does not remove what is open, and the descriptor would hide that the file was moved. */
  readonly keepsFilesOpen = false;
  readonly #table: InodeTable;
  readonly #rootPath: ByteString;
  /** Removed directories that somebody still uses. */
  readonly #held: DescriptorSet<DirInode>;
  /** Of the object that `#check` saw last. */
  #stats: Stat;

  /** `rootPath` is absolute and has no symbolic link in it. */
  constructor(table: InodeTable, rootPath: string, rootStats: Stat) {
    this.#table = table;
    this.#rootPath = bytesOfText(rootPath);
    this.#stats = rootStats;
    this.#held = new DescriptorSet<DirInode>(
      Number.POSITIVE_INFINITY,
      () => false,
      (inode) => {
        inode.node = undefined;
      },
      closeSync,
    );
  }

  get count(): number {
    return this.#held.count;
  }

  child(parent: DirInode, name: ByteString): Path {
    if (process.platform === 'win32' && NOT_ON_WINDOWS.test(name)) throw new DirError(EINVAL, `bad name '${name}'`);
    return pathOfBytes(`${this.#check(parent)}/${name}`);
  }

  reach(directory: DirInode): Path {
    return pathOfBytes(this.#check(directory));
  }

  find(parent: DirInode, name: ByteString): Stat | undefined {
    return probe(this.child(parent, name));
  }

  pin(): number {
    return -1;
  }

  create(parent: DirInode, name: ByteString, flags: number, mode: number): number {
    return openSync(this.child(parent, name), flags, mode);
  }

  unlink(parent: DirInode, name: ByteString): void {
    unlinkSync(this.child(parent, name));
  }

  adopt(): void {}

  stat(inode: DirInode): Stat {
    const fd = inode.node?.fd ?? inode.data?.fd;
    if (fd !== undefined) return this.statOf(fd);
    this.#check(inode);
    return this.#stats;
  }

  statOf(fd: number): Stat {
    return statOfNode(fstatSync(fd, BIGINT));
  }

  openNameless(): number {
    throw new DirError(EOPNOTSUPP, 'a file without a name');
  }

  close(fd: number): void {
    closeSync(fd);
  }

  open(inode: DirInode, flags: number): number {
    const fd = openSync(this.reach(inode), flags | O_NOFOLLOW);
    if (this.#table.isSame(inode, this.statOf(fd))) return fd;
    this.close(fd);
    throw new DirError(ESTALE, `'${inode.name}' is another object now`);
  }

  list(directory: DirInode, into: Listing): void {
    listByPath(this.reach(directory), into);
  }

  chmod(inode: DirInode, mode: number): void {
    if (inode.type === S_IFLNK) throw new DirError(EOPNOTSUPP, 'the mode of a symbolic link');
    chmodSync(this.reach(inode), mode);
  }

  chown(inode: DirInode, uid: number, gid: number): void {
    lchownSync(this.reach(inode), uid, gid);
  }

  utimes(inode: DirInode, atime: FileTime, mtime: FileTime): void {
    lutimesSync(this.reach(inode), atime, mtime);
  }

  hold(inode: DirInode): boolean {
    if (inode.type !== S_IFDIR || inode.node !== undefined) return inode.type !== S_IFREG;
    try {
      inode.node = this.#held.add(inode, this.open(inode, constants.O_RDONLY), 0);
    } catch (error) {
      // Not a must: without it the directory is ESTALE once it is removed. Some systems cannot open directories.
      errnoOf(error);
    }
    return true;
  }

  drop(inode: DirInode): void {
    const { node } = inode;
    if (node === undefined) return;
    inode.node = undefined;
    this.#held.close(node);
  }

  trim(): void {}

  destroy(): void {
    this.#held.closeAll();
  }

  /** Returns the path of the inode, after looking at every component of it. */
  #check(inode: DirInode): string {
    const path = this.#pathOf(inode);
    const stats = probe(pathOfBytes(path));
    if (stats === undefined) throw new DirError(ESTALE, `'${inode.name}' is gone`);
    if (!this.#table.isSame(inode, stats)) throw new DirError(ESTALE, `'${inode.name}' is another object now`);
    this.#stats = stats;
    return path;
  }

  #pathOf(inode: DirInode): string {
    if (inode === this.#table.root) return this.#rootPath;
    if (inode.parent === undefined) throw new DirError(ESTALE, `inode ${inode.ino} has no name any more`);
    return `${this.#check(inode.parent)}/${inode.name}`;
  }
}

function probe(path: Path): Stat | undefined {
  const stats = lstatSync(path, PROBE);
  return stats === undefined ? undefined : statOfNode(stats);
}
