/**
 * System calls that Emscripten's JavaScript answers by itself, whatever file system is below: fcntl says 0 to every
 * lock, fdatasync does nothing, munmap does not say that memory is gone. A program's import table is the one place
 * where they can be had, before the program is instantiated; an unmodified build will do.
 *
 * The program's own function is asked for everything that is not on a mount of ours.
 */
import { EINVAL } from '../../wire/errno.ts';
import { O_APPEND, O_NONBLOCK } from '../../wire/mode.ts';
import { codeOf } from './errno.ts';
import { F_FLOCK, LOCK_COMMANDS, lockCall } from './locks.ts';
import type { Mappings } from './mappings.ts';
import type { EmscriptenModule, FsStream } from './module.ts';
import type { Mounted } from './mounted.ts';

/** Numbers in, a number out: what the import table of an Emscripten program holds. */
type Import = ((...args: number[]) => number) & { sig?: string };
type Imports = Record<string, Record<string, unknown>>;

const F_SETFL = 4;
const MAY_SET = O_APPEND | O_NONBLOCK;

/** One for each program. */
export class Syscalls {
  #module: EmscriptenModule | undefined;
  #mappings: Mappings | undefined;
  readonly #mounts = new WeakMap<object, Mounted>();

  /** Puts our functions into the import table: for Module.instantiateWasm, before WebAssembly.instantiate. */
  patch(imports: object): void {
    const env = (imports as Imports)['env'];
    if (env === undefined) return;
    const replace = (name: string, make: (original: Import) => (...args: number[]) => number): void => {
      const original = env[name] as Import | undefined;
      if (typeof original !== 'function') return;
      const ours: Import = make(original);
      // The linker of side modules reads the signature.
      if (original.sig !== undefined) ours.sig = original.sig;
      env[name] = ours;
    };
    replace('__syscall_fcntl64', (original) => (fd = -1, command = 0, at = 0) => {
      return this.#fcntl(fd, command, at) ?? original(fd, command, at);
    });
    replace(
      '__syscall_fdatasync',
      (original) =>
        (fd = -1) =>
          this.#fdatasync(fd) ?? original(fd),
    );
    replace('_munmap_js', (original) => (ptr = 0, ...rest) => {
      return answer(this.#mappings?.unmap(ptr >>> 0)) ?? original(ptr, ...rest);
    });
    replace('_msync_js', (original) => (ptr = 0, ...rest) => {
      return answer(this.#mappings?.sync(ptr >>> 0)) ?? original(ptr, ...rest);
    });
  }

  /**
   * Runs `load`, which starts a program whose imports cannot be had otherwise (loadPyodide), and patches what it
   * instantiates meanwhile. One such call at a time in a thread.
   */
  async during<T>(load: () => Promise<T>): Promise<T> {
    const { instantiate, instantiateStreaming } = WebAssembly;
    const patched = (call: unknown) => (source: unknown, imports?: object) => {
      if (imports !== undefined) this.patch(imports);
      return (call as (source: unknown, imports?: object) => unknown).call(WebAssembly, source, imports);
    };
    Object.assign(WebAssembly, {
      instantiate: patched(instantiate),
      instantiateStreaming: patched(instantiateStreaming),
    });
    try {
      return await load();
    } finally {
      Object.assign(WebAssembly, { instantiate, instantiateStreaming });
    }
  }

  /** Called by `createVirtiofs`: whose calls these are. */
  connect(module: EmscriptenModule, mappings: Mappings): void {
    this.#module = module;
    this.#mappings = mappings;
  }

  /** Called for each mount: streams whose node has these operations are its. */
  add(mounted: Mounted): void {
    this.#mounts.set(mounted.streamOps, mounted);
  }

  #find(fd: number): { mounted: Mounted; stream: FsStream } | undefined {
    const stream = this.#module?.FS.getStream(fd);
    const mounted = stream ? this.#mounts.get(stream.node?.stream_ops ?? this) : undefined;
    return stream && mounted ? { mounted, stream } : undefined;
  }

  #fcntl(fd: number, command: number, at: number): number | undefined {
    const found = this.#find(fd);
    const isLock = LOCK_COMMANDS.has(command);
    // What libc's own flock says of every file.
    if (found === undefined) return command === F_FLOCK && this.#module?.FS.getStream(fd) ? 0 : undefined;
    if (!isLock && command !== F_SETFL) return undefined;
    const { mounted, stream } = found;
    const { HEAPU8 } = mounted.module;
    const argument = new DataView(HEAPU8.buffer, HEAPU8.byteOffset).getUint32(at >>> 0, true);
    if (command === F_SETFL) return answer(this.#setFlags(mounted, stream, argument));
    if (mounted.isDirectory(stream.node)) return -codeOf(EINVAL);
    return answer(lockCall(mounted, stream, command, argument));
  }

  /** Emscripten's own can only add flags. */
  #setFlags(mounted: Mounted, stream: FsStream, flags: number): number {
    stream.flags = (stream.flags & ~MAY_SET) | (flags & MAY_SET);
    return mounted.isDirectory(stream.node) ? 0 : mounted.program.setFlags(mounted.fd(stream), flags);
  }

  #fdatasync(fd: number): number | undefined {
    const found = this.#find(fd);
    if (found === undefined) return undefined;
    const { mounted, stream } = found;
    const inode = mounted.program.file(mounted.fd(stream))?.inode;
    const told = inode === undefined ? 0 : mounted.mappings.exchange(mounted.program, inode);
    const synced = mounted.program.fsync(mounted.fd(stream), true);
    return answer(told < 0 ? told : synced);
  }
}

/** The host's −errno as the program's. */
function answer(outcome: number | undefined): number | undefined {
  return outcome === undefined ? undefined : 0 - codeOf(outcome);
}
