/**
 * The operations that a directory has only with native system calls: extended attributes, and files without a name.
 *
 * Namespaces are the system's, as are the checks of size and existence; who may use which is asked by the client or the
 * server before. `system.` is not passed on, so that access control lists are neither shown nor set: they would be
 * followed by the system, for the host's user, and not by us for the caller.
 */
import { Buffer } from 'node:buffer';
import type { ByteString } from '../../base/bytes.ts';
import type { FileSystem } from '../../host/file-system.ts';
import type { Caller } from '../../host/inode.ts';
import { EOPNOTSUPP, EROFS, type Errno } from '../../wire/errno.ts';
import type { Anchor } from './anchor.ts';
import type { FileData } from './data.ts';
import { errnoOf } from './errors.ts';
import type { DirInode } from './inode.ts';
import type { Names } from './names.ts';
import type { Native } from './native.ts';

type Name = 'getxattr' | 'setxattr' | 'listxattr' | 'removexattr' | 'tmpfile';
export type Extras = Required<Pick<FileSystem<DirInode>, Name>>;

export interface ExtrasParts {
  readonly native: Native;
  readonly anchor: Anchor;
  readonly data: FileData;
  readonly names: Names;
  readonly readOnly: boolean;
  /** To be called before each operation. */
  readonly trim: () => void;
}

/** No value and no list is larger. SPEC: include/uapi/linux/limits.h, XATTR_SIZE_MAX, XATTR_LIST_MAX. */
const ROOM = 65536;

export function makeExtras({ native, anchor, data, names, readOnly, trim }: ExtrasParts): Extras {
  const room = Buffer.alloc(ROOM);
  const guarded = <T>(work: () => T | Errno): T | Errno => {
    try {
      trim();
      return work();
    } catch (error) {
      return errnoOf(error);
    }
  };
  const changing = (inode: DirInode, name: ByteString, change: (object: string | Buffer) => Errno): Errno => {
    if (readOnly) return EROFS;
    if (isSystem(name)) return EOPNOTSUPP;
    return guarded(() => {
      data.before(inode);
      const errno = change(anchor.reach(inode));
      data.after(inode);
      return errno;
    });
  };
  return {
    getxattr(inode, name) {
      if (isSystem(name)) return EOPNOTSUPP;
      return guarded(() => {
        const size = native.getxattr(anchor.reach(inode), name, room);
        return size < 0 ? (-size as Errno) : Uint8Array.from(room.subarray(0, size));
      });
    },
    setxattr: (inode, name, value, flags) =>
      changing(inode, name, (object) => native.setxattr(object, name, value, flags)),
    listxattr(inode, caller) {
      return guarded(() => {
        const size = native.listxattr(anchor.reach(inode), room);
        return size < 0 ? (-size as Errno) : shownNames(room.toString('latin1', 0, size), caller);
      });
    },
    removexattr: (inode, name) => changing(inode, name, (object) => native.removexattr(object, name)),
    tmpfile: (parent, mode, caller) => (readOnly ? EROFS : guarded(() => names.tmpfile(parent, mode, caller))),
  };
}

/** The system has listed for the host's user. */
function shownNames(list: string, caller: Caller): ByteString[] {
  const names = list.split('\0').slice(0, -1) as ByteString[];
  return names.filter((name) => !isSystem(name) && (caller.uid === 0 || !name.startsWith('trusted.')));
}

function isSystem(name: ByteString): boolean {
  return name.startsWith('system.');
}
