/** Any file system, but nothing in it may change: for a tree that is shown and not shared. */
import type { ByteString } from '../base/bytes.ts';
import type { AclRules, DirStream, FileSystem, Outcome } from '../host/file-system.ts';
import type { Attr, AttrChange, Caller, Inode, StatFs } from '../host/inode.ts';
import type { SegmentList } from '../virtio/chain.ts';
import { ENOSYS, EROFS, type Errno, OK } from '../wire/errno.ts';
import { O_ACCMODE, O_RDONLY, O_TRUNC } from '../wire/mode.ts';

export class ReadOnlyFileSystem<N extends Inode> implements FileSystem<N> {
  readonly root: N;
  readonly readOnly = true;
  readonly acls: AclRules<N> | undefined;
  readonly #inner: FileSystem<N>;

  constructor(inner: FileSystem<N>) {
    this.#inner = inner;
    this.root = inner.root;
    this.acls = inner.acls;
  }

  lookup(parent: N, name: ByteString): N | Errno {
    return this.#inner.lookup(parent, name);
  }

  forget(inode: N): void {
    this.#inner.forget(inode);
  }

  getattr(inode: N, out: Attr): Errno {
    return this.#inner.getattr(inode, out);
  }

  setattr(_inode: N, _change: AttrChange, _caller: Caller): Errno {
    return EROFS;
  }

  readlink(inode: N): ByteString | Errno {
    return this.#inner.readlink(inode);
  }

  mknod(_parent: N, _name: ByteString, _mode: number, _rdev: number, _caller: Caller): Errno {
    return EROFS;
  }

  mkdir(_parent: N, _name: ByteString, _mode: number, _caller: Caller): Errno {
    return EROFS;
  }

  symlink(_parent: N, _name: ByteString, _target: ByteString, _caller: Caller): Errno {
    return EROFS;
  }

  link(_inode: N, _parent: N, _name: ByteString): Errno {
    return EROFS;
  }

  unlink(_parent: N, _name: ByteString): Errno {
    return EROFS;
  }

  rmdir(_parent: N, _name: ByteString): Errno {
    return EROFS;
  }

  rename(_parent: N, _name: ByteString, _newParent: N, _newName: ByteString, _flags: number): Errno {
    return EROFS;
  }

  open(inode: N, flags: number): Errno {
    const isWriting = (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
    return isWriting ? EROFS : this.#inner.open(inode, flags);
  }

  release(inode: N, flags: number): void {
    this.#inner.release(inode, flags);
  }

  read(inode: N, pos: number, size: number, into: SegmentList, isUnseen?: boolean): Outcome {
    return this.#inner.read(inode, pos, size, into, isUnseen);
  }

  write(_inode: N, _pos: number, _from: SegmentList, _killSuidgid: boolean): Outcome {
    return -EROFS;
  }

  fallocate(_inode: N, _mode: number, _pos: number, _size: number, _caller: Caller): Errno {
    return EROFS;
  }

  seek(inode: N, pos: number, whence: number): Outcome {
    return this.#inner.seek(inode, pos, whence);
  }

  fsync(_inode: N, _dataOnly: boolean): Errno {
    return OK;
  }

  opendir(inode: N): DirStream | Errno {
    return this.#inner.opendir(inode);
  }

  getxattr(inode: N, name: ByteString, caller: Caller): Uint8Array | Errno {
    return this.#inner.getxattr?.(inode, name, caller) ?? ENOSYS;
  }

  listxattr(inode: N, caller: Caller): readonly ByteString[] | Errno {
    return this.#inner.listxattr?.(inode, caller) ?? ENOSYS;
  }

  statfs(out: StatFs): Errno {
    return this.#inner.statfs(out);
  }

  sync(): Errno {
    return OK;
  }

  destroy(): void {
    this.#inner.destroy();
  }
}
