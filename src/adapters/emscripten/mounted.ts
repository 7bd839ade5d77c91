/** One mount in an Emscripten program: what its nodes and its streams have in common. */
import { type ByteString, bytesOfText } from '../../base/bytes.ts';
import type { TimeChange } from '../../guest/attr-calls.ts';
import type { Guest } from '../../guest/guest.ts';
import type { Inode } from '../../guest/inode.ts';
import { AT_FDCWD, type Process } from '../../guest/process.ts';
import { Stats } from '../../guest/stats.ts';
import { ENOENT, type Errno } from '../../wire/errno.ts';
import { S_IFDIR, S_IFMT } from '../../wire/mode.ts';
import { codeOf } from './errno.ts';
import type { Mappings } from './mappings.ts';
import type { EmscriptenModule, FsAttributes, FsNode, FsStat, FsStream, Place } from './module.ts';

/** st_dev: nobody asks what it means, but it must not be that of Emscripten's own file systems. */
const DEVICE = 0x7666;

export class Mounted {
  readonly guest: Guest;
  readonly program: Process;
  readonly module: EmscriptenModule;
  readonly mappings: Mappings;
  /** Set once, right after both tables are made: nodes carry them. */
  nodeOps: object = {};
  streamOps: object = {};

  constructor(guest: Guest, module: EmscriptenModule, mappings: Mappings) {
    this.guest = guest;
    this.module = module;
    this.mappings = mappings;
    this.program = guest.spawn();
  }

  /** Throws the error that FS turns into an errno. */
  fail(errno: number): never {
    throw new this.module.FS.ErrnoError(codeOf(errno));
  }

  /** Returns what a call returned, or throws what it failed with. */
  check(outcome: number): number {
    return outcome < 0 ? this.fail(outcome) : outcome;
  }

  /**
   * A node for what is at `path`. It is not entered in FS's table of names: so each use of a path asks the guest, which
   * knows what others have done meanwhile.
   */
  newNode(parent: FsNode | null, name: string, path: string, mode: number): FsNode {
    const node = new this.module.FS.FSNode(parent, name, mode, 0);
    node.node_ops = this.nodeOps;
    node.stream_ops = this.streamOps;
    node.virtio = { path, fds: [] };
    return node;
  }

  lookup(parent: FsNode, name: string): FsNode {
    const path = this.childPath(parent, name);
    const inode = this.program.fstatat(AT_FDCWD, path, false);
    if (typeof inode !== 'number') return this.newNode(parent, name, path, inode.mode);
    // A listing looks up each of its names: one that is gone meanwhile is left out for EINVAL, and only for that.
    if (inode === ENOENT && placeOf(parent).fds.length > 0) throw new this.module.FS.ErrnoError(SKIP_NAME);
    return this.fail(inode);
  }

  childPath(parent: FsNode, name: string): ByteString {
    return `${placeOf(parent).path}/${bytesOfText(name)}` as ByteString;
  }

  /** The path of a node, where the root is "/". */
  path(node: FsNode): ByteString {
    const { path } = placeOf(node);
    return (path === '' ? '/' : path) as ByteString;
  }

  /** The guest's descriptor of a stream. */
  fd(stream: FsStream): number {
    return stream.virtioFd ?? -1;
  }

  stat(found: Inode | Errno): FsStat {
    if (typeof found === 'number') return this.fail(found);
    const { ino, mode, nlink, uid, gid, rdev, size, atime, mtime, ctime, blksize, blocks } = new Stats(found);
    return { dev: DEVICE, ino, mode, nlink, uid, gid, rdev, size, atime, mtime, ctime, blksize, blocks };
  }

  /** FS.setattr, by path or by the guest's descriptor. */
  setattr(target: ByteString | number, attr: FsAttributes): void {
    const { program } = this;
    const isFile = typeof target === 'number';
    const { mode, size, atime, mtime, dontFollow } = attr;
    if (mode !== undefined && mode !== null) {
      const bits = mode & 0o7777;
      this.check(isFile ? program.fchmod(target, bits) : program.fchmodat(AT_FDCWD, target, bits, dontFollow !== true));
    }
    if ((atime ?? mtime ?? null) !== null) {
      const [a, m] = [timeOf(atime), timeOf(mtime)];
      this.check(isFile ? program.futimens(target, a, m) : program.utimensat(AT_FDCWD, target, a, m, false));
    }
    if (size !== undefined) this.check(isFile ? program.ftruncate(target, size) : program.truncate(target, size));
  }

  isDirectory(node: FsNode): boolean {
    return (node.mode & S_IFMT) === S_IFDIR;
  }
}

/** EINVAL: what getdents64 passes over. */
const SKIP_NAME = 28;

export function placeOf(node: FsNode): Place {
  return node.virtio as Place;
}

function timeOf(time: number | Date | null | undefined): TimeChange {
  if (time === null || time === undefined) return 'omit';
  const ms = Number(time);
  const sec = Math.floor(ms / 1000);
  // A double has microseconds at best.
  return { sec, nsec: Math.min(999_999, Math.round((ms - sec * 1000) * 1000)) * 1000 };
}
