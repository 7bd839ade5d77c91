/** The FUSE server of one file system: sessions in, replies out. It knows no transport. */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { SegmentList } from '../virtio/chain.ts';
import type { FileSystem } from './file-system.ts';
import { GuestState } from './guest-state.ts';
import { InodeStore } from './inode-store.ts';
import { LockTable } from './lock-table.ts';
import type { Log } from './log.ts';
import { Announcer } from './notify.ts';
import { MapCounts } from './range-allocator.ts';
import { SESSION_DEFAULTS, Session, type SessionHost, type SessionOptions } from './session.ts';

export interface ServerOptions {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly log: Log;
  /** Host memory that nobody else uses: COPY_FILE_RANGE moves its bytes through it; without it that is ENOSYS. */
  readonly scratch?: SegmentList;
}

export class Server implements SessionHost {
  readonly fs: FileSystem;
  readonly store: InodeStore;
  readonly locks = new LockTable();
  /** Tells clients that cache what others change. */
  readonly announcer = new Announcer();
  readonly mapCounts = new MapCounts();
  readonly clock: Clock;
  readonly log: Log;
  readonly scratch: SegmentList | undefined;
  readonly #sessions = new Set<Session>();
  /** Guests that may have several sessions, by number. */
  readonly #guests = new Map<number, GuestState>();

  constructor(options: ServerOptions) {
    this.fs = options.fs;
    this.store = new InodeStore(options.fs);
    this.clock = options.clock;
    this.log = options.log;
    this.scratch = options.scratch;
  }

  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** `guest`: sessions opened with the same number are CPUs of one guest; without one, it is a guest of its own. */
  openSession(options: Partial<SessionOptions> = {}, guest?: number): Session {
    const state = this.#guest(guest);
    const session = new Session(this, { ...SESSION_DEFAULTS, ...options }, state, (closed) => this.#remove(closed));
    this.#sessions.add(session);
    return session;
  }

  /** Ends every session, then the file system. */
  close(): void {
    for (const session of [...this.#sessions]) session.close();
    this.fs.destroy();
  }

  #remove(session: Session): void {
    this.#sessions.delete(session);
    this.announcer.removeSession(session);
    for (const other of this.#sessions) if (other.guest === session.guest) return;
    for (const [number, guest] of this.#guests) if (guest === session.guest) this.#guests.delete(number);
  }

  #guest(number: number | undefined): GuestState {
    const known = number === undefined ? undefined : this.#guests.get(number);
    if (known !== undefined) return known;
    const guest = new GuestState(this);
    if (number !== undefined) this.#guests.set(number, guest);
    return guest;
  }

  /** Throws if an invariant does not hold. */
  checkInvariants(): void {
    this.store.checkInvariants();
    this.locks.checkInvariants();
    for (const session of this.#sessions) {
      session.checkInvariants();
      assert(session.state !== 'closed', 'a closed session is still listed');
    }
  }
}
