/**
 * Calls with paths. Every path starts at a directory descriptor and stays beneath it: the walk itself refuses to leave
 * (see Namei), so there is nothing to check here and nothing to race with.
 */
import type { ByteString } from '../../base/bytes.ts';
import * as m from '../../wire/mode.ts';
import * as a from './abi.ts';
import { openFlagsOf } from './fd-calls.ts';
import { type Program, pathErrno } from './program.ts';
import { putFilestat, timeChanges } from './stat.ts';
import type { FileEntry } from './table.ts';

const { R } = a;
const FILE_MODE = 0o666;
const DIRECTORY_MODE = 0o777;
const READS = R.FD_READ | R.FD_READDIR;
const WRITES = R.FD_DATASYNC | R.FD_WRITE | R.FD_ALLOCATE | R.FD_FILESTAT_SET_SIZE;

export function path_create_directory(program: Program, fd: number, path: number, size: number): number {
  return at(program, fd, R.PATH_CREATE_DIRECTORY, path, size, ({ owner, fd: own }, name) =>
    owner.mkdirat(own, name, DIRECTORY_MODE),
  );
}

export function path_remove_directory(program: Program, fd: number, path: number, size: number): number {
  return at(program, fd, R.PATH_REMOVE_DIRECTORY, path, size, ({ owner, fd: own }, name) =>
    owner.unlinkat(own, name, true),
  );
}

export function path_unlink_file(program: Program, fd: number, path: number, size: number): number {
  return at(program, fd, R.PATH_UNLINK_FILE, path, size, ({ owner, fd: own }, name) =>
    owner.unlinkat(own, name, false),
  );
}

export function path_filestat_get(
  program: Program,
  fd: number,
  flags: number,
  path: number,
  size: number,
  result: number,
): number {
  const { ram } = program;
  return at(program, fd, R.PATH_FILESTAT_GET, path, size, ({ owner, fd: own }, name) => {
    if (!ram.has(result >>> 0, a.FILESTAT_SIZE)) return { errno: a.FAULT };
    const inode = owner.fstatat(own, name, (flags & a.LOOKUP_FOLLOW) !== 0);
    if (typeof inode === 'number') return -inode;
    putFilestat(ram, result >>> 0, inode);
    return 0;
  });
}

export function path_filestat_set_times(
  program: Program,
  fd: number,
  lookup: number,
  path: number,
  size: number,
  atim: bigint,
  mtim: bigint,
  flags: number,
): number {
  return at(program, fd, R.PATH_FILESTAT_SET_TIMES, path, size, ({ owner, fd: own }, name) => {
    const times = timeChanges(atim, mtim, flags);
    if (times === undefined) return { errno: a.INVAL };
    return owner.utimensat(own, name, ...times, (lookup & a.LOOKUP_FOLLOW) !== 0);
  });
}

export function path_readlink(
  program: Program,
  fd: number,
  path: number,
  size: number,
  buf: number,
  room: number,
  result: number,
): number {
  const { ram } = program;
  return at(program, fd, R.PATH_READLINK, path, size, ({ owner, fd: own }, name) => {
    if (!ram.has(buf >>> 0, room >>> 0) || !ram.has(result >>> 0, 4)) return { errno: a.FAULT };
    const target = owner.readlinkat(own, name);
    if (typeof target === 'number') return -target;
    const count = Math.min(target.length, room >>> 0);
    for (let i = 0; i < count; i++) ram.bytes[(buf >>> 0) + i] = target.charCodeAt(i);
    ram.put32(result >>> 0, count);
    return 0;
  });
}

/** The target is stored as it is: only following it is a matter of where it leads. */
export function path_symlink(
  program: Program,
  target: number,
  targetSize: number,
  fd: number,
  path: number,
  size: number,
): number {
  program.ram.look();
  const errno = program.ram.path(target >>> 0, targetSize >>> 0);
  const text = program.ram.text;
  return at(program, fd, R.PATH_SYMLINK, path, size, ({ owner, fd: own }, name) =>
    errno === a.SUCCESS ? owner.symlinkat(text, own, name) : { errno },
  );
}

export function path_link(
  program: Program,
  fd: number,
  lookup: number,
  path: number,
  size: number,
  newFd: number,
  newPath: number,
  newSize: number,
): number {
  const follow = (lookup & a.LOOKUP_FOLLOW) !== 0;
  return between(program, [fd, R.PATH_LINK_SOURCE, path, size], [newFd, R.PATH_LINK_TARGET, newPath, newSize], link);

  function link({ owner, fd: from }: FileEntry, name: ByteString, to: number, newName: ByteString): number {
    return owner.linkat(from, name, to, newName, follow);
  }
}

export function path_rename(
  program: Program,
  fd: number,
  path: number,
  size: number,
  newFd: number,
  newPath: number,
  newSize: number,
): number {
  return between(
    program,
    [fd, R.PATH_RENAME_SOURCE, path, size],
    [newFd, R.PATH_RENAME_TARGET, newPath, newSize],
    ({ owner, fd: from }, name, to, newName) => owner.renameat(from, name, to, newName),
  );
}

