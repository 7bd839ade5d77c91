/**
 * The protocol of process-table.ts and shared-descriptors.ts as steps of threads, one shared access per step.
 * A step can be left out, and a thread can die after any step.
 */
import type { Steps } from '../every.ts';

/** What may be left out, to see that it is needed. */
export type Omission =
  | 'look at the entry again'
  | 'count only what is counted'
  | 'take the place before releasing it'
  | 'count before naming'
  | 'say that something was released before freeing its place'
  | 'lock'
  | 'look for the death of who has the lock'
  | 'release';

export type Op = 'open' | 'close' | 'read' | 'dup';

interface Entry {
  readonly index: number;
  readonly generation: number;
}

interface Place {
  count: number;
  generation: number;
  fh: number;
}

interface Own {
  readonly fh: number;
  readonly generation: number;
}

const TAKEN = -1;
const FDS = 3;

export class Model {
  readonly violations: string[] = [];
  state: 'running' | 'killed' = 'running';
  readonly #omitted: Omission | undefined;
  readonly #entries: (Entry | undefined)[] = new Array(FDS).fill(undefined);
  readonly #places: Place[] = Array.from({ length: FDS }, () => ({ count: 0, generation: 0, fh: 0 }));
  /** Open at the host, and those that a thread has got and told nobody of. */
  readonly #handles = new Set<number>();
  readonly #untold = new Map<number, number>();
  readonly #dead = new Set<number>();
  readonly #own: Map<number, Own>[] = [new Map(), new Map(), new Map(), new Map()];
  readonly #sweptAt = [0, 0, 0, 0];
  /** For each call that runs: handles that its descriptor named since it began. */
  readonly #named = new Map<number, { readonly fd: number; readonly handles: Set<number> }>();
  #releases = 0;
  #lock = 0;
  #lastFh = 0;

