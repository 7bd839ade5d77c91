/** Without shared memory: the host and all guests in this one worker, so that the page stays alive meanwhile. */
import { createInline, type Guest, type HostReport, type InlineHost } from '../src/index.ts';
import { parentPort } from '../src/worker/threads.ts';
import { CREW_OPTIONS, type Crew, type GuestProgress, type TaskOf } from './crew.ts';
import type { FromInline } from './messages.ts';
import { runScript, type Watch } from './script.ts';
import { GUESTS, runTask, type TaskResults } from './tasks.ts';

class InlineCrew implements Crew {
  readonly mode = 'inline';
  readonly windowBytes = CREW_OPTIONS.windowSize;
  readonly #host: InlineHost;
  #guests: readonly Guest[] = [];

  constructor(host: InlineHost) {
    this.#host = host;
  }

  async mount(dax: boolean): Promise<void> {
    this.#guests = Array.from({ length: GUESTS }, () => this.#host.mount({ dax: dax ? 'always' : 'never' }));
  }

  async runOne<T extends keyof TaskResults>(task: TaskOf<T>, progress: GuestProgress): Promise<TaskResults[T]> {
    return this.#run(0, task, progress);
  }

  async runAll<T extends keyof TaskResults>(task: TaskOf<T>, progress: GuestProgress): Promise<TaskResults[T][]> {
    return this.#guests.map((_, self) => this.#run(self, task, progress));
  }

  async unmount(): Promise<void> {
    for (const guest of this.#guests) guest.unmount();
    this.#guests = [];
  }

  async stop(): Promise<HostReport> {
    return this.#host.stop();
  }

  #run<T extends keyof TaskResults>(self: number, task: TaskOf<T>, progress: GuestProgress): TaskResults[T] {
    return runTask(this.#guests[self] as Guest, self, task, (done, total) => progress(self, done, total));
  }
}

const port = await parentPort();
const say = (message: FromInline): void => port.post(message);
try {
  const crew = new InlineCrew(await createInline({ ...CREW_OPTIONS, guests: 3 * GUESTS }));
  const watch: Watch = {
    enter: (phase) => say({ type: 'phase', phase }),
    progress: (self, done, total) => say({ type: 'progress', self, done, total }),
  };
  say({ type: 'report', report: await runScript(crew, { casualty: false }, watch) });
} catch (error) {
  say({ type: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
