import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RingFeatures } from '../../src/virtio/layout.ts';
import { type Bundle, bundleWorker } from './bundle.ts';
import { MEMORY_SIZE, type RingReport, type RingWork } from './ring-work.ts';

let bundle: Bundle;

beforeAll(() => {
  bundle = bundleWorker('./ring-worker.ts');
});

afterAll(() => bundle[Symbol.dispose]());

test.each([
  ['event index, indirect, spinning before sleep', 500_000, 200, { eventIndex: true, indirect: true }],
  ['event index, direct, sleeping at once', 50_000, 0, { eventIndex: true, indirect: false }],
  ['flags, indirect, sleeping at once', 50_000, 0, { eventIndex: false, indirect: true }],
])('between two threads, over two rings of 4, no request is lost, doubled or reordered (%s)', async (...row) => {
  const [, requests, spins, features] = row;
  const reports = await runThreads(requests, spins, features);
  expect(reports.map((report) => report.faults)).toEqual([[], []]);
  expect(reports.reduce((sum, report) => sum + report.sleeps, 0)).toBeGreaterThan(0);
});

/** Runs a driver and a device thread over two queues of `requests` requests each. */
async function runThreads(requests: number, spins: number, features: RingFeatures): Promise<readonly RingReport[]> {
  const buffer = new SharedArrayBuffer(MEMORY_SIZE);
  const run = (role: 'driver' | 'device'): Promise<RingReport> => {
    const work: RingWork = { buffer, role, features, size: 4, queues: 2, requests, spins };
    const worker = new Worker(bundle.path, { workerData: work });
    return new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  };
  return Promise.all([run('driver'), run('device')]);
}