  /** Descriptor 0 is open, from thread 1, and both know it. */
  constructor(omitted?: Omission) {
    this.#omitted = omitted;
    const fh = this.#openAtHost();
    this.#places[0] = { count: 1, generation: 1, fh };
    this.#name(0, { index: 0, generation: 1 });
    for (const own of this.#own) own.set(0, { fh, generation: 1 });
  }

  *run(me: number, ops: readonly Op[]): Steps {
    for (const op of ops) {
      if (op === 'open') yield* this.#open(me);
      else if (op === 'close') yield* this.#close(me, 0);
      else if (op === 'dup') yield* this.#dup(me);
      else yield* this.#read(me, 0);
    }
  }

  /** Runs a thread that dies after so many steps. */
  *runUntil(me: number, ops: readonly Op[], steps: number): Steps {
    const thread = this.run(me, ops);
    for (let i = 0; i < steps; i++) {
      const next = thread.next();
      if (next.done) return;
      yield next.value;
    }
    this.#dead.add(me);
    this.#named.delete(me);
  }

  /** The process ends: nothing may be left at the host. */
  end(): void {
    if (this.#dead.size > 0) this.state = 'killed';
    if (this.state === 'running') {
      for (let fd = 0; fd < FDS; fd++) {
        const entry = this.#entries[fd];
        this.#name(fd, undefined);
        if (entry !== undefined) for (const _ of this.#drop(0, entry.index));
      }
    } else {
      for (const place of this.#places) if (place.count !== 0) this.#handles.delete(place.fh);
    }
    for (const [thread, fh] of this.#untold) if (this.#dead.has(thread)) this.#handles.delete(fh);
    if (this.#handles.size > 0) this.violations.push('a handle is left');
  }

  #has(step: Omission): boolean {
    return this.#omitted !== step;
  }

  #name(fd: number, entry: Entry | undefined): void {
    this.#entries[fd] = entry;
    for (const call of this.#named.values()) if (call.fd === fd) this.#noteNamed(call);
  }

  #noteNamed({ fd, handles }: { readonly fd: number; readonly handles: Set<number> }): void {
    const entry = this.#entries[fd];
    if (entry !== undefined) handles.add(this.#places[entry.index]?.fh ?? 0);
  }

  #openAtHost(): number {
    this.#handles.add(++this.#lastFh);
    return this.#lastFh;
  }

  *#take(me: number): Generator<() => boolean, boolean, void> {
    if (!this.#has('lock')) return true;
    const isAbandoned = () => this.#has('look for the death of who has the lock') && this.#dead.has(this.#lock);
    yield () => this.#lock === 0 || isAbandoned() || this.state !== 'running';
    if (isAbandoned()) this.state = 'killed';
    if (this.state !== 'running') return false;
    this.#lock = me;
    return true;
  }

  *#open(me: number): Steps {
    yield;
    const fh = this.#openAtHost();
    this.#untold.set(me, fh);
    if (!(yield* this.#take(me))) return this.#giveUp(me, fh);
    const index = this.#places.findIndex(({ count }) => count === 0);
    const fd = this.#entries.indexOf(undefined);
    const place = this.#places[index] as Place;
    place.generation++;
    place.fh = fh;
    const { generation } = place;
    this.#own[me]?.set(index, { fh, generation });
    yield;
    if (this.#has('count before naming')) place.count = 1;
    else this.#name(fd, { index, generation });
    this.#untold.delete(me);
    yield;
    if (this.#has('count before naming')) this.#name(fd, { index, generation });
    else place.count = 1;
    yield;
    this.#lock = 0;
  }

  #giveUp(me: number, fh: number): void {
    this.#handles.delete(fh);
    this.#untold.delete(me);
  }

  *#dup(me: number): Steps {
    if (!(yield* this.#take(me))) return;
    const entry = this.#entries[0];
    const to = this.#entries.indexOf(undefined);
    if (entry !== undefined) {
      (this.#places[entry.index] as Place).count++;
      yield;
      this.#name(to, entry);
    }
    yield;
    this.#lock = 0;
  }

  *#close(me: number, fd: number): Steps {
    if (!(yield* this.#take(me))) return;
    const entry = this.#entries[fd];
    yield;
    this.#name(fd, undefined);
    yield;
    this.#lock = 0;
    if (entry !== undefined) yield* this.#drop(me, entry.index);
  }

  *#drop(me: number, index: number): Steps {
    const place = this.#places[index] as Place;
    yield;
    if (place.count <= 0) return;
    const isLast = place.count === 1;
    place.count = isLast && this.#has('take the place before releasing it') ? TAKEN : place.count - 1;
    if (!isLast) return;
    this.#own[me]?.delete(index);
    yield;
    const { fh } = place;
    if (this.#has('release') && !this.#handles.delete(fh)) this.violations.push('a handle is released twice');
    yield;
    if (this.#has('say that something was released before freeing its place')) this.#releases++;
    else place.count = 0;
    yield;
    if (this.#has('say that something was released before freeing its place')) place.count = 0;
    else this.#releases++;
  }

  *#read(me: number, fd: number): Steps {
    const call = { fd, handles: new Set<number>() };
    this.#named.set(me, call);
    this.#noteNamed(call);
    const index = yield* this.#acquire(me, fd);
    if (index >= 0) {
      yield;
      if (this.#sweptAt[me] !== this.#releases) this.#sweep(me);
      const { fh, generation } = this.#places[index] as Place;
      const own = this.#own[me]?.get(index) ?? { fh, generation };
      this.#own[me]?.set(index, own);
      yield;
      if (this.state === 'running' && !this.#handles.has(own.fh)) this.violations.push('a call met a released handle');
      if (!call.handles.has(own.fh)) this.violations.push('a call met a handle that its descriptor never named');
      yield* this.#drop(me, index);
    }
    this.#named.delete(me);
  }

  *#acquire(me: number, fd: number): Generator<(() => boolean) | undefined, number, void> {
    for (;;) {
      yield;
      const entry = this.#entries[fd];
      if (entry === undefined || this.state !== 'running') return -1;
      const place = this.#places[entry.index] as Place;
      yield;
      if (place.count <= 0 && this.#has('count only what is counted')) {
        // It tries again until something has changed.
        yield () => this.#entries[fd] !== entry || place.count > 0 || this.state !== 'running';
        continue;
      }
      place.count++;
      yield;
      if (!this.#has('look at the entry again')) return entry.index;
      const again = this.#entries[fd];
      if (again?.index === entry.index && again.generation === entry.generation) return entry.index;
      yield* this.#drop(me, entry.index);
    }
  }

  #sweep(me: number): void {
    this.#sweptAt[me] = this.#releases;
    for (const [index, own] of this.#own[me] ?? []) {
      const place = this.#places[index] as Place;
      if (place.count <= 0 || place.generation !== own.generation) this.#own[me]?.delete(index);
    }
  }
}
