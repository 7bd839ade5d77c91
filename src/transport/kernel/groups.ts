/** Supplementary groups of the processes that use a mount: a request names one group only, /proc knows the others. */
import { readFileSync } from 'node:fs';

const LINE = /^Groups:([\d\t ]*)$/m;
const NONE: readonly number[] = [];

/** The groups of the thread that made a request: it waits for our answer, so it is still there. SPEC: proc(5). */
export function groupsOf(pid: number): readonly number[] {
  // The kernel itself, writing back, or somebody of another pid namespace.
  if (pid === 0) return NONE;
  try {
    const numbers = LINE.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]?.trim() ?? '';
    return numbers === '' ? NONE : numbers.split(' ').map(Number);
  } catch {
    // Killed while it waited, or no procfs: it counts as in no other group.
    return NONE;
  }
}
