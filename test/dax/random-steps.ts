/** The operations on files that the random tester picks from: names, handles, reads, writes, sizes, guests. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { dropMapping } from './random-mappings.ts';
import {
  codeOf,
  type Handle,
  MAX_SIZE,
  NAMES,
  PAGE,
  type Player,
  type Seat,
  same,
  sameBytes,
  Tolerated,
} from './random-player.ts';
import { SparseFile } from './sparse-file.ts';

export type Step = (p: Player) => void;

const O_RDWR = 2;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const KEEP_SIZE = 1;
const PUNCH_HOLE = 3;
const ZERO_RANGE = 16;

const open: Step = (p) => {
  if (p.handles.length >= 12) return;
  const name = p.rng.pick(NAMES);
  const flags = O_RDWR | (p.rng.chance(0.8) ? O_CREAT : 0) | (p.rng.chance(0.1) ? O_TRUNC : 0);
  const known = p.names.get(name);
  const seat = p.rng.pick(p.seats);
  if (known === undefined && (flags & O_CREAT) === 0) {
    same(
      codeOf(() => seat.guest.open(name, flags)),
      'ENOENT',
      'open of what is not there',
    );
    return;
  }
  if (known !== undefined) p.meet(seat, known);
  const file = seat.guest.open(name, flags);
  const model = known ?? new SparseFile();
  p.names.set(name, model);
  if ((flags & O_TRUNC) !== 0) p.resize(model, 0);
  p.handles.push({ player: seat, file, model, mapping: undefined, start: 0, views: [] });
};

const close: Step = (p) => {
  const handle = p.opened();
  if (handle === undefined) return;
  if (handle.mapping === undefined) p.handles.splice(p.handles.indexOf(handle), 1);
  // FLUSH tells of a write-back that failed.
  p.attemptFlush(() => handle.file.close());
};

const read: Step = (p) => {
  const handle = p.opened();
  if (handle === undefined) return;
  const { file, model } = handle;
  const pos = p.pos(model);
  p.meet(handle.player, model);
  if (p.rng.chance(0.3)) same(p.attempt(() => file.stat()).size, model.size, 'size');
  const into = new Uint8Array(p.length());
  const n = p.attempt(() => file.read(into, 0, into.length, pos));
  const wanted = model.read(pos, into.length);
  if (p.isFaulty || p.isTight) same(n <= wanted.length, true, 'no more than there is');
  else same(n, wanted.length, `bytes read at ${pos} of ${model.size}`);
  sameBytes(into.subarray(0, n), wanted.subarray(0, n), `read at ${pos}`);
};

const write: Step = (p) => {
  const handle = p.opened();
  if (handle === undefined) return;
  const { model } = handle;
  const data = p.data(p.length());
  const pos = p.rng.chance(0.1) ? model.size : p.pos(model);
  writeAt(p, handle, pos, data);
};

function writeAt(p: Player, handle: Handle, pos: number, data: Uint8Array): void {
  p.meet(handle.player, handle.model);
  handle.model.writers.add(handle.player);
  try {
    const n = p.attempt(() => handle.file.write(data, 0, data.length, pos));
    if (n < data.length) same(p.mayRunOut || p.isFaulty, true, `wrote ${n} of ${data.length} bytes`);
    p.wrote(handle.model, pos, data.subarray(0, n));
    if (n < data.length) p.halfWritten(handle, pos, data);
  } catch (error) {
    if (error instanceof Tolerated) p.halfWritten(handle, pos, data);
    throw error;
  }
}

const append: Step = (p) => {
  if (p.handles.length >= 12) return;
  const name = p.rng.pick(NAMES);
  const model = p.names.get(name);
  if (model === undefined || model.size > MAX_SIZE) return;
  const seat = p.rng.pick(p.seats);
  const file = seat.guest.open(name, O_RDWR | O_APPEND);
  const data = p.data(p.length());
  const handle: Handle = { player: seat, file, model, mapping: undefined, start: 0, views: [] };
  try {
    writeAt(p, handle, model.size, data);
  } finally {
    codeOf(() => file.close());
  }
};

const truncate: Step = (p) => {
  const name = p.rng.pick(NAMES);
  const model = p.names.get(name);
  const seat = p.rng.pick(p.seats);
  const { guest } = seat;
  if (model !== undefined) p.meet(seat, model);
  const size = p.rng.chance(0.1) ? 0 : p.pos(model ?? new SparseFile());
  if (model === undefined) {
    same(
      codeOf(() => guest.truncate(name, size)),
      'ENOENT',
      'truncate of what is not there',
    );
    return;
  }
  p.attempt(() => guest.truncate(name, size));
  p.resize(model, size);
};

const ftruncate: Step = (p) => {
  const handle = p.opened();
  if (handle === undefined) return;
  const size = p.pos(handle.model);
  p.meet(handle.player, handle.model);
  p.attempt(() => handle.file.truncate(size));
  p.resize(handle.model, size);
};

const allocate: Step = (p) => {
  const handle = p.opened();
  if (handle === undefined) return;
  const { file, model } = handle;
  const mode = p.rng.pick([0, KEEP_SIZE, PUNCH_HOLE, PUNCH_HOLE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE]);
  // Often where a view is in the way.
  const view = p.rng.chance(0.4)
    ? p.handles.find((other) => other.model === model && other.views.length > 0)
    : undefined;
  const pos = Math.max(0, (view?.views[0]?.pos ?? p.pos(model)) - (view === undefined ? 0 : PAGE));
  const length = p.rng.chance(0.2) ? 1 + p.rng.below(3 << 20) : p.length();
  p.note(`  ${p.nameOf(model)}: mode ${mode} at ${pos}, ${length} bytes`);
  p.meet(handle.player, model);
  const code = codeOf(() => file.allocate(pos, length, mode));
  p.note(`  ${code}`);
  if (code !== undefined) {
    const isRefused = p.world.isBacked ? mode === KEEP_SIZE && code === 'ENOTSUP' : code === 'ENOSPC';
    same(isRefused, true, `fallocate mode ${mode}: ${code}`);
    return;
  }
  if (mode >= PUNCH_HOLE) model.zero(pos, length);
  if ((mode & KEEP_SIZE) === 0 && pos + length > model.size) p.resize(model, pos + length);
};

const copy: Step = (p) => {
  const from = p.opened();
  const to = from === undefined ? undefined : p.opened(from.player);
  if (from === undefined || to === undefined) return;
  const [pos, toPos, length] = [p.pos(from.model), p.pos(to.model), p.length()];
  p.note(`  ${length} bytes at ${pos} of ${from.model.size} to ${toPos} of ${to.model.size}`);
  const data = from.model.read(pos, length);
  p.meet(from.player, from.model);
  p.meet(to.player, to.model);
  try {
    let n = 0;
    const code = codeOf(() => {
      n = p.attempt(() => from.file.copyTo(to.file, pos, toPos, length));
    });
    const isOverlap = from.model === to.model && pos < toPos + length && toPos < pos + length;
    same(code, isOverlap ? 'EINVAL' : undefined, 'copy_file_range');
    if (isOverlap) return;
    same(n === data.length || ((p.mayRunOut || p.isFaulty) && n < data.length), true, `copied ${n} of ${data.length}`);
    p.wrote(to.model, toPos, data.subarray(0, n));
    if (n < data.length) p.halfWritten(to, toPos, data);
  } catch (error) {
    if (error instanceof Tolerated) p.halfWritten(to, toPos, data);
    throw error;
  }
};

/** Between `pos` and where SEEK_DATA leads is nothing, and where SEEK_HOLE leads is nothing or the end. */
const seek: Step = (p) => {
  const handle = p.opened();
  if (handle === undefined) return;
  const { file, model } = handle;
  const pos = p.pos(model);
  p.meet(handle.player, model);
  let data = -1;
  let hole = -1;
  const noData = codeOf(() => {
    data = file.seek(pos, 'data');
  });
  const noHole = codeOf(() => {
    hole = file.seek(pos, 'hole');
  });
  const first = model.nextNonZero(pos);
  if (pos >= model.size) {
    same(`${noData} ${noHole}`, 'ENXIO ENXIO', 'lseek behind the end');
    return;
  }
  if (noData === 'ENXIO') same(first, model.size, 'a file without data');
  else same(data >= pos && data <= first && data < model.size, true, `data at ${data}, the first byte is at ${first}`);
  same(noHole, undefined, 'lseek to a hole');
  same(hole >= pos && hole <= model.size, true, `hole at ${hole} of ${model.size}`);
  const endOfHole = Math.min(model.size, Math.ceil((hole + 1) / PAGE) * PAGE);
  same(model.nextNonZero(hole) >= endOfHole, true, `the hole at ${hole} is none`);
};

