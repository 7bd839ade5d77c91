/**
 * Runs a body once for every sequence of choices it makes: `every((choose) => … choose(3) …)`. The body must make the
 * same choices when it is given the same answers. Returns how many runs there were.
 */
export function every(body: (choose: (count: number) => number) => void): number {
  const answers: number[] = [];
  const counts: number[] = [];
  let runs = 0;
  for (;;) {
    let at = 0;
    body((count) => {
      if (at === answers.length) answers.push(0);
      counts[at] = count;
      return answers[at++] as number;
    });
    runs++;
    answers.length = at;
    while (
      answers.length > 0 &&
      (answers[answers.length - 1] as number) + 1 >= (counts[answers.length - 1] as number)
    ) {
      answers.pop();
    }
    if (answers.length === 0) return runs;
    answers[answers.length - 1] = (answers[answers.length - 1] as number) + 1;
  }
}

/** Threads as generators: each `yield` is a point where another thread may run. Explores every interleaving. */
export function everyInterleaving(makeThreads: () => { threads: Generator<void>[]; check: () => void }): number {
  return every((choose) => {
    const { threads, check } = makeThreads();
    const live = threads.slice();
    while (live.length > 0) {
      const index = live.length === 1 ? 0 : choose(live.length);
      if ((live[index] as Generator<void>).next().done) live.splice(index, 1);
    }
    check();
  });
}
