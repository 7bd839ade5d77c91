/**
 * libc through `koffi`, an optional peer dependency: the only file that knows it. It is looked for where this package
 * is installed, and never needed.
 *
 * Only for Linux with 64 bits: there all file offsets and times are 64-bit numbers, and glibc and musl agree on every
 * function used here but renameat2(2), which old versions of musl do not have.
 */
import { Buffer } from 'node:buffer';
import { createRequire } from 'node:module';
import type { ByteString } from '../../base/bytes.ts';
import type { Outcome } from '../../host/file-system.ts';
import { EINTR, EINVAL, type Errno, OK } from '../../wire/errno.ts';
import type { AtCalls } from './at.ts';
import type { Native, NativeTime } from './native.ts';
import { makeNativeAt, type NativeFunction } from './native-at.ts';
import type { Path } from './path.ts';

/** As much of the package as we use. */
interface Koffi {
  load(path: null): { func(name: string, result: string, args: readonly string[]): NativeFunction };
  sizeof(type: string): number;
  errno(): number;
}

/** SPEC: fcntl.h. The same on every architecture. */
const AT_FDCWD = -100;
const AT_SYMLINK_FOLLOW = 0x400;
const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const SIGNATURES = {
  getxattr: ['int64', ['void *', 'void *', 'void *', 'uint64']],
  setxattr: ['int', ['void *', 'void *', 'void *', 'uint64', 'int']],
  listxattr: ['int64', ['void *', 'void *', 'uint64']],
  removexattr: ['int', ['void *', 'void *']],
  mknod: ['int', ['void *', 'uint32', 'uint64']],
  linkat: ['int', ['int', 'void *', 'int', 'void *', 'int']],
  fallocate: ['int', ['int', 'int', 'int64', 'int64']],
  read: ['int64', ['int', 'void *', 'uint64']],
  write: ['int64', ['int', 'void *', 'uint64']],
  lseek: ['int64', ['int', 'int64', 'int']],
  utimensat: ['int', ['int', 'void *', 'void *', 'int']],
} as const;
const RENAME = ['int', ['int', 'void *', 'int', 'void *', 'uint32']] as const;

type Functions = Readonly<Record<keyof typeof SIGNATURES, NativeFunction>>;

/** Returns undefined if it is not installed or not for this system; a line for people if it does not work. */
export function loadKoffi(): Native | string | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    return koffi.sizeof('long') === 8 ? new KoffiCalls(koffi) : undefined;
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    const isMissing = code === 'MODULE_NOT_FOUND' && String(message).startsWith("Cannot find module 'koffi'");
    return isMissing ? undefined : `koffi is installed and does not work: ${String(message).split('\n')[0]}`;
  }
}

class KoffiCalls implements Native {
  readonly at: AtCalls | undefined;
  readonly #koffi: Koffi;
  readonly #libc: Functions;
  readonly #renameat2: NativeFunction | undefined;
  readonly #times = new DataView(new ArrayBuffer(32));
  readonly #timesBytes = new Uint8Array(this.#times.buffer);

  constructor(koffi: Koffi) {
    this.#koffi = koffi;
    // Node's own libc, whichever it is.
    const library = koffi.load(null);
    const entries = Object.entries(SIGNATURES).map(([name, [result, args]]) => [
      name,
      library.func(name, result, args),
    ]);
    this.#libc = Object.fromEntries(entries) as Functions;
    this.#renameat2 = optional(() => library.func('renameat2', ...RENAME));
    this.at = makeNativeAt(
      (name, result, args) => optional(() => library.func(name, result, args)),
      () => koffi.errno(),
    );
  }

  getxattr(object: Path, name: ByteString, into: Uint8Array): Outcome {
    return this.#count(this.#libc.getxattr(cString(object), cString(name), into, into.length));
  }

  setxattr(object: Path, name: ByteString, value: Uint8Array, flags: number): Errno {
    return this.#errno(this.#libc.setxattr(cString(object), cString(name), value, value.length, flags));
  }

  listxattr(object: Path, into: Uint8Array): Outcome {
    return this.#count(this.#libc.listxattr(cString(object), into, into.length));
  }

  removexattr(object: Path, name: ByteString): Errno {
    return this.#errno(this.#libc.removexattr(cString(object), cString(name)));
  }

  /** SPEC: the kernel's encoding of device numbers is the low half of the C library's. */
  mknod(at: Path, mode: number, rdev: number): Errno {
    return this.#errno(this.#libc.mknod(cString(at), mode, rdev));
  }

  rename(from: Path, to: Path, flags: number): Errno {
    if (this.#renameat2 === undefined) return EINVAL;
    return this.#errno(this.#renameat2(AT_FDCWD, cString(from), AT_FDCWD, cString(to), flags));
  }

  link(object: Path, to: Path): Errno {
    return this.#errno(this.#libc.linkat(AT_FDCWD, cString(object), AT_FDCWD, cString(to), AT_SYMLINK_FOLLOW));
  }

  fallocate(fd: number, mode: number, pos: number, size: number): Errno {
    for (;;) {
      const errno = this.#errno(this.#libc.fallocate(fd, mode, pos, size));
      if (errno !== EINTR) return errno;
    }
  }

  seek(fd: number, pos: number, whence: number): Outcome {
    return this.#count(this.#libc.lseek(fd, pos, whence));
  }

  read(fd: number, into: Uint8Array): Outcome {
    return this.#count(this.#libc.read(fd, into, into.length));
  }

  write(fd: number, from: Uint8Array, size: number): Outcome {
    return this.#count(this.#libc.write(fd, from, size));
  }

  utimes(object: Path, atime: NativeTime, mtime: NativeTime): Errno {
    this.#putTime(0, atime);
    this.#putTime(16, mtime);
    return this.#errno(this.#libc.utimensat(AT_FDCWD, cString(object), this.#timesBytes, 0));
  }

  #putTime(at: number, { sec, nsec }: NativeTime): void {
    this.#times.setBigInt64(at, BigInt(sec), IS_LITTLE_ENDIAN);
    this.#times.setBigInt64(at + 8, BigInt(nsec), IS_LITTLE_ENDIAN);
  }

  /** Must follow the call at once: the next one of this thread overwrites errno. */
  #count(result: number): Outcome {
    return result >= 0 ? result : -this.#koffi.errno();
  }

  #errno(result: number): Errno {
    return result >= 0 ? OK : (this.#koffi.errno() as Errno);
  }
}

/** Bytes and a NUL; names and paths have none inside. */
function cString(text: Path): Uint8Array {
  return Buffer.from(typeof text === 'string' ? `${text}\0` : `${text.toString('latin1')}\0`, 'latin1');
}

function optional<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
