import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { every, type Steps, schedule } from '../every.ts';
import { Model, type Omission, type Op } from './process-model.ts';

const PAIRS: readonly (readonly [readonly Op[], readonly Op[]])[] = [
  [['close', 'open'], ['read']],
  [['dup', 'close'], ['read']],
  [['close', 'open'], ['close']],
  [['close'], ['dup', 'read']],
  [['open'], ['dup']],
  [['dup'], ['close', 'open']],
];

/** Runs every schedule of two threads; returns what went wrong, once each, and how many schedules there were. */
function explore(one: readonly Op[], two: readonly Op[], omitted?: Omission, dies?: number) {
  const found = new Set<string>();
  const runs = every((choose) => {
    const model = new Model(omitted);
    const thread = (me: number, ops: readonly Op[], steps?: number): Steps =>
      steps === undefined ? model.run(me, ops) : model.runUntil(me, ops, steps);
    const isOver = schedule(choose, [thread(1, one, dies), thread(2, two)]);
    if (!isOver) found.add('somebody waits for ever');
    else model.end();
    for (const violation of model.violations) found.add(violation);
  });
  return { found: [...found], runs };
}

test('no schedule of two threads loses a handle, meets a released one, or one that was never meant', () => {
  let count = 0;
  for (const [one, two] of PAIRS) {
    const { found, runs } = explore(one, two);
    expect(found, `${one} | ${two}`).toEqual([]);
    count += runs;
  }
  expect(count).toBeGreaterThan(10_000);
});

test('a thread that dies after any of its steps hangs nobody, and what it had open is given back', () => {
  for (const [one, two] of PAIRS) {
    for (const [dying, other] of [
      [one, two],
      [two, one],
    ] as const) {
      for (let steps = 0; steps < 13; steps++) {
        expect(explore(dying, other, undefined, steps).found, `${dying} dies at ${steps} | ${other}`).toEqual([]);
      }
    }
  }
});

test.each<[Omission, string]>([
  ['look at the entry again', 'a call met a handle that its descriptor never named'],
  ['count only what is counted', 'a handle is released twice'],
  ['take the place before releasing it', 'a handle is released twice'],
  ['lock', 'a handle is left'],
  ['release', 'a handle is left'],
])('left out: %s: %s', (omitted, violation) => {
  const found = new Set(PAIRS.flatMap(([one, two]) => explore(one, two, omitted).found));
  expect([...found]).toContain(violation);
});

test('left out: count before naming: who looks a descriptor up waits for a thread that died', () => {
  const all = [8, 9, 10, 11].map((steps) => explore(['close', 'open'], ['read'], 'count before naming', steps));
  expect(all.flatMap(({ found }) => found)).toContain('somebody waits for ever');
});

/** Three threads have too many schedules for all of them. */
function sample(omitted?: Omission): string[] {
  const prng = new Prng(7);
  const found = new Set<string>();
  for (let i = 0; i < 60_000; i++) {
    const model = new Model(omitted);
    const threads = [model.run(1, ['close']), model.run(2, ['open']), model.run(3, ['read', 'read'])];
    if (!schedule((count) => prng.below(count), threads)) found.add('somebody waits for ever');
    model.end();
    for (const violation of model.violations) found.add(violation);
  }
  return [...found];
}

test('nor do three threads in schedules by chance, but when freed places are told of too late', () => {
  expect(sample()).toEqual([]);
  expect(sample('say that something was released before freeing its place')).toContain('a call met a released handle');
});

test('left out: look for the death of who has the lock: somebody waits for ever', () => {
  const all = Array.from({ length: 8 }, (_, steps) =>
    explore(['close'], ['close'], 'look for the death of who has the lock', steps),
  );
  expect(all.flatMap(({ found }) => found)).toContain('somebody waits for ever');
});
