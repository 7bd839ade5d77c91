/** What programs see when something fails: errors as node:fs throws them. */
import { EFAULT, errnoName, errnoText } from '../wire/errno.ts';

export class FsError extends Error {
  override readonly name: string = 'FsError';
  /** `ENOENT` */
  readonly code: string;
  /** Linux's number, negated, as in Node. */
  readonly errno: number;
  readonly syscall: string;
  readonly path?: string;
  readonly dest?: string;

  constructor(errno: number, syscall: string, path?: string, dest?: string) {
    const where = path === undefined ? '' : dest === undefined ? ` '${path}'` : ` '${path}' -> '${dest}'`;
    super(`${errnoName(errno)}: ${errnoText(errno)}, ${syscall}${where}`);
    this.code = errnoName(errno);
    this.errno = -errno;
    this.syscall = syscall;
    if (path !== undefined) this.path = path;
    if (dest !== undefined) this.dest = dest;
  }
}

/** An access to a mapping beyond the end of the file: what a machine reports as SIGBUS, to one program only. */
export class BusError extends Error {
  override readonly name = 'BusError';
  readonly code = 'SIGBUS';
  readonly errno = -EFAULT;
  /** Offset in the mapping. */
  readonly offset: number;
  /** The same place in the file. */
  readonly position: number;

  constructor(offset: number, position: number) {
    super(`SIGBUS: access beyond the end of the file, offset ${offset} of the mapping, position ${position}`);
    this.offset = offset;
    this.position = position;
  }
}

/** Returns a path as it appears in messages. */
export function pathText(path: string | Uint8Array): string {
  return typeof path === 'string' ? path : new TextDecoder().decode(Uint8Array.from(path));
}
