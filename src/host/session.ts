/**
 * One client of the server: a CPU of a guest, or a mount of a real kernel. What must vanish with it is here: what it
 * looked up and mapped. What it has open and locked goes with the last CPU of its guest (guest-state.ts).
 *
 *   created   → ready:     INIT was agreed on
 *   ready     → ready:     another INIT: the client started afresh, all its old state is dropped
 *   ready     → destroyed: DESTROY: the client unmounted, all its state is dropped
 *   destroyed → ready:     INIT: it mounted again
 *   any       → closed:    `close`: the client is gone; nothing is answered any more but with EIO
 */
import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import type { Clock, Timespec } from '../base/clock.ts';
import type { SegmentList } from '../virtio/chain.ts';
import { type Errno, errnoName } from '../wire/errno.ts';
import { InHeader } from '../wire/fuse.ts';
import { IN_HEADER_SIZE, type NodeId } from '../wire/ids.ts';
import { opNameOf } from '../wire/message.ts';
import type { Call } from './call.ts';
import { DirentplusSink, DirentSink } from './dir-sinks.ts';
import { dispatch } from './dispatch.ts';
import type { FileSystem } from './file-system.ts';
import type { GuestState } from './guest-state.ts';
import type { HandleTable } from './handle-table.ts';
import { Negotiated } from './init.ts';
import { Attr, AttrChange, Caller, type GroupsOf, type Inode, StatFs } from './inode.ts';
import { type InodeStore, LookupCounts } from './inode-store.ts';
import type { LockClient } from './lock-client.ts';
import type { LockTable } from './lock-table.ts';
import type { Log } from './log.ts';
import type { Mapper } from './mapper-types.ts';
import type { Announcer } from './notify.ts';
import { type MapCounts, RangeAllocator } from './range-allocator.ts';

export interface SessionOptions {
  /** For log lines. */
  readonly name: string;
  /** The client's DAX window, if it has one. */
  readonly window: Mapper | undefined;
  /** Offers what only guests of ours understand: MAP, and SETUPMAPPING's reply. Never for a kernel. */
  readonly extensions: boolean;
  /** The share of a window's ranges that `allocation: 'server'` keeps free by recalls; 0 = none. */
  readonly recallBelow: number;
  /** How long the client may believe attributes and names; Infinity is allowed. */
  readonly attrTimeoutMs: number;
  readonly entryTimeoutMs: number;
  /** How long it may believe that a name does not exist; 0 = ENOENT instead of a negative entry. */
  readonly negativeTimeoutMs: number;
  readonly maxWrite: number;
  readonly maxBackground: number;
  /** FOPEN_* bits of every OPEN and OPENDIR reply. */
  readonly openFlags: number;
  readonly opendirFlags: number;
  /** The client may keep written pages and times to itself for a while, and write them when it likes. */
  readonly writebackCache: boolean;
  /** The client leaves permissions to us: every operation is checked. See permission-table.ts. */
  readonly checksPermissions: boolean;
  /** No other client will ever see the files, so pages of a file that has not changed may outlive its last close. */
  readonly isAlone: boolean;
  /** The client keeps its locks to itself, and need not tell of each close. */
  readonly localLocks: boolean;
  /** Which regular files a client with per-inode DAX reads through its window. */
  readonly usesDax: (attr: Attr) => boolean;
  /** A request names one group of its caller; whoever can look up the others says so. */
  readonly groupsOf: GroupsOf | undefined;
}

export const SESSION_DEFAULTS: SessionOptions = {
  name: 'session',
  window: undefined,
  extensions: false,
  recallBelow: 0.2,
  attrTimeoutMs: 1000,
  entryTimeoutMs: 1000,
  negativeTimeoutMs: 0,
  maxWrite: 1024 * 1024,
  maxBackground: 64,
  openFlags: 0,
  opendirFlags: 0,
  writebackCache: false,
  checksPermissions: false,
  isAlone: false,
  localLocks: false,
  usesDax: () => true,
  groupsOf: undefined,
};

/** What all sessions of a host share. */
export interface SessionHost {
  readonly fs: FileSystem;
  readonly store: InodeStore;
  readonly locks: LockTable;
  readonly announcer: Announcer;
  readonly mapCounts: MapCounts;
  readonly clock: Clock;
  readonly log: Log;
  /** Host memory through which COPY_FILE_RANGE moves bytes; without it the operation is ENOSYS. */
  readonly scratch: SegmentList | undefined;
}

