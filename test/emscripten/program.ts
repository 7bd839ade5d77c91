/** Emscripten's part, played in a few lines: FS as far as it calls a file system type, and an import table. */
import type {
  EmscriptenFs,
  EmscriptenModule,
  FsBuffer,
  FsNode,
  FsStat,
  FsStream,
} from '../../src/adapters/emscripten/module.ts';
import { createVirtiofs, Syscalls, type VirtiofsType } from '../../src/emscripten.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { O_CREAT, O_EXCL } from '../../src/wire/mode.ts';

interface NodeOps {
  lookup(parent: FsNode, name: string): FsNode;
  mknod(parent: FsNode, name: string, mode: number, rdev: number): FsNode;
  getattr(node: FsNode): FsStat;
  readdir(node: FsNode): string[];
  rename(node: FsNode, parent: FsNode, name: string): void;
  rmdir(parent: FsNode, name: string): void;
}

interface StreamOps {
  open(stream: FsStream): void;
  close(stream: FsStream): void;
  read(stream: FsStream, buffer: FsBuffer, offset: number, length: number, position: number): number;
  write(stream: FsStream, buffer: FsBuffer, offset: number, length: number, position: number): number;
  mmap(stream: FsStream, length: number, position: number, prot: number, flags: number): { ptr: number };
  msync(stream: FsStream, buffer: FsBuffer, offset: number, length: number, flags: number): number;
}

class ErrnoError extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

let nextId = 1;

class Node implements FsNode {
  readonly id = nextId++;
  name: string;
  readonly mode: number;
  readonly parent: FsNode;
  mount: unknown;
  node_ops: object = {};
  stream_ops: object = {};

  constructor(parent: FsNode | null, name: string, mode: number) {
    this.parent = parent ?? this;
    this.mount = this.parent.mount;
    this.name = name;
    this.mode = mode;
  }
}

export type Imports = { readonly env: Record<string, (...args: number[]) => number> };

export class Program implements EmscriptenModule {
  readonly HEAPU8 = new Uint8Array(256 * 1024);
  readonly FS: EmscriptenFs;
  readonly streams: (FsStream | undefined)[] = [];
  readonly root: FsNode;
  readonly imports: Imports;
  /** Called between looking and creating. */
  onCreate: () => void = () => {};
  #brk = 64 * 1024;

  constructor(guest: Guest, isPatched = true) {
    this.FS = {
      ErrnoError,
      FSNode: Node,
      open: (path, flags) => this.#open(path as string, flags as number),
      getStream: (fd) => this.streams[fd],
      closeStream: (fd) => {
        this.streams[fd] = undefined;
      },
      hashRemoveNode: () => {},
    };
    // What a program has if nobody intervenes: a lock is always granted.
    const original = Object.assign(() => 0, { sig: 'iiip' });
    const names = ['__syscall_fcntl64', '__syscall_fdatasync', '_munmap_js', '_msync_js'];
    this.imports = { env: Object.fromEntries(names.map((name) => [name, original])) };
    const syscalls = isPatched ? new Syscalls() : undefined;
    syscalls?.patch(this.imports);
    const type: VirtiofsType = createVirtiofs(this, syscalls);
    this.root = type.mount({ opts: { guest } });
  }

  readonly mmapAlloc = (size: number): number => {
    const at = this.#brk;
    this.#brk += Math.ceil(size / 65536) * 65536;
    return at;
  };

  node(path: string): FsNode {
    const names = path.split('/').filter((name) => name !== '');
    return names.reduce((node, name) => this.ops(node).lookup(node, name), this.root);
  }

  ops(node: FsNode): NodeOps {
    return node.node_ops as NodeOps;
  }

  streamOps(stream: FsStream): StreamOps {
    return stream.node.stream_ops as StreamOps;
  }

  close(stream: FsStream): void {
    this.streamOps(stream).close(stream);
    this.FS.closeStream(stream.fd);
  }

  write(stream: FsStream, text: string, position: number): void {
    this.streamOps(stream).write(stream, new TextEncoder().encode(text), 0, text.length, position);
  }

  read(stream: FsStream): string {
    const buffer = new Uint8Array(100);
    return new TextDecoder().decode(buffer.subarray(0, this.streamOps(stream).read(stream, buffer, 0, 100, 0)));
  }

  /** A call of the wasm module. */
  call(name: string, ...args: number[]): number {
    return (this.imports.env[name] as (...args: number[]) => number)(...args);
  }

  /** fcntl with a struct flock: what it returned, and the struct afterwards. */
  lock(fd: number, command: number, type: number, start = 0, length = 0): number[] {
    const view = new DataView(this.HEAPU8.buffer);
    view.setUint32(0, 64, true);
    view.setInt16(64, type, true);
    view.setInt16(66, 0, true);
    view.setBigInt64(72, BigInt(start), true);
    view.setBigInt64(80, BigInt(length), true);
    const outcome = this.call('__syscall_fcntl64', fd, command, 0);
    return [outcome, view.getInt16(64, true), Number(view.getBigInt64(72, true)), Number(view.getBigInt64(80, true))];
  }

  #open(path: string, flags: number): FsStream {
    const node = this.#find(path, flags);
    const fd = this.streams.indexOf(undefined);
    const stream: FsStream = { node, fd: fd < 0 ? this.streams.length : fd, flags: flags & ~O_EXCL, position: 0 };
    this.streams[stream.fd] = stream;
    this.streamOps(stream).open(stream);
    return stream;
  }

  #find(path: string, flags: number): FsNode {
    try {
      const node = this.node(path);
      if ((flags & O_CREAT) !== 0 && (flags & O_EXCL) !== 0) throw new ErrnoError(20);
      return node;
    } catch (error) {
      if ((error as ErrnoError).errno !== 44 || (flags & O_CREAT) === 0) throw error;
    }
    this.onCreate();
    const at = path.lastIndexOf('/');
    const parent = this.node(path.slice(0, at));
    return this.ops(parent).mknod(parent, path.slice(at + 1), 0o100644, 0);
  }
}
