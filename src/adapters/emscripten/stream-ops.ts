/** What Emscripten's FS asks of an open file. Each stream has its own descriptor: locks need it. */
import { AT_FDCWD, type Process } from '../../guest/process.ts';
import { EINVAL, ENODEV, ENOMEM } from '../../wire/errno.ts';
import { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_TRUNC, SEEK_CUR, SEEK_END } from '../../wire/mode.ts';
import { codeOf } from './errno.ts';
import type { FsAttributes, FsBuffer, FsStat, FsStream } from './module.ts';
import { type Mounted, placeOf } from './mounted.ts';

const MAP_PRIVATE = 2;
const PROT_WRITE = 2;
const POLLIN = 1;
const POLLOUT = 4;
/** FS has made the file, emptied it, and refused it if it was there: what is left is to open it. */
const DONE_ALREADY = O_CREAT | O_EXCL | O_TRUNC;

/** FS takes functions out of this object before it calls them: they are closures, not methods. */
export class StreamOps {
  readonly #mounted: Mounted;
  readonly #program: Process;
  readonly #bytesOf = byteViews();

  constructor(mounted: Mounted) {
    this.#mounted = mounted;
    this.#program = mounted.program;
  }

  readonly getattr = (stream: FsStream): FsStat => {
    return this.#mounted.stat(this.#program.fstat(this.#mounted.fd(stream)));
  };

  readonly setattr = (stream: FsStream, attr: FsAttributes): void => {
    this.#mounted.setattr(this.#mounted.fd(stream), attr);
  };

  readonly open = (stream: FsStream): void => {
    const { node } = stream;
    const flags = this.#mounted.isDirectory(node) ? O_RDONLY | O_DIRECTORY : stream.flags & ~DONE_ALREADY;
    const fd = this.#program.openat(AT_FDCWD, this.#mounted.path(node), flags);
    if (fd < 0) {
      // FS has entered the stream already, and would leave it there.
      this.#mounted.module.FS.closeStream(stream.fd);
      this.#mounted.fail(fd);
    }
    const parent = node.parent === node ? null : node.parent;
    stream.node = this.#mounted.newNode(parent, node.name, placeOf(node).path, node.mode);
    stream.node.mount = node.mount;
    placeOf(stream.node).fds.push(fd);
    stream.virtioFd = fd;
  };

  readonly close = (stream: FsStream): void => {
    const fd = this.#mounted.fd(stream);
    const { fds } = placeOf(stream.node);
    const at = fds.indexOf(fd);
    if (at >= 0) fds.splice(at, 1);
    try {
      this.#exchange(stream);
    } finally {
      this.#mounted.check(this.#program.close(fd));
    }
  };

  /** Called with the copy, which has taken over everything from the stream that it is a copy of. */
  readonly dup = (stream: FsStream): void => {
    const fd = this.#mounted.check(this.#program.dup(this.#mounted.fd(stream)));
    placeOf(stream.node).fds.push(fd);
    stream.virtioFd = fd;
  };

  readonly read = (stream: FsStream, buffer: FsBuffer, offset: number, length: number, position: number): number => {
    this.#exchange(stream);
    return this.#mounted.check(
      this.#program.pread(this.#mounted.fd(stream), this.#bytesOf(buffer), offset, length, position),
    );
  };

  readonly write = (stream: FsStream, buffer: FsBuffer, offset: number, length: number, position: number): number => {
    const fd = this.#mounted.fd(stream);
    const bytes = this.#bytesOf(buffer);
    // What was stored before goes before this.
    this.#exchange(stream);
    const isAppend = (stream.flags & O_APPEND) !== 0;
    const n = this.#mounted.check(
      isAppend
        ? this.#program.write(fd, bytes, offset, length)
        : this.#program.pwrite(fd, bytes, offset, length, position),
    );
    // The end was elsewhere if others appended, too. FS adds the count to the position.
    if (isAppend) stream.position = this.#mounted.check(this.#program.lseek(fd, 0, SEEK_CUR)) - n;
    this.#exchange(stream);
    return n;
  };

  readonly llseek = (stream: FsStream, offset: number, whence: number): number => {
    let position = offset;
    if (whence === SEEK_CUR) position += stream.position;
    if (whence === SEEK_END) position += this.#mounted.stat(this.#program.fstat(this.#mounted.fd(stream))).size;
    return position < 0 ? this.#mounted.fail(EINVAL) : position;
  };

  readonly allocate = (stream: FsStream, offset: number, length: number): void => {
    this.#mounted.check(this.#program.fallocate(this.#mounted.fd(stream), 0, offset, length));
  };

  readonly mmap = (stream: FsStream, length: number, position: number, prot: number, flags: number) => {
    const file = this.#program.file(this.#mounted.fd(stream));
    if (file === undefined || !file.inode.isRegular) return this.#mounted.fail(ENODEV);
    this.#exchange(stream);
    const isWritable = (prot & PROT_WRITE) !== 0;
    const isShared = (flags & MAP_PRIVATE) === 0;
    const ptr = this.#mounted.mappings.map({
      program: this.#program,
      file,
      size: length,
      pos: position,
      isShared,
      isWritable,
    });
    return { ptr: ptr === 0 ? this.#mounted.fail(ENOMEM) : this.#mounted.check(ptr), allocated: true };
  };

  /** Without `Syscalls`: `buffer` is a copy of the mapping, which goes into the file as far as the file reaches. */
  readonly msync = (stream: FsStream, buffer: FsBuffer, offset: number, length: number, flags: number): number => {
    if ((flags & MAP_PRIVATE) !== 0) return 0;
    const fd = this.#mounted.fd(stream);
    const rest = this.#mounted.stat(this.#program.fstat(fd)).size - offset;
    if (rest > 0)
      this.#mounted.check(this.#program.pwrite(fd, this.#bytesOf(buffer), 0, Math.min(length, rest), offset));
    return 0;
  };

  /** Returns an error number, as fd_sync does. */
  readonly fsync = (stream: FsStream): number => {
    this.#exchange(stream);
    return codeOf(this.#program.fsync(this.#mounted.fd(stream)));
  };

  readonly poll = (): number => {
    return POLLIN | POLLOUT;
  };

  /** What the program stored in mappings of this file, into the file; and what is in the file, into its mappings. */
  #exchange(stream: FsStream): void {
    const { mappings } = this.#mounted;
    const inode = this.#program.file(this.#mounted.fd(stream))?.inode;
    if (inode !== undefined) this.#mounted.check(mappings.exchange(this.#program, inode));
  }
}

/** Sees HEAP8 as bytes, without making a new view each time: there is a new HEAP8 only after the memory has grown. */
function byteViews(): (buffer: FsBuffer) => Uint8Array {
  let last: FsBuffer = new Uint8Array();
  let view = new Uint8Array();
  return (buffer) => {
    if (buffer instanceof Uint8Array) return buffer;
    if (buffer !== last) {
      last = buffer;
      view = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength) as Uint8Array<ArrayBuffer>;
    }
    return view;
  };
}
