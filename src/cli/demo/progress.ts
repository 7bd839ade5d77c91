/** One line on a terminal that is written over; nothing in a pipe. */
export class Progress {
  readonly #isShown: boolean;
  #lastMs = 0;

  constructor(isShown: boolean) {
    this.#isShown = isShown;
  }

  show(text: string): void {
    const now = performance.now();
    if (!this.#isShown || now - this.#lastMs < 50) return;
    this.#lastMs = now;
    const room = (process.stdout.columns ?? 80) - 1;
    process.stdout.write(`\r\x1b[2K${text.slice(0, room)}`);
  }

  clear(): void {
    if (this.#isShown) process.stdout.write('\r\x1b[2K');
  }
}