export function path_open(
  program: Program,
  fd: number,
  lookup: number,
  path: number,
  size: number,
  oflags: number,
  base: bigint,
  inheriting: bigint,
  fdflags: number,
  result: number,
): number {
  const wanted = Number(BigInt.asUintN(30, base));
  const below = Number(BigInt.asUintN(30, inheriting));
  return at(program, fd, neededRights(oflags), path, size, (directory, name) => {
    if ((oflags & ~a.OFLAGS_ALL) !== 0 || (fdflags & ~a.FDFLAGS_ALL) !== 0) return { errno: a.INVAL };
    if (((wanted | below | syncRights(fdflags)) & ~directory.inheriting) !== 0) return { errno: a.NOTCAPABLE };
    if (!program.ram.has(result >>> 0, 4)) return { errno: a.FAULT };
    const follow = (lookup & a.LOOKUP_FOLLOW) !== 0 ? 0 : m.O_NOFOLLOW;
    const { owner } = directory;
    const opened = owner.openat(directory.fd, name, openFlags(oflags, wanted, fdflags) | follow, FILE_MODE);
    if (opened < 0) return opened;
    const isDirectory = owner.directory(opened) !== undefined;
    const given = program.table.add({
      owner,
      fd: opened,
      isDirectory,
      base: wanted & (isDirectory ? a.RIGHTS_DIRECTORY : a.RIGHTS_FILE),
      inheriting: isDirectory ? below : 0,
      isNonblocking: (fdflags & a.FDFLAGS_NONBLOCK) !== 0,
      preopen: undefined,
      listing: undefined,
    });
    if (given < 0) {
      owner.close(opened);
      return { errno: a.MFILE };
    }
    program.ram.put32(result >>> 0, given);
    return 0;
  });
}

/** An errno of WASI's own where a Linux one is negated. */
interface Refusal {
  readonly errno: number;
}

/** Runs `call` with a directory that has the rights and the path. */
function at(
  program: Program,
  fd: number,
  rights: number,
  path: number,
  size: number,
  call: (directory: FileEntry, name: ByteString) => number | Refusal,
): number {
  const directory = program.directory(fd, rights);
  if (typeof directory === 'number') return directory;
  const { ram } = program;
  const errno = ram.path(path >>> 0, size >>> 0);
  if (errno !== a.SUCCESS) return errno;
  const outcome = call(directory, ram.text);
  return typeof outcome === 'number' ? pathErrno(directory, outcome) : outcome.errno;
}

type Place = readonly [fd: number, rights: number, path: number, size: number];

function between(
  program: Program,
  [fd, rights, path, size]: Place,
  [newFd, newRights, newPath, newSize]: Place,
  call: (directory: FileEntry, name: ByteString, to: number, newName: ByteString) => number,
): number {
  return at(program, fd, rights, path, size, (from, name) => {
    const to = program.directory(newFd, newRights);
    if (typeof to === 'number') return { errno: to };
    const errno = program.ram.path(newPath >>> 0, newSize >>> 0);
    if (errno !== a.SUCCESS) return { errno };
    if (to.owner !== from.owner) return { errno: a.XDEV };
    return call(from, name, to.fd, program.ram.text);
  });
}

function neededRights(oflags: number): number {
  return (
    R.PATH_OPEN |
    ((oflags & a.OFLAGS_CREAT) !== 0 ? R.PATH_CREATE_FILE : 0) |
    ((oflags & a.OFLAGS_TRUNC) !== 0 ? R.PATH_FILESTAT_SET_SIZE : 0)
  );
}

function syncRights(fdflags: number): number {
  return (
    ((fdflags & a.FDFLAGS_DSYNC) !== 0 ? R.FD_DATASYNC : 0) |
    ((fdflags & (a.FDFLAGS_RSYNC | a.FDFLAGS_SYNC)) !== 0 ? R.FD_SYNC : 0)
  );
}

/** Rights say how a file is opened; a directory is opened to be read. */
function openFlags(oflags: number, rights: number, fdflags: number): number {
  const isDirectory = (oflags & a.OFLAGS_DIRECTORY) !== 0;
  const writes = (rights & WRITES) !== 0 && !isDirectory;
  const reads = (rights & READS) !== 0 || !writes;
  return (
    (writes ? (reads ? m.O_RDWR : m.O_WRONLY) : m.O_RDONLY) |
    (isDirectory ? m.O_DIRECTORY : 0) |
    ((oflags & a.OFLAGS_CREAT) !== 0 ? m.O_CREAT : 0) |
    ((oflags & a.OFLAGS_EXCL) !== 0 ? m.O_EXCL : 0) |
    ((oflags & a.OFLAGS_TRUNC) !== 0 ? m.O_TRUNC : 0) |
    openFlagsOf(fdflags)
  );
}
