/** One game: a world, a player, some thousand steps with everything checked after each, and then the end. */
import type { Prng } from '../../src/base/prng.ts';
import { checkView, MAPPING_STEPS } from './random-mappings.ts';
import { Player, same, Tolerated } from './random-player.ts';
import { checkDisk, compareFile, FILE_STEPS, type Step } from './random-steps.ts';
import { createWorld, type WorldOptions } from './random-world.ts';

const STEP_LIST = [...FILE_STEPS, ...MAPPING_STEPS];
const TOTAL = STEP_LIST.reduce((sum, [weight]) => sum + weight, 0);

function pick(rng: Prng): Step {
  let at = rng.below(TOTAL * 100) / 100;
  for (const [weight, step] of STEP_LIST) {
    if (at < weight) return step;
    at -= weight;
  }
  return (STEP_LIST[0] as readonly [number, Step])[1];
}

/** Returns how many steps failed that might. A failure names seed and step; NOTES=1 shows what came before. */
export async function play(seed: number, options: WorldOptions, steps: number): Promise<number> {
  const world = await createWorld(options);
  const player = new Player(world, seed, options.faulty);
  let tolerated = 0;
  let step = 0;
  try {
    for (; step < steps; step++) {
      changeWeather(player);
      if (!one(player)) tolerated++;
      player.publishForViews();
      for (const handle of player.handles) for (const held of handle.views) checkView(handle, held);
      world.check(player.seats.map((seat) => seat.guest));
    }
    end(player);
  } catch (error) {
    const notes = process.env['NOTES'] === undefined ? '' : `\n${player.notes.join('\n')}`;
    throw Object.assign(error as Error, { message: `seed ${seed}, step ${step}: ${(error as Error).message}${notes}` });
  } finally {
    world.destroy();
  }
  return tolerated;
}

/** Disks break now and then, and are well again. */
function changeWeather({ faulty, rng }: Player): void {
  if (faulty === undefined || !rng.chance(0.03)) return;
  faulty.readChance = rng.chance(0.5) ? 0.1 : 0;
  faulty.writeChance = rng.chance(0.5) ? 0.3 : 0;
}

function one(player: Player): boolean {
  try {
    const step = pick(player.rng);
    player.note(step.name);
    step(player);
    return true;
  } catch (error) {
    if (error instanceof Tolerated) return false;
    throw error;
  }
}

/** Every file once more, from every guest; then all go, and nothing may be left. */
function end(player: Player): void {
  const { world, faulty } = player;
  if (faulty !== undefined) faulty.readChance = faulty.writeChance = 0;
  for (const handle of player.handles) for (const held of handle.views.splice(0)) held.view.release();
  player.pinnedPages = 0;
  for (const seat of player.seats) for (const [name, model] of player.names) compareFile(player, seat, name, model);
  for (const seat of player.seats) seat.guest.unmount();
  world.settle();
  world.check([]);
  world.checkEmpty();
  world.host.core.writeBack();
  for (const model of player.names.values()) checkDisk(player, model);
  const { guest } = world.mount({ dax: 'always' });
  for (const name of player.names.keys()) guest.unlink(name);
  guest.unmount();
  world.settle();
  // Files without a name, and leaf tables, hold no frame: the page of zeros is left, and one of leaf tables.
  const { pageCache } = world.host.core;
  same(pageCache.frameCount - pageCache.freeFrames <= 2, true, `${pageCache.freeFrames} frames are free at the end`);
}
