/** What Emscripten's FS asks of a node: names and attributes, by path. */
import { type ByteString, bytesOfText, textOfBytes } from '../../base/bytes.ts';
import { AT_FDCWD, type Process } from '../../guest/process.ts';
import { O_DIRECTORY, O_RDONLY, S_IFDIR, S_IFMT } from '../../wire/mode.ts';
import type { FsAttributes, FsNode, FsStat } from './module.ts';
import { type Mounted, placeOf } from './mounted.ts';

/** FS takes functions out of this object before it calls them: they are closures, not methods. */
export class NodeOps {
  readonly #mounted: Mounted;
  readonly #program: Process;
  /** Left in FS's table of names by the last rename. */
  #renamed: FsNode | undefined;

  constructor(mounted: Mounted) {
    this.#mounted = mounted;
    this.#program = mounted.program;
  }

  readonly getattr = (node: FsNode): FsStat => {
    const [fd] = placeOf(node).fds;
    if (fd !== undefined) return this.#mounted.stat(this.#program.fstat(fd));
    return this.#mounted.stat(this.#program.fstatat(AT_FDCWD, this.#mounted.path(node), false));
  };

  readonly setattr = (node: FsNode, attr: FsAttributes): void => {
    const [fd] = placeOf(node).fds;
    this.#mounted.setattr(fd ?? this.#mounted.path(node), attr);
  };

  readonly lookup = (parent: FsNode, name: string): FsNode => {
    return this.#mounted.lookup(parent, name);
  };

  readonly mknod = (parent: FsNode, name: string, mode: number, rdev: number): FsNode => {
    const path = this.#mounted.childPath(parent, name);
    const isDirectory = (mode & S_IFMT) === S_IFDIR;
    this.#mounted.check(
      isDirectory
        ? this.#program.mkdirat(AT_FDCWD, path, mode & 0o7777)
        : this.#program.mknodat(AT_FDCWD, path, mode, rdev),
    );
    return this.#mounted.newNode(parent, name, path, mode);
  };

  readonly rename = (node: FsNode, newParent: FsNode, newName: string): void => {
    this.#mounted.check(
      this.#program.renameat(AT_FDCWD, this.#mounted.path(node), AT_FDCWD, this.#mounted.childPath(newParent, newName)),
    );
    // FS enters the node in its table of names afterwards, where nobody may find it: others change names too.
    if (this.#renamed !== undefined) this.#mounted.module.FS.hashRemoveNode(this.#renamed);
    node.name = '/';
    this.#renamed = node;
  };

  readonly unlink = (parent: FsNode, name: string): void => {
    this.#mounted.check(this.#program.unlinkat(AT_FDCWD, this.#mounted.childPath(parent, name), false));
  };

  readonly rmdir = (parent: FsNode, name: string): void => {
    this.#mounted.check(this.#program.unlinkat(AT_FDCWD, this.#mounted.childPath(parent, name), true));
  };

  readonly readdir = (node: FsNode): string[] => {
    const fd = this.#mounted.check(this.#program.openat(AT_FDCWD, this.#mounted.path(node), O_RDONLY | O_DIRECTORY));
    try {
      return names(this.#mounted, fd);
    } finally {
      this.#program.close(fd);
    }
  };

  readonly symlink = (parent: FsNode, name: string, target: string): FsNode => {
    this.#mounted.check(this.#program.symlinkat(bytesOfText(target), AT_FDCWD, this.#mounted.childPath(parent, name)));
    return this.#mounted.lookup(parent, name);
  };

  readonly readlink = (node: FsNode): string => {
    const target = this.#program.readlinkat(AT_FDCWD, this.#mounted.path(node));
    return typeof target === 'number' ? this.#mounted.fail(target) : textOfBytes(target);
  };

  readonly statfs = () => {
    return { ...this.#mounted.guest.statfs('/') };
  };
}

function names(mounted: Mounted, fd: number): string[] {
  const found = new Set<ByteString>(['.', '..'] as ByteString[]);
  return mounted.program.as(() => {
    const directory = mounted.program.directory(fd);
    while (mounted.check(directory?.next() ?? 0) > 0) if (directory !== undefined) found.add(directory.name);
    return [...found].map(textOfBytes);
  });
}
