/** Workers that answer each message with one: the guests of a benchmark. */
import { Worker } from 'node:worker_threads';

export interface Asked<Question, Answer> {
  ask(question: Question): Promise<Answer>;
  /** Tells it to end, and waits until it has. */
  end(): Promise<void>;
}

/** Starts `dist/NAME.js`, which says something when it is ready, answers questions, and leaves at 'end'. */
export async function startWorker<Question, Answer>(name: string, setup: unknown): Promise<Asked<Question, Answer>> {
  const worker = new Worker(new URL(`./${name}.js`, import.meta.url), { workerData: setup });
  await answerOf(worker);
  return {
    ask: async (question) => {
      const answer = answerOf(worker);
      worker.postMessage(question);
      return (await answer) as Answer;
    },
    end: async () => {
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      worker.postMessage('end');
      await ended;
    },
  };
}

function answerOf(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const answered = (value: unknown) => {
      worker.off('error', reject);
      resolve(value);
    };
    worker.once('message', answered);
    worker.once('error', reject);
  });
}
