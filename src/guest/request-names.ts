/** Requests about names: arguments written in place, the reply left at `channel.reply` for the caller to read. */
import type { ByteString } from '../base/bytes.ts';
import { EINVAL, ENOSYS, type Errno } from '../wire/errno.ts';
import { CreateIn, EntryOut, LinkIn, MkdirIn, MknodIn, OpenOut, Rename2In, RenameIn } from '../wire/fuse.ts';
import { type NodeId, SYMLINK_MAX } from '../wire/ids.ts';
import { OPS } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Session } from './session.ts';

export const ENTRY_OUT_SIZE = sizeOf(EntryOut);
const MKNOD_IN_SIZE = sizeOf(MknodIn);
const MKDIR_IN_SIZE = sizeOf(MkdirIn);
const LINK_IN_SIZE = sizeOf(LinkIn);
const CREATE_IN_SIZE = sizeOf(CreateIn);
const CREATE_OUT_SIZE = ENTRY_OUT_SIZE + sizeOf(OpenOut);
const RENAME_IN_SIZE = sizeOf(RenameIn);
const RENAME2_IN_SIZE = sizeOf(Rename2In);

export class NameRequests {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Reply: fuse_entry_out; nodeid 0 = no such name, which may be remembered. */
  lookup(parent: NodeId, name: ByteString): Errno {
    this.#session.begin(OPS.LOOKUP.code, parent, 0, ENTRY_OUT_SIZE);
    return this.#named(name);
  }

  mknod(parent: NodeId, name: ByteString, mode: number, rdev: number): Errno {
    const session = this.#session;
    const { view } = session.channel;
    const at = session.begin(OPS.MKNOD.code, parent, MKNOD_IN_SIZE, ENTRY_OUT_SIZE);
    MknodIn.mode.set(view, at, this.#mode(mode));
    MknodIn.rdev.set(view, at, rdev);
    MknodIn.umask.set(view, at, session.credentials.umask);
    return this.#named(name);
  }

  mkdir(parent: NodeId, name: ByteString, mode: number): Errno {
    const session = this.#session;
    const { view } = session.channel;
    const at = session.begin(OPS.MKDIR.code, parent, MKDIR_IN_SIZE, ENTRY_OUT_SIZE);
    MkdirIn.mode.set(view, at, this.#mode(mode));
    MkdirIn.umask.set(view, at, session.credentials.umask);
    return this.#named(name);
  }

  symlink(parent: NodeId, name: ByteString, target: ByteString): Errno {
    this.#session.begin(OPS.SYMLINK.code, parent, 0, ENTRY_OUT_SIZE);
    this.#session.putName(name);
    return this.#named(target);
  }

  link(inode: NodeId, parent: NodeId, name: ByteString): Errno {
    const session = this.#session;
    const at = session.begin(OPS.LINK.code, parent, LINK_IN_SIZE, ENTRY_OUT_SIZE);
    LinkIn.oldnodeid.set(session.channel.view, at, inode);
    return this.#named(name);
  }

  unlink(parent: NodeId, name: ByteString): Errno {
    this.#session.begin(OPS.UNLINK.code, parent, 0, 0);
    return this.#named(name);
  }

  rmdir(parent: NodeId, name: ByteString): Errno {
    this.#session.begin(OPS.RMDIR.code, parent, 0, 0);
    return this.#named(name);
  }

  /** RENAME when there are no flags, RENAME2 otherwise; EINVAL when the host does not know that. */
  rename(parent: NodeId, name: ByteString, newParent: NodeId, newName: ByteString, flags: number): Errno {
    return flags === 0
      ? this.#rename(parent, name, newParent, newName)
      : this.#rename2(parent, name, newParent, newName, flags);
  }

  /** Reply: fuse_entry_out, fuse_open_out. ENOSYS: use mknod and open. */
  create(parent: NodeId, name: ByteString, flags: number, mode: number, openFlags: number): Errno {
    const session = this.#session;
    if (session.lacks(OPS.CREATE.code)) return ENOSYS;
    const { view } = session.channel;
    const at = session.begin(OPS.CREATE.code, parent, CREATE_IN_SIZE, CREATE_OUT_SIZE);
    CreateIn.flags.set(view, at, flags);
    CreateIn.mode.set(view, at, this.#mode(mode));
    CreateIn.umask.set(view, at, session.credentials.umask);
    CreateIn.open_flags.set(view, at, openFlags);
    return this.#named(name);
  }

  /** The target goes to `channel.data`; its size is `channel.received`. */
  readlink(nodeid: NodeId): Errno {
    const { channel } = this.#session;
    this.#session.begin(OPS.READLINK.code, nodeid, 0, 0);
    channel.request.dataOut = channel.data;
    channel.request.dataOutSize = Math.min(SYMLINK_MAX, channel.dataSize);
    return this.#session.call();
  }

  #rename(parent: NodeId, name: ByteString, newParent: NodeId, newName: ByteString): Errno {
    const session = this.#session;
    const at = session.begin(OPS.RENAME.code, parent, RENAME_IN_SIZE, 0);
    RenameIn.newdir.set(session.channel.view, at, newParent);
    session.putName(name);
    return this.#named(newName);
  }

  #rename2(parent: NodeId, name: ByteString, newParent: NodeId, newName: ByteString, flags: number): Errno {
    const session = this.#session;
    if (session.lacks(OPS.RENAME2.code)) return EINVAL;
    const at = session.begin(OPS.RENAME2.code, parent, RENAME2_IN_SIZE, 0);
    Rename2In.newdir.set(session.channel.view, at, newParent);
    Rename2In.flags.set(session.channel.view, at, flags);
    session.putName(name);
    const errno = this.#named(newName);
    return errno === ENOSYS ? EINVAL : errno;
  }

  #named(name: ByteString): Errno {
    this.#session.putName(name);
    return this.#session.call();
  }

  /** SPEC: without DONT_MASK the client applies the umask. */
  #mode(mode: number): number {
    return this.#session.has('FUSE_DONT_MASK') ? mode : mode & ~this.#session.credentials.umask;
  }
}
