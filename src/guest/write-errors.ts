/**
 * Errors of writes that nobody waited for. Each is told once to every open file description that was open then, by its
 * fsync, msync or close; one that was told to nobody yet, to those opened later, too.
 * SPEC: Linux, errseq_t; dropping caches tells nobody, and so loses nothing.
 */
import { type Errno, OK } from '../wire/errno.ts';

export class WriteErrors {
  #errno: Errno = OK;
  #count = 0;
  #isTold = true;

  add(errno: Errno): void {
    this.#errno = errno;
    this.#count++;
    this.#isTold = false;
  }

  /** What a description that is opened now has been told of. */
  get seen(): number {
    return this.#isTold ? this.#count : this.#count - 1;
  }

  /** What is to be told to who has been told of `seen`; OK: nothing. It has been told of all then. */
  tell(who: { errorsSeen: number }): Errno {
    if (who.errorsSeen === this.#count) return OK;
    who.errorsSeen = this.#count;
    this.#isTold = true;
    return this.#errno;
  }
}