const sync: Step = (p) => {
  const handle = p.opened();
  if (handle === undefined) return;
  p.meet(undefined, handle.model);
  p.attemptFlush(() => handle.file.sync());
  checkDisk(p, handle.model);
};

/** What a file of the served directory holds after fsync is what was stored. */
export function checkDisk(p: Player, model: SparseFile): void {
  const name = [...p.names].find(([, named]) => named === model)?.[0];
  if (p.world.directory === undefined || name === undefined) return;
  const fd = openSync(p.world.directory + name, 'r');
  try {
    same(fstatSync(fd).size, model.size, `size of ${name} on the disk`);
    const pages = [...model.pages.keys()];
    for (let i = 0; i < 4; i++) pages.push(p.rng.below(1 + Math.floor(model.size / PAGE)));
    const page = new Uint8Array(PAGE);
    for (const index of pages) {
      const n = readSync(fd, page, 0, PAGE, index * PAGE);
      sameBytes(page.subarray(0, n), model.read(index * PAGE, PAGE), `page ${index} of ${name} on the disk`);
    }
  } finally {
    closeSync(fd);
  }
}

const rename: Step = (p) => {
  const [from, to] = [p.rng.pick(NAMES), p.rng.pick(NAMES)];
  const model = p.names.get(from);
  const { guest } = p.rng.pick(p.seats);
  same(
    codeOf(() => guest.rename(from, to)),
    model === undefined ? 'ENOENT' : undefined,
    'rename',
  );
  if (model === undefined || from === to) return;
  p.names.delete(from);
  p.names.set(to, model);
};

