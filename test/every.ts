/**
 * Runs a body once for every combination of its choices.
 *
 * The body asks `choose(n)` for a number below n, as often as it likes; it must depend on nothing else. Runs go through
 * the choices like a counter with digits of changing base, so none is missed and none comes twice.
 */

export type Choose = (count: number) => number;

/** Returns how many runs there were. */
export function every(body: (choose: Choose) => void): number {
  const taken: number[] = [];
  const counts: number[] = [];
  let runs = 0;
  for (;;) {
    let depth = 0;
    body((count) => {
      if (depth === taken.length) taken.push(0);
      counts[depth] = count;
      return taken[depth++] as number;
    });
    runs++;
    while (taken.length > 0 && (taken.at(-1) as number) + 1 === counts[taken.length - 1]) taken.pop();
    if (taken.length === 0) return runs;
    taken[taken.length - 1] = (taken.at(-1) as number) + 1;
  }
}

/** A thread of a model: it does one step per `next`, and says at each stop what it waits for, if anything. */
export type Steps = Generator<(() => boolean) | undefined, void, void>;

/** Runs the threads under one schedule; returns false if some are left waiting for what never comes. */
export function schedule(choose: Choose, threads: readonly Steps[]): boolean {
  const waitsFor: ((() => boolean) | undefined)[] = threads.map(() => undefined);
  const isDone = threads.map(() => false);
  for (;;) {
    const runnable = threads.map((_, i) => i).filter((i) => !isDone[i] && (waitsFor[i]?.() ?? true));
    if (runnable.length === 0) return isDone.every(Boolean);
    const i = runnable[runnable.length === 1 ? 0 : choose(runnable.length)] as number;
    const result = (threads[i] as Steps).next();
    if (result.done) isDone[i] = true;
    else waitsFor[i] = result.value;
  }
}