export type SessionState = 'created' | 'ready' | 'destroyed' | 'closed';

export class Session {
  readonly fs: FileSystem;
  readonly host: SessionHost;
  readonly options: SessionOptions;
  readonly lookups: LookupCounts;
  /** Whose CPU it is. */
  readonly guest: GuestState;
  readonly handles: HandleTable;
  readonly locks: LockClient;
  /** Who has which range, where the server chooses them. */
  readonly maps: RangeAllocator | undefined;
  readonly negotiated = new Negotiated();

  // Reused by every request, so that none allocates.
  readonly attr = new Attr();
  readonly change = new AttrChange();
  readonly caller = new Caller();
  readonly statfs = new StatFs();
  /** The name that was last looked up in vain, and where: the next request may be to create it. */
  readonly missing = { parent: 0 as NodeId, name: '' as ByteString };
  readonly now: Timespec = { sec: 0, nsec: 0 };
  readonly direntSink = new DirentSink();
  readonly direntplusSink: DirentplusSink;

  readonly #onClose: (session: Session) => void;
  #state: SessionState = 'created';

  constructor(host: SessionHost, options: SessionOptions, guest: GuestState, onClose: (session: Session) => void) {
    this.fs = host.fs;
    this.host = host;
    this.options = options;
    this.lookups = new LookupCounts(host.store);
    this.guest = guest;
    this.handles = guest.handles;
    this.locks = guest.locks;
    this.direntplusSink = new DirentplusSink(this);
    const { window } = options;
    if (window !== undefined) window.onStored = (inode) => host.announcer.stored(this, inode);
    this.maps = window === undefined ? undefined : new RangeAllocator(window, host.mapCounts, options.recallBelow);
    this.#onClose = onClose;
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Answers one request: fills the call's reply. Never throws. */
  handle(call: Call): void {
    dispatch(this, call);
  }

  /** The client is gone. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#drop();
    this.#enter('closed');
    this.#onClose(this);
  }

  /** Drops what an earlier INIT left. */
  restart(): void {
    this.#drop();
  }

  becomeReady(): void {
    this.#enter('ready');
    this.guest.join(this);
  }

  becomeDestroyed(): void {
    this.#drop();
    this.#enter('destroyed');
  }

  /** Returns the inode that a nodeid of this client means; undefined = ESTALE. */
  resolve(nodeid: NodeId): Inode | undefined {
    return this.lookups.resolve(nodeid) ?? this.guest.resolve(nodeid, this);
  }

  /** Logs a request that breaks the protocol, once, and passes its errno on. */
  refuse(call: Call, errno: Errno, why: string): Errno {
    this.host.log('warn', `${this.options.name}: ${describe(call)}: ${errnoName(errno)}: ${why}`);
    return errno;
  }

  /** Logs a failure of our own. */
  report(call: Call, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.host.log('error', `${this.options.name}: ${describe(call)}: ${text}`);
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    this.lookups.checkInvariants();
    this.handles.checkInvariants();
    this.maps?.checkInvariants();
    if (this.#state === 'ready') return;
    assert(this.lookups.size === 0, 'a session that is not ready knows inodes');
    if (!this.guest.isGone) return;
    assert(this.handles.size === 0, 'a guest without a session that is ready has open files');
    assert(this.locks.count === 0, 'a guest without a session that is ready has locks');
  }

  #drop(): void {
    if (this.options.window !== undefined) this.host.announcer.windowCloses(this);
    this.maps?.clear();
    this.options.window?.clear();
    this.guest.leave(this);
    this.lookups.clear();
  }

  #enter(next: SessionState): void {
    assert(this.#state !== 'closed', 'a closed session changes its state');
    this.#state = next;
  }
}

function describe(call: Call): string {
  if (call.requestSize < IN_HEADER_SIZE) return 'no header';
  const opcode = InHeader.opcode.get(call.request, 0);
  const low = call.request.getUint32(InHeader.nodeid.offset, true);
  const high = call.request.getUint32(InHeader.nodeid.offset + 4, true);
  return `${opNameOf(opcode) ?? `opcode ${opcode}`} n${high * 2 ** 32 + low}`;
}
