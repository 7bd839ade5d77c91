/** GETATTR, SETATTR, STATFS: the reply is left at `channel.reply`. */
import type { Errno } from '../wire/errno.ts';
import { FATTR_FLAGS, GETATTR_FLAGS } from '../wire/flags.ts';
import { AttrOut, GetattrIn, SetattrIn, StatfsOut } from '../wire/fuse.ts';
import type { Fh, NodeId } from '../wire/ids.ts';
import { OPS } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Session } from './session.ts';

const GETATTR_IN_SIZE = sizeOf(GetattrIn);
const SETATTR_IN_SIZE = sizeOf(SetattrIn);
const ATTR_OUT_SIZE = sizeOf(AttrOut);
const STATFS_OUT_SIZE = sizeOf(StatfsOut);

/** What SETATTR shall change: the fields named by the FATTR_* bits in `valid`. Reused from call to call. */
class AttrChange {
  valid = 0;
  size = 0;
  mode = 0;
  uid = 0;
  gid = 0;
  atime = 0;
  atimensec = 0;
  mtime = 0;
  mtimensec = 0;
}

export class AttrRequests {
  /** Fill it, then call `setattr`, which clears `valid`. */
  readonly change = new AttrChange();
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  getattr(nodeid: NodeId, fh?: Fh): Errno {
    const session = this.#session;
    const { view } = session.channel;
    const at = session.begin(OPS.GETATTR.code, nodeid, GETATTR_IN_SIZE, ATTR_OUT_SIZE);
    if (fh !== undefined) {
      GetattrIn.getattr_flags.set(view, at, GETATTR_FLAGS.FUSE_GETATTR_FH);
      GetattrIn.fh.set(view, at, fh);
    }
    return session.call();
  }

  /** Sends `change`. */
  setattr(nodeid: NodeId, fh?: Fh): Errno {
    const { change } = this;
    const session = this.#session;
    const { view } = session.channel;
    const at = session.begin(OPS.SETATTR.code, nodeid, SETATTR_IN_SIZE, ATTR_OUT_SIZE);
    SetattrIn.valid.set(view, at, fh === undefined ? change.valid : change.valid | FATTR_FLAGS.FATTR_FH);
    if (fh !== undefined) SetattrIn.fh.set(view, at, fh);
    SetattrIn.size.set(view, at, change.size);
    SetattrIn.mode.set(view, at, change.mode);
    SetattrIn.uid.set(view, at, change.uid);
    SetattrIn.gid.set(view, at, change.gid);
    SetattrIn.atime.set(view, at, change.atime);
    SetattrIn.atimensec.set(view, at, change.atimensec);
    SetattrIn.mtime.set(view, at, change.mtime);
    SetattrIn.mtimensec.set(view, at, change.mtimensec);
    change.valid = 0;
    return session.call();
  }

  /** Reply: fuse_statfs_out. */
  statfs(nodeid: NodeId): Errno {
    this.#session.begin(OPS.STATFS.code, nodeid, 0, STATFS_OUT_SIZE);
    return this.#session.call();
  }
}
