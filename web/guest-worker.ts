/** A guest of the page: mounts the attachments it is sent, runs tasks on them, reports. */
import type { Guest } from '../src/index.ts';
import { mount } from '../src/worker/mount.ts';
import { parentPort } from '../src/worker/threads.ts';
import type { FromGuest, ToGuest } from './messages.ts';
import { disturb, type Progress, runTask } from './tasks.ts';

const DISTURB_PROGRESS_EVERY = 20;

const port = await parentPort();
const say = (message: FromGuest): void => port.post(message);
const progress: Progress = (done, total) => say({ type: 'progress', done, total });
let guest: Guest | undefined;
port.onMessage((message) => void answer(message as ToGuest));

async function answer(message: ToGuest): Promise<void> {
  try {
    say({ type: 'done', value: await handle(message) });
  } catch (error) {
    say({ type: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

async function handle(message: ToGuest): Promise<unknown> {
  if (message.type === 'hold') return hold(message.lock);
  if (message.type === 'mount') {
    guest = mount(message.attachment, { dax: message.dax ? 'always' : 'never' });
    return undefined;
  }
  if (guest === undefined) throw new Error(`${message.type} before mount`);
  if (message.type === 'task') return runTask(guest, message.self, message.task, progress);
  if (message.type === 'disturb') return runDisturb(guest);
  guest.unmount();
  guest = undefined;
  return undefined;
}

/** Resolves when the lock is ours. The browser takes it back when this worker has really ended, and not before. */
function hold(lock: string): Promise<void> {
  return new Promise((resolve) => {
    void navigator.locks.request(lock, () => {
      resolve();
      return new Promise<never>(() => {});
    });
  });
}

/** Goes back to the event loop now and then: browsers let a worker that never does live on for seconds. */
async function runDisturb(over: Guest): Promise<void> {
  for (const step of disturb(over)) {
    if (step % DISTURB_PROGRESS_EVERY !== 0) continue;
    progress(step, step);
    await new Promise((resolve) => setTimeout(resolve));
  }
}
