/**
 * Gives lookups back. Every entry reply counted one on the host; when an inode leaves the cache all of them are
 * returned at once, several inodes in one BATCH_FORGET. Nobody waits for it.
 */
import { BatchForgetIn, ForgetIn, ForgetOne } from '../wire/fuse.ts';
import type { NodeId } from '../wire/ids.ts';
import { OPS } from '../wire/ops.ts';
import { sizeOf } from '../wire/struct.ts';
import type { Session } from './session.ts';

/** 16 bytes each: what a posted request holds. */
const BATCH = 60;
const FORGET_IN_SIZE = sizeOf(ForgetIn);
const BATCH_IN_SIZE = sizeOf(BatchForgetIn);
const ONE_SIZE = sizeOf(ForgetOne);

export class Forgets {
  readonly #session: Session;
  readonly #nodeids = new Float64Array(BATCH);
  readonly #counts = new Float64Array(BATCH);
  #pending = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Inodes whose lookups wait to be given back. */
  get pending(): number {
    return this.#pending;
  }

  /** Returns `nlookup` lookups of an inode, with the next batch. */
  add(nodeid: NodeId, nlookup: number): void {
    this.#nodeids[this.#pending] = nodeid;
    this.#counts[this.#pending] = nlookup;
    this.#pending++;
    this.#session.counters.forgets += nlookup;
    if (this.#pending === BATCH) this.flush();
  }

  /** Posts what is pending. */
  flush(): void {
    if (this.#pending === 0) return;
    // ORDER: a RELEASE names its inode, so it must be taken before the FORGET, which travels on another queue.
    this.#session.drain();
    if (this.#pending === 1) this.#postOne();
    else this.#postBatch();
    this.#pending = 0;
  }

  #postOne(): void {
    const session = this.#session;
    const at = session.begin(OPS.FORGET.code, this.#nodeids[0] as NodeId, FORGET_IN_SIZE, 0);
    ForgetIn.nlookup.set(session.channel.view, at, this.#counts[0] as number);
    session.post();
  }

  #postBatch(): void {
    const session = this.#session;
    const { view } = session.channel;
    const size = BATCH_IN_SIZE + this.#pending * ONE_SIZE;
    const at = session.begin(OPS.BATCH_FORGET.code, 0 as NodeId, size, 0);
    BatchForgetIn.count.set(view, at, this.#pending);
    for (let i = 0; i < this.#pending; i++) {
      ForgetOne.nodeid.set(view, at + BATCH_IN_SIZE + i * ONE_SIZE, this.#nodeids[i] as number);
      ForgetOne.nlookup.set(view, at + BATCH_IN_SIZE + i * ONE_SIZE, this.#counts[i] as number);
    }
    session.post();
  }
}
