/** What the models of the page protocol share: one page, one guest, and a search through all schedules. */
import { expect } from 'vitest';
import { type Choose, every, type Steps, schedule } from '../every.ts';

/** A frame: whose page it is, and its one byte. */
export interface Frame {
  owner: 'file' | 'other';
  value: number;
}

export interface World {
  /** The page table entry. */
  frame: Frame | undefined;
  present: boolean;
  dirty: boolean;
  pins: number;
  /** The file has the page: not cut. */
  isInFile: boolean;
  epoch: number;
  generation: number;
  /** The guest runs no more code. */
  isDead: boolean;
  faulted: boolean;
  backing: number;
  /** What went wrong. */
  readonly wrong: string[];
}

function fresh(): World {
  const frame: Frame = { owner: 'file', value: 0 };
  return {
    frame,
    present: true,
    dirty: false,
    pins: 0,
    isInFile: true,
    epoch: 0,
    generation: 0,
    isDead: false,
    faulted: false,
    backing: 0,
    wrong: [],
  };
}

export function put(world: World, frame: Frame, value: number): void {
  if (frame.owner === 'other') world.wrong.push('a store hit the next owner of the frame');
  frame.value = value;
}

/** What the file's page holds for whoever looks. */
export function content(world: World): number {
  return world.frame?.owner === 'file' ? world.frame.value : world.backing;
}

type Story = (world: World, choose: Choose) => { threads: Steps[]; check: () => void };

/** Thrown to end the search. */
class Found extends Error {}

/** Runs all schedules, up to the first one in which something goes wrong; returns what that was. */
export function explore(story: Story): readonly string[] {
  let wrong: readonly string[] = [];
  try {
    const runs = every((choose) => {
      const world = fresh();
      const { threads, check } = story(world, choose);
      if (!schedule(choose, threads)) world.wrong.push('somebody waits for ever');
      check();
      wrong = world.wrong;
      if (wrong.length > 0) throw new Found();
    });
    expect(runs).toBeGreaterThan(20);
  } catch (error) {
    if (!(error instanceof Found)) throw error;
  }
  return wrong;
}

/** src/host/grace.ts. */
export function* grace(world: World): Steps {
  const { epoch } = world;
  yield undefined;
  if ((epoch & 1) === 1) yield () => world.epoch !== epoch || world.isDead;
}
