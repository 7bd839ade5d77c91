/**
 * One mount: the parts that every system call needs, put together once. It throws only when mounting is impossible.
 */
import { type Errno, OK } from '../wire/errno.ts';
import type { Channel } from './channel.ts';
import { Counters } from './counters.ts';
import type { Credentials } from './credentials.ts';
import { Dax } from './dax-inode.ts';
import { DentryCache } from './dentry-cache.ts';
import { Doubt } from './doubt.ts';
import type { OpenFile } from './file.ts';
import { Forgets } from './forget.ts';
import { InodeCache } from './inode-cache.ts';
import { Namei } from './namei.ts';
import { Notifications } from './notifications.ts';
import { type MountOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { PageCache } from './page-cache.ts';
import { AttrRequests } from './request-attrs.ts';
import { FileRequests } from './request-files.ts';
import { LockRequests } from './request-locks.ts';
import { NameRequests } from './request-names.ts';
import { Session } from './session.ts';
import { Task } from './task.ts';
import type { Window } from './window.ts';

export class Mount {
  readonly options: ResolvedOptions;
  readonly channel: Channel;
  readonly counters = new Counters();
  readonly session: Session;
  readonly names: NameRequests;
  readonly attrs: AttrRequests;
  readonly files: FileRequests;
  readonly locks: LockRequests;
  readonly forgets: Forgets;
  readonly notifications: Notifications;
  readonly doubt: Doubt;
  readonly inodes: InodeCache;
  readonly dentries: DentryCache;
  readonly namei: Namei;
  /** Undefined: nothing goes through a window. */
  readonly dax: Dax | undefined;
  /** Undefined: data that does not go through a window is not kept. */
  readonly pages: PageCache | undefined;
  readonly openFiles = new Set<OpenFile>();
  /** Processes that other CPUs of the guest share: this one takes leave of them when it unmounts. */
  readonly processes = new Set<{ leave(): void }>();
  #task: Task;

  /** `window` counts only if the channel has one; a window of no range is none. */
  constructor(channel: Channel, window: Window | undefined, options: MountOptions) {
    const usable = channel.hasWindow && window !== undefined && window.rangeCount > 0 ? window : undefined;
    this.options = resolveOptions(options, usable !== undefined);
    const { clock, dax, maxInodes } = this.options;
    this.channel = channel;
    const daxPerInode = dax === 'inode' && usable !== undefined;
    const { allocation, writeback, pageCacheSize } = this.options;
    const wire = {
      hasWindow: usable !== undefined && dax !== 'never',
      daxPerInode,
      allocation,
      writeback,
      hasPages: pageCacheSize > 0,
    };
    this.session = new Session(channel, this.options satisfies Credentials, this.counters, wire);
    this.names = new NameRequests(this.session);
    this.attrs = new AttrRequests(this.session);
    this.files = new FileRequests(this.session);
    this.locks = new LockRequests(this.session);
    this.forgets = new Forgets(this.session);
    this.notifications = new Notifications(channel.notifications);
    this.inodes = new InodeCache(this.session, this.attrs, this.forgets, this.notifications, clock, dax);
    this.dentries = new DentryCache(this.session, this.names, this.inodes, this.notifications, clock, maxInodes);
    this.doubt = new Doubt(this.inodes, this.dentries);
    this.notifications.onChange(this.doubt);
    this.namei = new Namei(this.session, this.names, this.inodes, this.dentries);
    const { root } = this.inodes;
    this.#task = new Task(this.session.credentials, root, root, this.locks.newOwner());
    if (usable !== undefined && dax !== 'never') {
      this.dax = new Dax(usable, this.session, this.inodes, this.options);
      this.inodes.onEvict(this.dax);
    }
    if (pageCacheSize > 0) {
      const { session, files, inodes, counters } = this;
      this.pages = new PageCache(pageCacheSize, writeback, session, files, inodes, counters, clock);
      this.inodes.onPages(this.pages);
      this.doubt.onPages(this.pages);
    }
  }

  /** Who is running. */
  get task(): Task {
    return this.#task;
  }

  /** From here on calls are made on behalf of `task`. Returns who ran before, to go back to. */
  enter(task: Task): Task {
    const before = this.#task;
    this.#task = task;
    this.session.credentials = task.credentials;
    this.namei.root = task.root;
    this.namei.isBeneath = task.isBeneath;
    return before;
  }

  /** Forgets everything that is not in use, and tells the host. */
  dropCaches(): void {
    this.pages?.writeAll();
    this.pages?.dropAll();
    this.dentries.dropAll();
    this.forgets.flush();
    this.session.drain();
  }

  /** syncfs(2) */
  sync(): Errno {
    const errno = this.pages?.flushAll() ?? OK;
    const synced = this.files.syncfs();
    return errno !== OK ? errno : synced;
  }

  /** Closes what is open, gives every lookup back, ends the session and the device. */
  unmount(): void {
    if (this.session.state === 'destroyed') return;
    this.counters.leakedViews += this.viewCount;
    for (const file of [...this.openFiles]) for (const mapping of [...file.mappings]) mapping.unmap();
    for (const thread of [...this.processes]) thread.leave();
    for (const file of [...this.openFiles]) file.close();
    this.dropCaches();
    this.inodes.evictAll();
    this.forgets.flush();
    this.session.drain();
    this.session.destroy();
    this.channel.close();
  }

  /** Views that are not released. */
  get viewCount(): number {
    let count = 0;
    for (const file of this.openFiles) for (const mapping of file.mappings) count += mapping.viewCount;
    return count;
  }

  checkInvariants(): void {
    this.inodes.checkInvariants();
    this.dentries.checkInvariants();
    this.dax?.checkInvariants();
    this.pages?.checkInvariants();
  }
}
