/**
 * What belongs to a guest as a whole, however many CPUs it has: open files and locks. A CPU is a session: its lookups,
 * window and notifications are its own, because its caches are.
 *
 * INVARIANT: there are handles and locks only while a session of the guest is ready: the last one takes them along.
 */
import type { NodeId } from '../wire/ids.ts';
import type { FileSystem } from './file-system.ts';
import { HandleTable } from './handle-table.ts';
import type { Inode } from './inode.ts';
import type { InodeStore, LookupCounts } from './inode-store.ts';
import { LockClient } from './lock-client.ts';
import type { LockTable } from './lock-table.ts';

interface GuestHost {
  readonly fs: FileSystem;
  readonly store: InodeStore;
  readonly locks: LockTable;
}

/** A session, as far as its siblings are concerned. */
export interface Cpu {
  readonly lookups: LookupCounts;
}

export class GuestState {
  readonly handles: HandleTable;
  readonly locks = new LockClient();
  readonly #host: GuestHost;
  readonly #ready = new Set<Cpu>();
  /** There were several CPUs at once: one may name what another has looked up or opened. */
  #hasSiblings = false;

  constructor(host: GuestHost) {
    this.#host = host;
    this.handles = new HandleTable(host.fs, host.store);
  }

  /** Nobody of the guest is there. */
  get isGone(): boolean {
    return this.#ready.size === 0;
  }

  join(cpu: Cpu): void {
    this.#ready.add(cpu);
    this.#hasSiblings ||= this.#ready.size > 1;
  }

  /** What the CPU waits for is given up; with the last one go all locks and handles. */
  leave(cpu: Cpu): void {
    this.#ready.delete(cpu);
    const { locks } = this.#host;
    locks.cancel(this.locks, cpu);
    if (!this.isGone) return;
    this.#hasSiblings = false;
    locks.clear(this.locks);
    this.handles.clear();
  }

  /** The inode that another CPU of the guest knows, or an open file of the guest is: any CPU may name it then. */
  resolve(nodeid: NodeId, asking: Cpu): Inode | undefined {
    if (!this.#hasSiblings) return undefined;
    const open = this.handles.inode(nodeid);
    if (open !== undefined) return open;
    for (const cpu of this.#ready) {
      const inode = cpu === asking ? undefined : cpu.lookups.resolve(nodeid);
      if (inode !== undefined) return inode;
    }
    return undefined;
  }
}
