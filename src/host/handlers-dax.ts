/**
 * The two DAX requests: argument checks, then the session's mapper.
 *
 * SETUPMAPPING carries no usable fh (Linux sends all ones): the inode decides, and a mapping outlives every handle. It
 * may reach past the end of the file: Linux always maps whole ranges.
 */
import { EBADF, EINVAL, EISDIR, ENOSYS, EROFS, type Errno, OK } from '../wire/errno.ts';
import { SETUPMAPPING_FLAGS } from '../wire/flags.ts';
import { RemovemappingIn, RemovemappingOne, SetupmappingIn } from '../wire/fuse.ts';
import { OUT_HEADER_SIZE } from '../wire/ids.ts';
import { S_IFDIR, S_IFREG } from '../wire/mode.ts';
import { SetupmappingOut } from '../wire/private.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Call } from './call.ts';
import { MAP_UNIT, type Mapper } from './mapper-types.ts';
import { ARGS, nodeidOf } from './request.ts';
import type { Session } from './session.ts';

const { FUSE_SETUPMAPPING_FLAG_READ, FUSE_SETUPMAPPING_FLAG_WRITE } = SETUPMAPPING_FLAGS;
/** Where a reply ends that says how much is mapped. */
const LENGTH_END = OUT_HEADER_SIZE + sizeOf(SetupmappingOut);
const FLAGS = FUSE_SETUPMAPPING_FLAG_READ | FUSE_SETUPMAPPING_FLAG_WRITE;

export function setupmapping(session: Session, call: Call): Errno {
  const { window } = session.options;
  if (window === undefined) return ENOSYS;
  if (session.negotiated.has('PRIVATE_MAP')) return session.refuse(call, EINVAL, 'the window is the server’s: MAP');
  const { request } = call;
  const inode = session.resolve(nodeidOf(call));
  if (inode === undefined) return EBADF;
  const foffset = SetupmappingIn.foffset.get(request, ARGS);
  const len = SetupmappingIn.len.get(request, ARGS);
  const moffset = SetupmappingIn.moffset.get(request, ARGS);
  const flags = SetupmappingIn.flags.get(request, ARGS);
  if (flags === 0 || flags > FLAGS) return session.refuse(call, EINVAL, `mapping flags ${flags}`);
  if (foffset % MAP_UNIT !== 0) return session.refuse(call, EINVAL, `foffset ${foffset} is not aligned`);
  if (!isInWindow(window, moffset, len)) return session.refuse(call, EINVAL, `no window range ${moffset}+${len}`);
  if (!Number.isSafeInteger(foffset + len)) return EINVAL;
  if (inode.type !== S_IFREG) return inode.type === S_IFDIR ? EISDIR : EINVAL;
  const isWritable = (flags & FUSE_SETUPMAPPING_FLAG_WRITE) !== 0;
  if (isWritable && session.fs.readOnly) return EROFS;
  const hasLength = session.negotiated.has('PRIVATE_MAPPED_LENGTH') && call.replyRoom >= LENGTH_END;
  if (!hasLength) return window.setup(inode, foffset, len, isWritable, moffset);
  let mapped = 0;
  while (mapped < len) {
    const errno = window.setup(inode, foffset + mapped, MAP_UNIT, isWritable, moffset + mapped);
    if (errno !== OK && mapped === 0) return errno;
    if (errno !== OK) break;
    mapped += MAP_UNIT;
  }
  SetupmappingOut.len.set(call.reply, OUT_HEADER_SIZE, mapped);
  call.replySize = LENGTH_END;
  return OK;
}

/** The inode in the header says nothing: a range may be given back after its inode was forgotten. */
export function removemapping(session: Session, call: Call): Errno {
  const { window } = session.options;
  if (window === undefined) return ENOSYS;
  if (session.negotiated.has('PRIVATE_MAP')) return session.refuse(call, EINVAL, 'the window is the server’s: MAP');
  const count = RemovemappingIn.count.get(call.request, ARGS);
  const first = ARGS + sizeOf(RemovemappingIn);
  const size = sizeOf(RemovemappingOne);
  if (count === 0) return session.refuse(call, EINVAL, 'no entries');
  for (let i = 0; i < count; i++) {
    const moffset = RemovemappingOne.moffset.get(call.request, first + i * size);
    const len = RemovemappingOne.len.get(call.request, first + i * size);
    if (!isInWindow(window, moffset, len)) return session.refuse(call, EINVAL, `no window range ${moffset}+${len}`);
  }
  return removeAll(window, call.request, first, count);
}

/** Goes on after an error, because the client reuses the ranges whatever the answer is. */
function removeAll(window: Mapper, request: DataView, first: number, count: number): Errno {
  let errno = OK;
  for (let i = 0; i < count; i++) {
    const at = first + i * sizeOf(RemovemappingOne);
    const removed = window.remove(RemovemappingOne.moffset.get(request, at), RemovemappingOne.len.get(request, at));
    if (errno === OK) errno = removed;
  }
  return errno;
}

function isInWindow(window: Mapper, moffset: number, len: number): boolean {
  return len > 0 && len % MAP_UNIT === 0 && moffset % MAP_UNIT === 0 && moffset + len <= window.windowSize;
}
