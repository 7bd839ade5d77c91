/**
 * Tells clients what others have changed: those that cache names, attributes and pages, and can be told to forget them.
 *
 * A request that changes something goes through `run`. Every *target* (a guest with a notification queue, a mount of a
 * real kernel) that knows the inode or the directory is told, except the one that asked: it knows what it did.
 *
 * A guest has heard as soon as it was told: see guest-target.ts. A kernel has not, so who asked gets its answer when
 * all kernels have heard: the transport holds the finished reply back (`hold`). Requests of kernels are not held back:
 * two would wait for each other, each with the directory locked that the other's notification needs.
 *
 * Stores through a window make no request: they are told of when the guest flushes, syncs or closes, and when a mapping
 * that allowed them goes, whatever takes it away.
 */
import type { ByteString } from '../base/bytes.ts';
import { ENOENT, type Errno, OK } from '../wire/errno.ts';
import { FATTR_FLAGS, WRITE_FLAGS } from '../wire/flags.ts';
import {
  CopyFileRangeIn,
  CopyFileRangeOut,
  CreateIn,
  EntryOut,
  FallocateIn,
  LinkIn,
  MkdirIn,
  MknodIn,
  OpenIn,
  Rename2In,
  RenameIn,
  SetattrIn,
  WriteIn,
  WriteOut,
} from '../wire/fuse.ts';
import { type NodeId, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { checkName } from '../wire/message.ts';
import { O_APPEND, O_TRUNC, S_IFDIR } from '../wire/mode.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Call } from './call.ts';
import { Attr, type Inode } from './inode.ts';
import { ARGS, nodeidOf, stringAt } from './request.ts';
import type { Route } from './routes.ts';
import type { Session } from './session.ts';

/** A client that can be told. Positions: −1 = attributes alone; size 0 = to the end. */
export interface NotifyTarget {
  readonly session: Session | undefined;
  tellInode(nodeid: NodeId, pos: number, size: number): void;
  tellEntry(parent: NodeId, name: ByteString): void;
  tellDelete(parent: NodeId, child: NodeId, name: ByteString): void;
  /**
   * Calls back, once, when all that was told before has been heard, or nobody is left to hear it. Absent: it has heard
   * as soon as it was told.
   */
  whenHeard?(done: () => void): void;
}

/** What is told of an operation that was carried out. */
type Tell = (announcer: Announcer, session: Session, call: Call, inode: Inode) => void;

const ATTRIBUTES = -1;

export class Announcer {
  readonly #targets = new Set<NotifyTarget>();
  /** Who was told of the request being handled, if its answer may wait. */
  readonly #told = new Set<NotifyTarget>();
  readonly #attr = new Attr();
  #asking: Session | undefined;
  /** The target that was added last; if there is but one, it is that one. */
  #last: NotifyTarget | undefined;

  /** Nobody to tell of what this session does. */
  isIdleFor(session: Session): boolean {
    return this.#targets.size === 0 || (this.#targets.size === 1 && this.#last?.session === session);
  }

  /** The request just handled must not be answered before `hold` calls back. */
  get hasTold(): boolean {
    return this.#told.size > 0;
  }

  add(target: NotifyTarget): void {
    this.#targets.add(target);
    this.#last = target;
  }

  remove(target: NotifyTarget): void {
    this.#targets.delete(target);
    this.#told.delete(target);
    for (const left of this.#targets) this.#last = left;
  }

  /** The session is over. */
  removeSession(session: Session): void {
    for (const target of [...this.#targets]) if (target.session === session) this.remove(target);
  }

  /** Carries a request out and tells of what it changed. */
  run(session: Session, call: Call, route: Route, inode: Inode): Errno {
    this.#told.clear();
    this.#asking = session;
    const errno = this.#runAndTell(session, call, route, inode);
    if (this.#told.size > 0 && this.#isKernel(session)) this.#told.clear();
    return errno;
  }

  /** Calls `release` once everybody who was told has heard. */
  hold(release: () => void): void {
    let waiting = this.#told.size;
    const targets = [...this.#told];
    this.#told.clear();
    for (const target of targets) {
      target.whenHeard?.(() => {
        waiting--;
        if (waiting === 0) release();
      });
    }
  }

  /** The session's window goes, with whatever was stored through it. Which files those are is not known exactly. */
  windowCloses(session: Session): void {
    if (this.isIdleFor(session)) return;
    this.#asking = session;
    for (const inode of session.host.store.inodes()) if (isMappedWritable(inode)) this.inode(inode, 0);
  }

  /** A mapping through which the session may have stored is gone. */
  stored(session: Session, inode: Inode): void {
    this.#asking = session;
    this.inode(inode, 0);
  }

  inode(inode: Inode, pos = ATTRIBUTES, size = 0): void {
    for (const target of this.#targets) {
      if (knows(target, inode) && this.#mark(target)) target.tellInode(inode.nodeid, pos, size);
    }
  }

  /** A name is new, or stands for something else; the directory's times and link count may have changed. */
  entry(parent: Inode, name: ByteString): void {
    for (const target of this.#targets) {
      if (!knows(target, parent) || !this.#mark(target)) continue;
      target.tellEntry(parent.nodeid, name);
      target.tellInode(parent.nodeid, ATTRIBUTES, 0);
    }
  }

  /** A name is gone, and with the last one what it stood for. */
  removal(session: Session, parent: Inode, name: ByteString, child: Inode): void {
    const isLast = child.type === S_IFDIR || (session.fs.getattr(child, this.#attr) === OK && this.#attr.nlink === 0);
    for (const target of this.#targets) {
      if (!knows(target, parent) || !this.#mark(target)) continue;
      if (isLast && knows(target, child)) target.tellDelete(parent.nodeid, child.nodeid, name);
      else target.tellEntry(parent.nodeid, name);
      target.tellInode(parent.nodeid, ATTRIBUTES, 0);
    }
    this.inode(child);
  }

  #runAndTell(session: Session, call: Call, route: Route, inode: Inode): Errno {
    if (!CHANGES.has(route.name)) return route.run(session, call, inode);
    const tell = TELLS[route.name];
    if (tell !== undefined) {
      const errno = route.run(session, call, inode);
      if (errno === OK) tell(this, session, call, inode);
      return errno;
    }
    if (route.name === 'UNLINK' || route.name === 'RMDIR') return this.#remove(session, call, route, inode);
    if (route.name === 'RENAME') return this.#rename(session, call, route, inode, RenameIn.newdir, sizeOf(RenameIn));
    if (route.name === 'RENAME2') return this.#rename(session, call, route, inode, Rename2In.newdir, sizeOf(Rename2In));
    if (route.name === 'CREATE') return this.#create(session, call, route, inode);
    const stored = storedThroughWindow(session, call, route);
    const errno = route.run(session, call, inode);
    if (stored !== undefined) this.inode(stored, 0);
    return errno;
  }

  #remove(session: Session, call: Call, route: Route, parent: Inode): Errno {
    const name = stringAt(call, ARGS);
    const child = find(session, parent, name);
    try {
      const errno = route.run(session, call, parent);
      if (errno === OK && child !== undefined) this.removal(session, parent, name, child);
      return errno;
    } finally {
      if (child !== undefined) session.host.store.release(child);
    }
  }

  #rename(
    session: Session,
    call: Call,
    route: Route,
    parent: Inode,
    newdir: { get(view: DataView, at: number): number },
    namesAt: number,
  ): Errno {
    const name = stringAt(call, ARGS + namesAt);
    const newName = stringAt(call, ARGS + namesAt + name.length + 1);
    const newParent = session.resolve(newdir.get(call.request, ARGS) as NodeId);
    const moved = find(session, parent, name);
    const replaced = newParent?.type === S_IFDIR ? find(session, newParent, newName) : undefined;
    try {
      const errno = route.run(session, call, parent);
      if (errno !== OK || newParent === undefined) return errno;
      this.entry(parent, name);
      this.entry(newParent, newName);
      if (moved !== undefined) this.inode(moved);
      if (replaced !== undefined) this.inode(replaced);
      return errno;
    } finally {
      if (moved !== undefined) session.host.store.release(moved);
      if (replaced !== undefined) session.host.store.release(replaced);
    }
  }

  #create(session: Session, call: Call, route: Route, parent: Inode): Errno {
    const name = stringAt(call, ARGS + sizeOf(CreateIn));
    const isTruncating = (CreateIn.flags.get(call.request, ARGS) & O_TRUNC) !== 0;
    const found = find(session, parent, name);
    if (found !== undefined) session.host.store.release(found);
    const errno = route.run(session, call, parent);
    if (errno !== OK) return errno;
    if (found === undefined) this.entry(parent, name);
    else if (isTruncating) {
      const inode = session.host.store.get(EntryOut.nodeid.get(call.reply, OUT_HEADER_SIZE) as NodeId);
      if (inode !== undefined) this.inode(inode, 0);
    }
    return errno;
  }

  /** Who asked is not told. */
  #mark(target: NotifyTarget): boolean {
    if (target.session === this.#asking) return false;
    if (target.whenHeard !== undefined) this.#told.add(target);
    return true;
  }

  #isKernel(session: Session): boolean {
    for (const target of this.#targets) {
      if (target.session === session && target.whenHeard !== undefined) return true;
    }
    return false;
  }
}

/** A name that stands at `at` in the request is new in the directory. */
function tellsName(at: number): Tell {
  return (announcer, _, call, parent) => announcer.entry(parent, stringAt(call, ARGS + at));
}

const TELLS: Readonly<Partial<Record<Route['name'], Tell>>> = {
  MKNOD: tellsName(sizeOf(MknodIn)),
  MKDIR: tellsName(sizeOf(MkdirIn)),
  SYMLINK: tellsName(0),
  LINK: (announcer, session, call, parent) => {
    announcer.entry(parent, stringAt(call, ARGS + sizeOf(LinkIn)));
    const inode = session.resolve(LinkIn.oldnodeid.get(call.request, ARGS) as NodeId);
    if (inode !== undefined) announcer.inode(inode);
  },
  SETATTR: (announcer, _, call, inode) => {
    const isSize = (SetattrIn.valid.get(call.request, ARGS) & FATTR_FLAGS.FATTR_SIZE) !== 0;
    announcer.inode(inode, isSize ? 0 : ATTRIBUTES);
  },
  SETXATTR: (announcer, _, __, inode) => announcer.inode(inode),
  REMOVEXATTR: (announcer, _, __, inode) => announcer.inode(inode),
  OPEN: (announcer, session, call, inode) => {
    const isTruncating = (OpenIn.flags.get(call.request, ARGS) & O_TRUNC) !== 0;
    if (isTruncating && session.negotiated.has('FUSE_ATOMIC_O_TRUNC')) announcer.inode(inode, 0);
  },
  WRITE: (announcer, _, call, inode) => {
    const size = WriteOut.size.get(call.reply, OUT_HEADER_SIZE);
    const isAppend = (WriteIn.flags.get(call.request, ARGS) & O_APPEND) !== 0;
    const isFromCache = (WriteIn.write_flags.get(call.request, ARGS) & WRITE_FLAGS.FUSE_WRITE_CACHE) !== 0;
    const isAtEnd = isAppend && !isFromCache && inode.space !== undefined;
    const pos = isAtEnd ? (inode.space?.size ?? 0) - size : WriteIn.offset.get(call.request, ARGS);
    announcer.inode(inode, pos, size);
  },
  FALLOCATE: (announcer, _, call, inode) => {
    const pos = FallocateIn.offset.get(call.request, ARGS);
    announcer.inode(inode, pos, FallocateIn.length.get(call.request, ARGS));
  },
  COPY_FILE_RANGE: (announcer, session, call) => {
    tellCopy(announcer, session, call, WriteOut.size.get(call.reply, OUT_HEADER_SIZE));
  },
  COPY_FILE_RANGE_64: (announcer, session, call) => {
    tellCopy(announcer, session, call, CopyFileRangeOut.bytes_copied.get(call.reply, OUT_HEADER_SIZE));
  },
};

function tellCopy(announcer: Announcer, session: Session, call: Call, size: number): void {
  const to = session.resolve(CopyFileRangeIn.nodeid_out.get(call.request, ARGS) as NodeId);
  if (to !== undefined && size > 0) announcer.inode(to, CopyFileRangeIn.off_out.get(call.request, ARGS), size);
}

/** The file whose mapped pages the guest may have stored into, if this request is an occasion to tell. */
function storedThroughWindow(session: Session, call: Call, route: Route): Inode | undefined {
  if (session.options.window === undefined || !OCCASIONS.has(route.name)) return undefined;
  const inode = session.host.store.get(nodeidOf(call));
  return inode !== undefined && isMappedWritable(inode) ? inode : undefined;
}

function isMappedWritable(inode: Inode): boolean {
  if (inode.space === undefined) return false;
  for (const leaf of inode.space.pages.chunks.values()) if (leaf.isMappedWritable) return true;
  return false;
}

const OCCASIONS: ReadonlySet<Route['name']> = new Set(['FLUSH', 'FSYNC', 'RELEASE'] as const);

/** All others are carried out and nothing more. */
const CHANGES: ReadonlySet<string> = new Set([
  ...Object.keys(TELLS),
  ...OCCASIONS,
  ...['UNLINK', 'RMDIR', 'RENAME', 'RENAME2', 'CREATE'],
]);

/** Looks the name up and holds what it stands for. */
function find(session: Session, parent: Inode, name: ByteString): Inode | undefined {
  if (checkName(name) !== OK) return undefined;
  const found = parent.type === S_IFDIR ? session.fs.lookup(parent, name) : ENOENT;
  if (typeof found === 'number') return undefined;
  session.host.store.hold(found);
  return found;
}

function knows(target: NotifyTarget, inode: Inode): boolean {
  return target.session?.resolve(inode.nodeid) === inode;
}
