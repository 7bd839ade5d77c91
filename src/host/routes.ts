/**
 * Opcode → handler, with what the dispatcher checks before: what the header's nodeid must be, whether the operation
 * writes. Every operation of the table is named here, so a new one does not compile until it is decided.
 */
import { ENOSYS, type Errno, OK } from '../wire/errno.ts';
import { OP_BY_INDEX, opNameOf, replyStructSize } from '../wire/message.ts';
import type { Op, OpName } from '../wire/ops.ts';
import { opIndex, type PrivateOpName } from '../wire/private.ts';
import type { Call } from './call.ts';
import * as attr from './handlers-attr.ts';
import * as dax from './handlers-dax.ts';
import * as dir from './handlers-dir.ts';
import * as entry from './handlers-entry.ts';
import * as io from './handlers-io.ts';
import * as lock from './handlers-lock.ts';
import * as map from './handlers-map.ts';
import * as open from './handlers-open.ts';
import * as xattr from './handlers-xattr.ts';
import { init } from './init.ts';
import { PERMITS } from './permission-table.ts';
import type { Handler } from './request.ts';
import type { Session } from './session.ts';

export type Target = 'none' | 'inode' | 'directory';

interface Plan {
  readonly target: Target;
  /** EROFS where nothing may change. */
  readonly isWriting: boolean;
  readonly run: Handler;
}

export interface Route extends Plan {
  readonly name: OpName | PrivateOpName;
  readonly op: Op;
  /** Whether the caller may, where the client leaves that to us. */
  readonly permit: Handler;
  readonly hasReply: boolean;
  /** Bytes of the reply's structs: zeroed before the handler runs, and the room the peer must have given. */
  readonly fixedReply: number;
}

const on = (target: Target, run: Handler): Plan => ({ target, isWriting: false, run });
const writing = (target: Target, run: Handler): Plan => ({ target, isWriting: true, run });
const refused: Plan = on('none', () => ENOSYS);

const PLANS: Readonly<Record<OpName | PrivateOpName, Plan>> = {
  LOOKUP: on('inode', entry.lookup),
  FORGET: on('none', entry.forget),
  GETATTR: on('inode', attr.getattr),
  SETATTR: writing('inode', attr.setattr),
  READLINK: on('inode', attr.readlink),
  SYMLINK: writing('directory', entry.symlink),
  MKNOD: writing('directory', entry.mknod),
  MKDIR: writing('directory', entry.mkdir),
  UNLINK: writing('directory', entry.unlink),
  RMDIR: writing('directory', entry.rmdir),
  RENAME: writing('directory', entry.rename),
  LINK: writing('directory', entry.link),
  OPEN: on('inode', open.open),
  READ: on('inode', io.read),
  WRITE: writing('inode', io.write),
  STATFS: on('inode', attr.statfs),
  RELEASE: on('none', open.release),
  FSYNC: on('inode', io.fsync),
  SETXATTR: writing('inode', xattr.setxattr),
  GETXATTR: on('inode', xattr.getxattr),
  LISTXATTR: on('inode', xattr.listxattr),
  REMOVEXATTR: writing('inode', xattr.removexattr),
  FLUSH: on('inode', io.flush),
  INIT: on('none', init),
  OPENDIR: on('directory', dir.opendir),
  READDIR: on('directory', dir.readdir),
  RELEASEDIR: on('none', dir.releasedir),
  FSYNCDIR: on('directory', dir.fsyncdir),
  GETLK: on('inode', lock.getlk),
  SETLK: on('inode', lock.setlk),
  SETLKW: on('inode', lock.setlkw),
  ACCESS: on('inode', attr.access),
  CREATE: on('directory', open.create),
  INTERRUPT: on('none', lock.interrupt),
  BMAP: refused,
  DESTROY: on('none', destroy),
  IOCTL: refused,
  POLL: refused,
  NOTIFY_REPLY: refused,
  BATCH_FORGET: on('none', entry.batchForget),
  FALLOCATE: writing('inode', io.fallocate),
  READDIRPLUS: on('directory', dir.readdirplus),
  RENAME2: writing('directory', entry.rename2),
  LSEEK: on('inode', io.lseek),
  COPY_FILE_RANGE: writing('inode', io.copyFileRange),
  SETUPMAPPING: on('none', dax.setupmapping),
  REMOVEMAPPING: on('none', dax.removemapping),
  SYNCFS: on('none', io.syncfs),
  TMPFILE: writing('directory', open.tmpfile),
  STATX: on('inode', attr.statx),
  COPY_FILE_RANGE_64: writing('inode', io.copyFileRange64),
  CUSE_INIT: refused,
  MAP: on('none', map.map),
  UNMAP: on('none', map.unmap),
};

const ROUTES = OP_BY_INDEX.map(routeTo);

/** Returns the route of an opcode; undefined when the protocol has no such operation. */
export function routeOf(opcode: number): Route | undefined {
  return ROUTES[opIndex(opcode)];
}

function routeTo(op: Op | undefined): Route | undefined {
  const name = op === undefined ? undefined : opNameOf(op.code);
  if (op === undefined || name === undefined) return undefined;
  return {
    ...PLANS[name],
    name,
    op,
    permit: PERMITS[name],
    hasReply: op.reply !== 'none',
    fixedReply: replyStructSize(op),
  };
}

function destroy(session: Session, _call: Call): Errno {
  session.becomeDestroyed();
  return OK;
}
