/**
 * The race between "nothing left, going to sleep" and "something new, is it asleep?", over every schedule.
 *
 * First as a small model whose steps are the shared accesses of the real code, one by one. Then with the real queues:
 * a thread is suspended before any shared access by running it again from its start over a log of what it read.
 */
import { expect, test } from 'vitest';
import { needEvent } from '../../src/base/ring-index.ts';
import { type Choose, every, type Steps, schedule } from '../every.ts';
import { isReplayDone, type ReplayThread, replayThreads } from './replay.ts';
import { consumerOf, type Direction, producerOf } from './sleepers.ts';

/** The words both sides share; `event` is the consumer's wish, `idx` the producer's progress. */
interface Model {
  idx: number;
  event: number;
  bell: number;
  served: number;
}

function* producer(model: Model, count: number): Steps {
  for (let n = 0; n < count; n++) {
    const old = model.idx;
    yield; // The entry is written; now idx is stored.
    model.idx = old + 1;
    yield; // Only then the other side's wish is loaded.
    const isWanted = needEvent(model.event & 0xffff, model.idx, old);
    yield;
    if (isWanted) model.bell++;
  }
}

function* consumer(model: Model, count: number, recheck: boolean): Steps {
  while (model.served < count) {
    const seen = model.bell;
    yield; // The bell's count is taken before the ring is looked at.
    while (model.idx !== model.served) {
      model.served++;
      yield;
    }
    if (model.served === count) return;
    yield; // Nothing was found; now the wish is stored.
    model.event = model.served;
    yield; // Only then idx is loaded once more.
    if (recheck && model.idx !== model.served) continue;
    yield () => model.bell !== seen;
  }
}

function lostWakeups(count: number, recheck: boolean): { runs: number; lost: number } {
  let lost = 0;
  const runs = every((choose) => {
    // The consumer is awake when we look first, so the event is one that has just been passed.
    const model: Model = { idx: 0, event: -1, bell: 0, served: 0 };
    if (!schedule(choose, [producer(model, count), consumer(model, count, recheck)])) lost++;
  });
  return { runs, lost };
}

test.each([1, 2])('2.7.10 a sleeper that looks again after its wish sleeps through none of %i entries', (count) => {
  const result = lostWakeups(count, true);
  expect(result.lost).toBe(0);
  expect(result.runs).toBeGreaterThan(10 ** (count - 1));
});

test.each([1, 2])('2.7.10 a sleeper that does not look again sleeps through some of %i entries', (count) => {
  expect(lostWakeups(count, false).lost).toBeGreaterThan(0);
});

/** Runs the real queues under every schedule; a lost wake-up is a run in which someone waits for ever. */
function lostWithQueues(
  direction: Direction,
  eventIndex: boolean,
  count: number,
  recheck: boolean,
): { runs: number; lost: number } {
  let lost = 0;
  const runs = every((choose: Choose) => {
    const threads: ReplayThread[] = replayThreads(
      producerOf(direction, eventIndex, count),
      consumerOf(direction, eventIndex, count, recheck),
    );
    for (;;) {
      const runnable = threads.filter((thread) => thread.isRunnable());
      if (runnable.length === 0) break;
      (runnable[runnable.length === 1 ? 0 : choose(runnable.length)] as ReplayThread).step();
    }
    if (!threads.every(isReplayDone)) lost++;
  });
  return { runs, lost };
}

const directions: readonly (readonly [string, Direction, boolean])[] = [
  ['2.7.10 no kick is lost between the real queues, event index', 'kick', true],
  ['2.7.10 no kick is lost between the real queues, flags', 'kick', false],
  ['2.7.7 no interrupt is lost between the real queues, event index', 'interrupt', true],
  ['2.7.7 no interrupt is lost between the real queues, flags', 'interrupt', false],
];

test.each(directions)('%s', (_, direction, eventIndex) => {
  const results = [1, 2].map((count) => lostWithQueues(direction, eventIndex, count, true));
  expect(results.map((result) => result.lost)).toEqual([0, 0]);
  expect(results[1]?.runs).toBeGreaterThan(1000);
});

test.each(directions)('%s, but many are if the second look is left out', (_, direction, eventIndex) => {
  expect(lostWithQueues(direction, eventIndex, 1, false).lost).toBeGreaterThan(0);
});
