/**
 * The INIT exchange: which protocol both ends speak from now on.
 *
 * Never a flag that was not offered; INIT_EXT in the reply iff it was offered, because `flags2` counts only with it.
 * Replies are always in their newest form: a client too old for that (minor < 27) is refused.
 * SPEC: include/uapi/linux/fuse.h 7.45; the refusals are those of virtiofsd and crosvm.
 */
import { EPROTO, type Errno, OK } from '../wire/errno.ts';
import { InitIn, InitOut } from '../wire/fuse.ts';
import { FUSE_KERNEL_MINOR_VERSION, FUSE_KERNEL_VERSION, IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../wire/ids.ts';
import { DEFAULT_SIZES, MessageSizes } from '../wire/message.ts';
import { INIT_BITS, type InitFlag } from '../wire/private.ts';
import type { Call } from './call.ts';
import { MAP_ALIGNMENT } from './mapper-types.ts';
import type { Session } from './session.ts';

const MINOR_MIN = 27;
const PAGE_SIZE = 4096;
/** Without MAX_PAGES a client moves at most 32 pages per request. */
const PAGES_WITHOUT_MAX_PAGES = 32;

/** What this server does whenever the client can; the rest depends on the session. */
const WANTED: readonly InitFlag[] = [
  'FUSE_ASYNC_READ',
  'FUSE_ATOMIC_O_TRUNC',
  'FUSE_BIG_WRITES',
  'FUSE_DONT_MASK',
  'FUSE_AUTO_INVAL_DATA',
  'FUSE_DO_READDIRPLUS',
  'FUSE_READDIRPLUS_AUTO',
  'FUSE_ASYNC_DIO',
  'FUSE_PARALLEL_DIROPS',
  'FUSE_MAX_PAGES',
  'FUSE_CACHE_SYMLINKS',
  'FUSE_HANDLE_KILLPRIV_V2',
  'FUSE_CREATE_SUPP_GROUP',
  'FUSE_INIT_EXT',
];

const SIZES_WITH_SETXATTR_EXT = new MessageSizes(FUSE_KERNEL_MINOR_VERSION, true);

/** What INIT settled. Everything is off until then. */
export class Negotiated {
  minor = 0;
  maxWrite = 0;
  /** Sizes of the messages from now on. */
  sizes = DEFAULT_SIZES;
  #flags = 0;
  #flags2 = 0;

  has(flag: InitFlag): boolean {
    const bit = INIT_BITS[flag];
    return bit < 32 ? (this.#flags & (1 << bit)) !== 0 : (this.#flags2 & (1 << (bit - 32))) !== 0;
  }

  get flags(): number {
    return this.#flags >>> 0;
  }

  get flags2(): number {
    return this.#flags2 >>> 0;
  }

  /** Takes over those of `wanted` that the client offered. */
  agree(offered: number, offered2: number, wanted: readonly InitFlag[]): void {
    this.#flags = 0;
    this.#flags2 = 0;
    for (const flag of wanted) {
      const bit = INIT_BITS[flag];
      if (bit < 32) this.#flags |= offered & (1 << bit);
      else this.#flags2 |= offered2 & (1 << (bit - 32));
    }
    this.sizes = this.has('FUSE_SETXATTR_EXT') ? SIZES_WITH_SETXATTR_EXT : DEFAULT_SIZES;
  }
}

/** Answers INIT; a second one starts the session afresh. */
export function init(session: Session, call: Call): Errno {
  const { request, reply } = call;
  const major = InitIn.major.get(request, IN_HEADER_SIZE);
  const minor = InitIn.minor.get(request, IN_HEADER_SIZE);
  if (major < FUSE_KERNEL_VERSION || (major === FUSE_KERNEL_VERSION && minor < MINOR_MIN)) {
    return session.refuse(call, EPROTO, `protocol ${major}.${minor} is too old`);
  }
  InitOut.major.set(reply, OUT_HEADER_SIZE, FUSE_KERNEL_VERSION);
  InitOut.minor.set(reply, OUT_HEADER_SIZE, FUSE_KERNEL_MINOR_VERSION);
  // SPEC: fuse.h: a newer major is answered with ours alone; the client then sends INIT again.
  if (major > FUSE_KERNEL_VERSION) return OK;
  session.restart();
  agree(session, call, minor);
  writeInitOut(session, call);
  session.becomeReady();
  return OK;
}

function agree(session: Session, call: Call, minor: number): void {
  const { request } = call;
  const { negotiated } = session;
  const offered = InitIn.flags.get(request, IN_HEADER_SIZE);
  // The message's check made sure that INIT_EXT comes with the long struct.
  const hasFlags2 = (offered & (1 << INIT_BITS.FUSE_INIT_EXT)) !== 0;
  const offered2 = hasFlags2 ? InitIn.flags2.get(request, IN_HEADER_SIZE) : 0;
  negotiated.agree(offered, offered2, wantedBy(session, call));
  negotiated.minor = Math.min(minor, FUSE_KERNEL_MINOR_VERSION);
  const maxWrite = session.options.maxWrite;
  negotiated.maxWrite = negotiated.has('FUSE_MAX_PAGES')
    ? maxWrite
    : Math.min(maxWrite, PAGES_WITHOUT_MAX_PAGES * PAGE_SIZE);
}

function wantedBy(session: Session, call: Call): readonly InitFlag[] {
  const wanted = [...WANTED];
  if (session.fs.parent !== undefined) wanted.push('FUSE_EXPORT_SUPPORT');
  if (session.fs.acls !== undefined) wanted.push('FUSE_SETXATTR_EXT');
  // With POSIX_ACL a Linux client checks permissions, asked to or not.
  if (session.fs.acls !== undefined && !session.options.checksPermissions) wanted.push('FUSE_POSIX_ACL');
  if (session.options.writebackCache) wanted.push('FUSE_WRITEBACK_CACHE');
  if (session.options.window !== undefined) wanted.push('FUSE_MAP_ALIGNMENT', 'FUSE_HAS_INODE_DAX');
  if (session.options.extensions && session.maps !== undefined) wanted.push('PRIVATE_MAP', 'PRIVATE_MAPPED_LENGTH');
  // A lock may have to be waited for. Without these the client keeps its locks to itself.
  if (call.defer !== undefined && !session.options.localLocks) wanted.push('FUSE_POSIX_LOCKS', 'FUSE_FLOCK_LOCKS');
  return wanted;
}

function writeInitOut(session: Session, call: Call): void {
  const { request, reply } = call;
  const { negotiated, options } = session;
  const at = OUT_HEADER_SIZE;
  InitOut.max_readahead.set(reply, at, InitIn.max_readahead.get(request, IN_HEADER_SIZE));
  InitOut.flags.set(reply, at, negotiated.flags);
  InitOut.flags2.set(reply, at, negotiated.flags2);
  InitOut.max_background.set(reply, at, options.maxBackground);
  InitOut.congestion_threshold.set(reply, at, Math.ceil((options.maxBackground * 3) / 4));
  InitOut.max_write.set(reply, at, negotiated.maxWrite);
  InitOut.time_gran.set(reply, at, 1);
  if (negotiated.has('FUSE_MAX_PAGES')) {
    InitOut.max_pages.set(reply, at, Math.ceil(negotiated.maxWrite / PAGE_SIZE));
  }
  if (negotiated.has('FUSE_MAP_ALIGNMENT')) InitOut.map_alignment.set(reply, at, MAP_ALIGNMENT);
}
