/** Doing nothing for a while, in the calling thread. */

/** Sleeps; where a thread may not (a page's main thread), it looks at the clock until the time has passed. */
export function sleep(ms: number): void {
  const until = performance.now() + ms;
  if (maySleep()) {
    // ORDER: nobody ever notifies this word: only time ends the wait.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  }
  while (performance.now() < until);
}

function maySleep(): boolean {
  return typeof SharedArrayBuffer === 'function' && !('document' in globalThis);
}
