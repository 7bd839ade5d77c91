/** Listing a directory of a memory file system. */
import { bytesOfText } from '../base/bytes.ts';
import type { Clock, Timespec } from '../base/clock.ts';
import type { DirSink, DirStream } from '../host/file-system.ts';
import { ENOENT, type Errno, OK } from '../wire/errno.ts';
import { S_IFDIR } from '../wire/mode.ts';
import { DOT_COOKIE, DOTDOT_COOKIE } from './memory-entries.ts';
import type { MemoryDirectory } from './memory-inode.ts';

const DOT = bytesOfText('.');
const DOTDOT = bytesOfText('..');

/**
 * A listing that ends: what appears after it began is not in it. Else whoever renames each file that is listed would
 * meet every new name again, for ever.
 */
export class MemoryStream implements DirStream {
  readonly #directory: MemoryDirectory;
  readonly #clock: Clock;
  readonly #now: Timespec = { sec: 0, nsec: 0 };
  #last: number;

  constructor(directory: MemoryDirectory, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
    this.#last = directory.entries.lastCookie;
  }

  read(offset: number, sink: DirSink): Errno {
    this.#clock.realtime(this.#now);
    this.#directory.accessed(this.#now);
    // SPEC: rewinddir(3): as a new opendir would see it.
    if (offset === 0) this.#last = this.#directory.entries.lastCookie;
    return listDirectory(this.#directory, offset, this.#last, sink);
  }

  close(): void {}
}

/** Offers the entries after the cookie `offset`, "." and ".." first. */
function listDirectory(directory: MemoryDirectory, offset: number, last: number, sink: DirSink): Errno {
  if (directory.isDead) return ENOENT;
  if (offset < DOT_COOKIE && !sink.add(DOT, directory.ino, S_IFDIR, DOT_COOKIE)) return OK;
  if (offset < DOTDOT_COOKIE && !sink.add(DOTDOT, directory.parent.ino, S_IFDIR, DOTDOT_COOKIE)) return OK;
  directory.entries.listAfter(offset, last, (entry, inode) =>
    sink.add(entry.name, inode.ino, inode.type, entry.cookie),
  );
  return OK;
}
