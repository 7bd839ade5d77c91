/**
 * Path walk, one component at a time, on bytes. `resolve` follows a path to its inode; `resolveParent` stops before the
 * last component and says what kind it is.
 *
 * SPEC: path_resolution(7); limits and corner cases as in Linux (fs/namei.c).
 */
import { type ByteString, bytesOfText, getBytes } from '../base/bytes.ts';
import { EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, type Errno, ESTALE, EXDEV, OK } from '../wire/errno.ts';
import type { DentryCache } from './dentry-cache.ts';
import type { Inode } from './inode.ts';
import type { InodeCache } from './inode-cache.ts';
import { MAY_EXEC, permission } from './permission.ts';
import type { NameRequests } from './request-names.ts';
import type { Session } from './session.ts';

/** With its NUL, a path has at most 4096 bytes. */
const PATH_MAX = 4096;
const MAX_LINKS = 40;
const SLASH = 0x2f;
const DOT = '.' as ByteString;
const DOT_DOT = '..' as ByteString;
const ROOT = '/' as ByteString;

/** What the last component is. */
export type LastKind = 'name' | 'dot' | 'dotdot' | 'root';

export class Namei {
  /** After `resolve`: the inode. After `resolveCreate`: the inode, or undefined if there is none yet. */
  inode: Inode;
  target: Inode | undefined;
  /** After `resolveParent`: the directory, the last component, and whether slashes followed it. */
  parent: Inode;
  name = '' as ByteString;
  last: LastKind = 'root';
  hasTrailingSlash = false;
  /** Where absolute paths start; ".." does not lead out of it. */
  root: Inode;
  /**
   * No path leaves the directory that it starts from, be it by "..", as an absolute path or through a symlink: EXDEV,
   * and `hasLeft`. SPEC: openat2(2), RESOLVE_BENEATH.
   */
  isBeneath = false;
  hasLeft = false;
  /**
   * With `isBeneath`: the directories on the way from the start to where the walk is. ".." goes back along them, so it
   * cannot lead out whoever moves a directory meanwhile.
   */
  readonly #trail: Inode[] = [];
  readonly #session: Session;
  readonly #names: NameRequests;
  readonly #inodes: InodeCache;
  readonly #dentries: DentryCache;
  #links = 0;
  #mustAsk = false;

  constructor(session: Session, names: NameRequests, inodes: InodeCache, dentries: DentryCache) {
    this.#session = session;
    this.#names = names;
    this.#inodes = inodes;
    this.#dentries = dentries;
    this.root = inodes.root;
    this.inode = inodes.root;
    this.parent = inodes.root;
  }

  /** Follows `path` from `base`; a symlink at the end only if `follow`, or if slashes follow it. */
  resolve(base: Inode, path: ByteString, follow: boolean): Errno {
    const errno = this.#start(base, path) ?? this.#resolve(base, path, follow);
    if (errno !== ESTALE) return errno;
    this.#startAgain(base);
    return this.#resolve(base, path, follow);
  }

  /** Follows `path` up to its last component. */
  resolveParent(base: Inode, path: ByteString): Errno {
    const errno = this.#start(base, path) ?? this.#walk(base, path);
    if (errno !== ESTALE) return errno;
    this.#startAgain(base);
    return this.#walk(base, path);
  }

  /** As `resolveParent`, then looks the last name up and follows symlinks there: open(O_CREAT). See `target`. */
  resolveCreate(base: Inode, path: ByteString, follow: boolean): Errno {
    const errno = this.#start(base, path) ?? this.#create(base, path, follow);
    if (errno !== ESTALE) return errno;
    this.#startAgain(base);
    return this.#create(base, path, follow);
  }

  /** Returns the target of a symlink; `target` = undefined and the errno otherwise. */
  readlink(inode: Inode): ByteString | Errno {
    if (!inode.isSymlink) return EINVAL;
    if (inode.target !== undefined) return inode.target;
    const errno = this.#names.readlink(inode.nodeid);
    if (errno !== OK) return errno;
    const { view, data, received } = this.#session.channel;
    const target = getBytes(view, data, received);
    this.#inodes.wasRead(inode);
    if (this.#session.has('FUSE_CACHE_SYMLINKS')) inode.target = target;
    return target;
  }

  #start(base: Inode, path: ByteString): Errno | undefined {
    this.#links = 0;
    this.#mustAsk = false;
    this.hasLeft = false;
    if (this.isBeneath) this.#trail.splice(0, this.#trail.length, base);
    this.#dentries.sweep();
    if (path.length === 0) return ENOENT;
    if (path.length >= PATH_MAX) return ENAMETOOLONG;
    return path.includes('\0') ? EINVAL : undefined;
  }

