/** What this adapter uses of an Emscripten program: its Module, and the `FS` in it, as Emscripten 4 and 5 have them. */

/** Exported with -sEXPORTED_RUNTIME_METHODS=FS,HEAPU8,mmapAlloc; Pyodide's `_module` has all of them. */
export interface EmscriptenModule {
  readonly FS: EmscriptenFs;
  /** Another object after the memory has grown. */
  readonly HEAPU8: Uint8Array;
  /** Zeroed memory for a mapping, or 0. Without it mmap fails with ENOMEM. */
  readonly mmapAlloc?: (size: number) => number;
}

export interface EmscriptenFs {
  readonly ErrnoError: new (errno: number) => Error & { readonly errno: number };
  readonly FSNode: new (parent: FsNode | null, name: string, mode: number, rdev: number) => FsNode;
  /** The name as a mode ('w+') or O_* bits. */
  open: (path: string | FsNode, flags: number | string, mode?: number) => FsStream;
  getStream(fd: number): FsStream | null | undefined;
  closeStream(fd: number): void;
  hashRemoveNode(node: FsNode): void;
}

export interface FsNode {
  /** Only a name in FS's own tables: never that of the inode. */
  readonly id: number;
  name: string;
  readonly mode: number;
  readonly parent: FsNode;
  mount: unknown;
  node_ops: object;
  stream_ops: object;
  /** Ours: see `Place`. */
  virtio?: Place;
}

/** Where a node of ours is. */
export interface Place {
  /** From the root of the guest's tree, in bytes. */
  readonly path: string;
  /** Descriptors of the streams that are open on exactly this node; none for one that was only looked up. */
  readonly fds: number[];
}

export interface FsStream {
  node: FsNode;
  /** Emscripten's descriptor. */
  fd: number;
  flags: number;
  position: number;
  /** Ours: the guest's descriptor, and whose it is. */
  virtioFd?: number;
}

/** What FS.setattr passes: milliseconds, or null to leave a time as it is. */
export interface FsAttributes {
  readonly mode?: number;
  readonly size?: number;
  readonly atime?: number | Date | null;
  readonly mtime?: number | Date | null;
  readonly dontFollow?: boolean;
}

/** What FS.getattr returns. */
export interface FsStat {
  readonly dev: number;
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly blksize: number;
  readonly blocks: number;
}

/** HEAP8 for a program's own buffers, a Uint8Array from JavaScript. */
export type FsBuffer = Int8Array | Uint8Array;
