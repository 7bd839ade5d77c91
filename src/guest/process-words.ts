/**
 * Where everything of a shared process lies: one buffer of its own, so that it costs nothing until it is touched, is
 * no concern of the host's, and goes with the last worker that has it.
 *
 *   header │ threads │ groups │ descriptors │ descriptions │ paths of directories
 *
 * Writers: who holds the process's lock, unless a line says something else.
 */

/** Running, and then over: by its own exit, or because one of its threads died. */
export const RUNNING = 1;
export const EXITED = 2;
export const KILLED = 3;

/** Writers: compare-and-swap by anybody, from RUNNING on. */
export const STATE = 0;
/** The process's lock: mutex.ts. */
export const LOCK = 1;
/** Counts descriptions that were released, so that threads drop what they keep of them. Writers: atomic add. */
export const RELEASES = 2;
/** Counts changes of the working directory, the root and the credentials. */
export const CONTEXT = 3;
/** Descriptions, by index. */
export const CWD = 4;
export const ROOT = 5;
/** The process as an owner of record locks: two words. */
export const LOCK_OWNER = 6;
/** 1: it may have record locks. Writer: anybody, only ever to 1. */
export const HAS_LOCKS = 8;
export const UID = 9;
export const GID = 10;
export const PID = 11;
export const UMASK = 12;
/** −1: no groups are known. */
export const GROUP_COUNT = 13;
/** 1: somebody takes back what a killed process had. Writer: compare-and-swap. */
export const REAPED = 14;
/** A word per thread: 0, or 1 + the number of its CPU. */
export const THREADS = 16;
export const THREADS_MAX = 64;
export const GROUPS = THREADS + THREADS_MAX;
export const GROUPS_MAX = 64;

/** A word per descriptor, 0 = free: see `entryOf`. */
export const DESCRIPTORS = GROUPS + GROUPS_MAX;
export const DESCRIPTORS_MAX = 1024;

/** Room for all descriptors, and the working directories and roots that threads use. */
export const DESCRIPTIONS_MAX = DESCRIPTORS_MAX + 4 * THREADS_MAX;
const DESCRIPTIONS = DESCRIPTORS + DESCRIPTORS_MAX;
export const DESCRIPTION_WORDS = 32;
/**
 * > 0: descriptors, running calls, mappings, threads' directories that need it. 0: free. TAKEN: it goes, and
 * belongs to who made it so. Writers: 0 → 1 under the lock; counted up by compare-and-swap from > 0, down by
 * anybody who counted up; 1 → TAKEN → 0 by whoever gave up the last.
 */
export const COUNT = 0;
export const TAKEN = -1;
/** Counts the descriptions that the place was used for. */
export const GENERATION = 1;
/** Lock of the position: mutex.ts. What is said to be "positioned" below is written by who has it. */
export const POSITION_LOCK = 2;
/** open(2) flags; positioned. */
export const FLAGS = 3;
export const OPEN_FLAGS = 4;
export const FH = 5;
export const NODEID = 7;
export const INODE_GENERATION = 9;
/** S_IFMT bits and these. */
export const KIND = 11;
export const KIND_HANDLE = 1;
export const KIND_DAX = 2;
/** Two words: positioned; of a directory, the host's cookie. */
export const POSITION = 12;
/** 1: the position is the end of the file, wherever that is; positioned. */
export const AT_END = 14;
export const FLOCK_OWNER = 15;
/** 1: it may have a flock lock. Writer: anybody, only ever to 1. */
export const HAS_FLOCK = 17;
/** Counts seekdir(3) and rewinddir(3): what was read ahead is void; positioned. */
export const REWINDS = 18;
/** Bytes of a directory's path. */
export const PATH_SIZE = 19;

export const PATH_ROOM = 4096;
export const PATHS = DESCRIPTIONS + DESCRIPTIONS_MAX * DESCRIPTION_WORDS;
export const PROCESS_BYTES = PATHS * 4 + DESCRIPTIONS_MAX * PATH_ROOM;

const INDEX_BITS = 11;
const INDEX_MASK = (1 << INDEX_BITS) - 1;
const GENERATION_MASK = (1 << 18) - 1;
const CLOSES_ON_EXEC = 1 << 30;

/** What a descriptor's word says: which description, of which generation, and FD_CLOEXEC. */
export function entryOf(index: number, generation: number, closesOnExec: boolean): number {
  return (index + 1) | ((generation & GENERATION_MASK) << INDEX_BITS) | (closesOnExec ? CLOSES_ON_EXEC : 0);
}

export function indexOf(entry: number): number {
  return (entry & INDEX_MASK) - 1;
}

export function closesOnExec(entry: number): boolean {
  return (entry & CLOSES_ON_EXEC) !== 0;
}

/** The word at which a description starts. */
export function descriptionAt(index: number): number {
  return DESCRIPTIONS + index * DESCRIPTION_WORDS;
}