  /** SPEC: Linux walks once more with LOOKUP_REVAL when something turned out to be stale. */
  #startAgain(base: Inode): void {
    this.#links = 0;
    this.#mustAsk = true;
    if (this.isBeneath) this.#trail.splice(0, this.#trail.length, base);
  }

  #resolve(base: Inode, path: ByteString, follow: boolean): Errno {
    for (let at = base, rest = path; ; ) {
      const errno = this.#walk(at, rest);
      if (errno !== OK) return errno;
      const failed = this.#last();
      if (failed !== OK) return failed;
      if (!this.inode.isSymlink || !(follow || this.hasTrailingSlash)) {
        return this.hasTrailingSlash && !this.inode.isDirectory ? ENOTDIR : OK;
      }
      const target = this.#follow(this.inode);
      if (typeof target !== 'string') return target;
      rest = (this.hasTrailingSlash ? `${target}/` : target) as ByteString;
      at = this.parent;
    }
  }

  #create(base: Inode, path: ByteString, follow: boolean): Errno {
    for (let at = base, rest = path; ; ) {
      const errno = this.#walk(at, rest);
      if (errno !== OK) return errno;
      this.target = undefined;
      const failed = this.#last();
      if (failed === ENOENT && this.last === 'name') return OK;
      if (failed !== OK) return failed;
      this.target = this.inode;
      if (!this.inode.isSymlink || !follow) return OK;
      const target = this.#follow(this.inode);
      if (typeof target !== 'string') return target;
      rest = (this.hasTrailingSlash ? `${target}/` : target) as ByteString;
      at = this.parent;
    }
  }

  /** Turns parent and last component into an inode. */
  #last(): Errno {
    if (this.last === 'name') {
      const errno = this.#step(this.parent, this.name);
      return errno;
    }
    return this.#step(this.parent, this.last === 'dotdot' ? DOT_DOT : DOT);
  }

  /** Walks to the directory that holds the last component; sets parent, name, last and hasTrailingSlash. */
  #walk(base: Inode, path: ByteString): Errno {
    const isAbsolute = path.charCodeAt(0) === SLASH;
    if (isAbsolute && this.isBeneath) return this.#leave();
    let directory = isAbsolute ? this.root : base;
    let rest = path;
    let at = skipSlashes(rest, 0);
    this.last = 'root';
    this.name = '' as ByteString;
    this.hasTrailingSlash = false;
    while (at < rest.length) {
      if (!directory.isDirectory) return ENOTDIR;
      const allowed = this.#maySearch(directory);
      if (allowed !== OK) return allowed;
      const end = endOfName(rest, at);
      const next = skipSlashes(rest, end);
      const name = rest.slice(at, end) as ByteString;
      if (next === rest.length) return this.#stopAt(directory, name, next > end);
      const errno = this.#step(directory, name);
      if (errno !== OK) return errno;
      at = next;
      if (!this.inode.isSymlink) {
        if (this.isBeneath && name !== DOT && name !== DOT_DOT) this.#trail.push(this.inode);
        directory = this.inode;
        continue;
      }
      const target = this.#follow(this.inode);
      if (typeof target !== 'string') return target;
      if (target.charCodeAt(0) === SLASH) {
        if (this.isBeneath) return this.#leave();
        directory = this.root;
      }
      rest = `${target}/${rest.slice(next)}` as ByteString;
      at = skipSlashes(rest, 0);
    }
    this.parent = directory;
    return OK;
  }

  #stopAt(directory: Inode, name: ByteString, hasTrailingSlash: boolean): Errno {
    this.parent = directory;
    this.name = name;
    this.hasTrailingSlash = hasTrailingSlash;
    this.last = name === DOT ? 'dot' : name === DOT_DOT ? 'dotdot' : 'name';
    return OK;
  }

  /** One component: sets `inode`. */
  #step(directory: Inode, name: ByteString): Errno {
    if (name === DOT) {
      this.inode = directory;
      return OK;
    }
    if (name === DOT_DOT) return this.#up(directory);
    const errno = this.#dentries.lookup(directory, name, this.#mustAsk);
    if (errno === OK) this.inode = this.#dentries.found as Inode;
    return errno;
  }

  #up(directory: Inode): Errno {
    if (!this.isBeneath) {
      this.inode = directory === this.root ? directory : (directory.parent ?? directory);
      return OK;
    }
    this.#trail.pop();
    const above = this.#trail.at(-1);
    if (above === undefined) return this.#leave();
    this.inode = above;
    return above.state === 'forgotten' ? ESTALE : OK;
  }

  #leave(): Errno {
    this.hasLeft = true;
    return EXDEV;
  }

  #maySearch(directory: Inode): Errno {
    const { credentials } = this.#session;
    if (credentials.uid === 0) return OK;
    const errno = this.#inodes.refresh(directory);
    return errno === OK ? permission(directory, MAY_EXEC, credentials) : errno;
  }

  #follow(link: Inode): ByteString | Errno {
    if (++this.#links > MAX_LINKS) return ELOOP;
    const target = this.readlink(link);
    if (typeof target !== 'string') return target;
    return target.length === 0 ? ENOENT : target;
  }
}

/** Returns the absolute path of a cached directory as seen from `root`; undefined when it is not below. */
export function pathOf(directory: Inode, root: Inode): ByteString | undefined {
  let path = '';
  for (let i = directory; i !== root; i = i.parent) {
    if (i.parent === undefined) return undefined;
    path = `/${i.name}${path}`;
  }
  return (path === '' ? '/' : path) as ByteString;
}

/** Turns what a program passed as a path into bytes. */
/** realpath(3): the absolute path of what `path` comes to in the end. */
export function realPath(namei: Namei, base: Inode, path: ByteString): ByteString | Errno {
  const errno = namei.resolve(base, path, true);
  if (errno !== OK) return errno;
  if (namei.inode.isDirectory) return pathOf(namei.inode, namei.root) ?? ROOT;
  const parent = pathOf(namei.parent, namei.root) ?? ROOT;
  return `${parent === ROOT ? '' : parent}/${namei.name}` as ByteString;
}

export function pathBytes(path: string | Uint8Array): ByteString {
  if (typeof path === 'string') return bytesOfText(path);
  let text = '';
  for (const byte of path) text += String.fromCharCode(byte);
  return text as ByteString;
}

function skipSlashes(path: string, at: number): number {
  let i = at;
  while (i < path.length && path.charCodeAt(i) === SLASH) i++;
  return i;
}

function endOfName(path: string, at: number): number {
  const end = path.indexOf('/', at);
  return end < 0 ? path.length : end;
}