const unlink: Step = (p) => {
  const name = p.rng.pick(NAMES);
  const { guest } = p.rng.pick(p.seats);
  same(
    codeOf(() => guest.unlink(name)),
    p.names.has(name) ? undefined : 'ENOENT',
    'unlink',
  );
  p.names.delete(name);
};

const dropCaches: Step = (p) => p.rng.pick(p.seats).guest.dropCaches();

const writeBack: Step = (p) => p.world.host.core.writeBack();

const unmount: Step = (p) => {
  const seat = p.rng.pick(p.seats);
  leave(p, seat);
  seat.guest.unmount();
  p.world.settle();
  p.world.checkGone(seat.slot);
  Object.assign(seat, p.mount());
};

const kill: Step = (p) => {
  const seat = p.rng.pick(p.seats);
  // What it has kept to itself would be gone.
  for (const { model } of p.handles) p.meet(undefined, model);
  leave(p, seat);
  p.world.kill(seat.slot, p.rng.chance(0.3));
  Object.assign(seat, p.mount());
};

/** The guest takes with it what it has. */
function leave(p: Player, seat: Seat): void {
  for (const handle of p.handles.filter((h) => h.player === seat)) {
    dropMapping(p, handle);
    p.handles.splice(p.handles.indexOf(handle), 1);
  }
}

/** Compares a whole file, without reading what is all zeros twice. */
const compare: Step = (p) => {
  const name = p.rng.pick([...p.names.keys(), '/a']);
  const model = p.names.get(name);
  if (model !== undefined) compareFile(p, p.rng.pick(p.seats), name, model);
};

export function compareFile(p: Player, seat: Seat, name: string, model: SparseFile): void {
  p.meet(seat, model);
  const file = seat.guest.open(name);
  same(file.stat().size, model.size, `size of ${name}`);
  const bytes = new Uint8Array(PAGE);
  try {
    for (const page of [...model.pages.keys(), Math.floor(model.size / PAGE)]) {
      const n = p.attempt(() => file.read(bytes, 0, PAGE, page * PAGE));
      sameBytes(bytes.subarray(0, n), model.read(page * PAGE, PAGE), `page ${page} of ${name}`);
    }
  } finally {
    file.close();
  }
}

/** [how often, what]. */
export const FILE_STEPS: readonly (readonly [number, Step])[] = [
  [8, open],
  [3, close],
  [12, read],
  [12, write],
  [4, append],
  [2, truncate],
  [3, ftruncate],
  [5, allocate],
  [4, copy],
  [2, seek],
  [2, sync],
  [1, rename],
  [1, unlink],
  [1, dropCaches],
  [1, writeBack],
  [0.15, unmount],
  [0.15, kill],
  [1, compare],
];
