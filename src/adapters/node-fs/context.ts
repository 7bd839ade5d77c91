/** What all parts of the façade share: the process whose descriptors and directory they use, and the world around. */
import { arrayOfBytes, type ByteString } from '../../base/bytes.ts';
import { AT_FDCWD, type Process } from '../../guest/process.ts';
import { O_CLOEXEC } from '../../wire/mode.ts';
import { Encoding } from './encoding.ts';
import { callError } from './errors.ts';
import { resolve } from './paths.ts';
import type { Platform } from './platform.ts';
import { bytesOfPath, type FsPath } from './validate.ts';

/** As programs expect of a file's descriptor: 0, 1 and 2 are somebody's terminal, and 0 is false. */
const FIRST_FD = 3;

export class Context {
  readonly process: Process;
  readonly platform: Platform;
  readonly encoding: Encoding;

  constructor(process: Process, platform: Platform) {
    this.process = process;
    this.platform = platform;
    this.encoding = new Encoding(platform.Buffer);
  }

  /** Opens; −errno on failure. */
  open(path: FsPath, flags: number, mode: number): number {
    const { process: proc } = this;
    const fd = proc.openat(AT_FDCWD, bytesOfPath(path), flags | O_CLOEXEC, mode);
    if (fd < 0 || fd >= FIRST_FD) return fd;
    const moved = proc.dup(fd, FIRST_FD, true);
    proc.close(fd);
    return moved;
  }

  /** Returns what a system call returned, or throws. */
  check(outcome: number, syscall: string, path?: FsPath, dest?: FsPath): number {
    if (outcome < 0) throw this.error(-outcome, syscall, path, dest);
    return outcome;
  }

  error(errno: number, syscall: string, path?: FsPath, dest?: FsPath): Error {
    return callError(errno, syscall, this.pathText(path), this.pathText(dest));
  }

  pathText<T extends FsPath | undefined>(path: T): string | (T & undefined) {
    return path instanceof Uint8Array ? this.encoding.text(path, 'utf8') : (path as string | (T & undefined));
  }

  /** Names and link targets, in the encoding the caller wants; UTF-8 if none. */
  name(bytes: ByteString, encoding: unknown): string | Uint8Array {
    return this.encoding.decode(arrayOfBytes(bytes), encoding ?? 'utf8');
  }

  /** The absolute path of the last part. */
  resolve(...parts: readonly string[]): string {
    const cwd = this.process.getcwd();
    return resolve(typeof cwd === 'string' ? String(this.name(cwd as ByteString, 'utf8')) : '/', ...parts);
  }

  /** Makes the call now, and settles in a later turn. */
  settle<T>(call: () => T): Promise<T> {
    const { later } = this.platform;
    return new Promise((settled, fail) => {
      try {
        const value = call();
        later(() => settled(value));
      } catch (error) {
        later(() => fail(error));
      }
    });
  }
}
