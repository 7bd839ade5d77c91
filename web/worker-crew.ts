/** The crew of an isolated page: a host worker, and a module worker for each guest. */
import { type Attachment, createHost, type Host, type HostReport } from '../src/index.ts';
import { type Casualty, CREW_OPTIONS, type Crew, type GuestProgress, type TaskOf } from './crew.ts';
import type { FromGuest, ToGuest } from './messages.ts';
import { GUESTS, type TaskResults } from './tasks.ts';

/** Room for those who leave while the next ones come. */
const SLOTS = 3 * GUESTS;

/** Starts the host and the guests' workers. Throws an IsolationError on a page that is not isolated. */
export async function startWorkers(): Promise<WorkerCrew> {
  const host = await createHost({ ...CREW_OPTIONS, guests: SLOTS });
  try {
    const workers = await Promise.all(Array.from({ length: GUESTS }, () => GuestWorker.start(host)));
    return new WorkerCrew(host, workers);
  } catch (error) {
    await host.terminate();
    throw error;
  }
}

export class WorkerCrew implements Crew {
  readonly mode = 'workers';
  readonly windowBytes = CREW_OPTIONS.windowSize;
  readonly #host: Host;
  readonly #workers: readonly GuestWorker[];
  #casualty: GuestWorker | undefined;

  /** Use startWorkers. */
  constructor(host: Host, workers: readonly GuestWorker[]) {
    this.#host = host;
    this.#workers = workers;
  }

  async mount(dax: boolean): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.mount(dax)));
  }

  runOne<T extends keyof TaskResults>(task: TaskOf<T>, progress: GuestProgress): Promise<TaskResults[T]> {
    return this.#run(0, task, progress);
  }

  runAll<T extends keyof TaskResults>(task: TaskOf<T>, progress: GuestProgress): Promise<TaskResults[T][]> {
    return Promise.all(this.#workers.map((_, self) => this.#run(self, task, progress)));
  }

  async unmount(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.call({ type: 'unmount' })));
  }

  async startCasualty(): Promise<Casualty> {
    const worker = await GuestWorker.start(this.#host);
    this.#casualty = worker;
    await worker.mount(true);
    const casualty = { steps: 0, terminate: () => worker.end() };
    await new Promise<void>((resolve, reject) => {
      worker.onProgress = (done) => {
        casualty.steps = done;
        resolve();
      };
      worker.call({ type: 'disturb' }).catch(reject);
    });
    return casualty;
  }

  async stop(): Promise<HostReport | undefined> {
    await Promise.all([...this.#workers, this.#casualty].map((worker) => worker?.end()));
    return this.#host.stop();
  }

  #run<T extends keyof TaskResults>(self: number, task: TaskOf<T>, progress: GuestProgress): Promise<TaskResults[T]> {
    const worker = this.#workers[self] as GuestWorker;
    worker.onProgress = (done, total) => progress(self, done, total);
    return worker.call({ type: 'task', self, task }) as Promise<TaskResults[T]>;
  }
}

/** The page's end of one guest worker: one call at a time. */
class GuestWorker {
  onProgress: (done: number, total: number) => void = () => {};
  readonly #host: Host;
  readonly #worker = new Worker(new URL('./guest-worker.js', import.meta.url), { type: 'module' });
  readonly #ended: Promise<void>;
  #attachment: Attachment | undefined;
  #resolve: (value: unknown) => void = () => {};
  #reject: (error: Error) => void = () => {};

  static async start(host: Host): Promise<GuestWorker> {
    const lock = `virtiofs guest ${crypto.randomUUID()}`;
    let ended = () => {};
    const guest = new GuestWorker(
      host,
      new Promise((resolve) => {
        ended = resolve;
      }),
    );
    await guest.call({ type: 'hold', lock });
    void navigator.locks.request(lock, ended);
    return guest;
  }

  private constructor(host: Host, ended: Promise<void>) {
    this.#host = host;
    this.#ended = ended;
    this.#worker.addEventListener('message', (event) => this.#hear(event.data as FromGuest));
    this.#worker.addEventListener('error', (event) => {
      this.#reject(new Error(event.message || 'a guest worker failed to load'));
    });
  }

  call(message: ToGuest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#worker.postMessage(message);
    });
  }

  async mount(dax: boolean): Promise<void> {
    this.#attachment = this.#host.attach();
    await this.call({ type: 'mount', attachment: this.#attachment, dax });
  }

  /** Browsers end a worker some time after `terminate`; only then may its slot be given to another guest. */
  async end(): Promise<void> {
    this.onProgress = () => {};
    this.#worker.terminate();
    await this.#ended;
    if (this.#attachment !== undefined) this.#host.detach(this.#attachment);
  }

  #hear(message: FromGuest): void {
    if (message.type === 'progress') this.onProgress(message.done, message.total);
    else if (message.type === 'done') this.#resolve(message.value);
    else this.#reject(new Error(message.message));
  }
}
