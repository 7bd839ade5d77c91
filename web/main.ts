/** The page: runs the script with workers, or inline where there is no shared memory, and shows what came out. */
import { IsolationError } from '../src/index.ts';
import type { FromInline } from './messages.ts';
import type { PageResult, RunReport } from './report.ts';
import { runScript, type ScriptOptions } from './script.ts';
import { View } from './view.ts';
import { startWorkers } from './worker-crew.ts';

declare global {
  interface Window {
    /** The last run's result, for tests and for the console. */
    virtiofsResult?: PageResult;
    /** Why the last run failed. */
    virtiofsError?: string;
  }
}

const view = new View((casualty) => void run({ casualty }));
void run({ casualty: new URLSearchParams(location.search).has('terminate') });

async function run(options: ScriptOptions): Promise<void> {
  delete window.virtiofsResult;
  delete window.virtiofsError;
  view.begin();
  try {
    const result = await runAnyWay(options);
    view.show(result);
    window.virtiofsResult = result;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    view.fail(text);
    window.virtiofsError = text;
  }
}

async function runAnyWay(options: ScriptOptions): Promise<PageResult> {
  const { crossOriginIsolated } = window;
  try {
    const crew = await startWorkers();
    const report = await runScript(crew, options, view);
    return { ...report, crossOriginIsolated, isolationError: undefined };
  } catch (error) {
    if (!(error instanceof IsolationError)) throw error;
    view.explain(error.message);
    return { ...(await runInline()), crossOriginIsolated, isolationError: error.message };
  }
}

/** Inline host and guests block their thread: it is a worker's, not the page's. */
function runInline(): Promise<RunReport> {
  const worker = new Worker(new URL('./inline-worker.js', import.meta.url), { type: 'module' });
  const ended = new Promise<RunReport>((resolve, reject) => {
    worker.addEventListener('error', (event) => reject(new Error(event.message || 'the inline worker failed to load')));
    worker.addEventListener('message', (event) => {
      const message = event.data as FromInline;
      if (message.type === 'phase') view.enter(message.phase);
      else if (message.type === 'progress') view.progress(message.self, message.done, message.total);
      else if (message.type === 'report') resolve(message.report);
      else reject(new Error(message.message));
    });
  });
  return ended.finally(() => worker.terminate());
}
