/** The operations on mappings that the random tester picks from: loads, stores, atomics, views held meanwhile. */
import {
  codeOf,
  forRuns,
  type Handle,
  type HeldView,
  PAGE,
  PINNED_MAX,
  type Player,
  pagesOf,
  same,
  sameBytes,
  Tolerated,
  viewBytes,
} from './random-player.ts';

type Step = (p: Player) => void;

const map: Step = (p) => {
  const handle = p.opened();
  if (handle === undefined || handle.mapping !== undefined) return;
  const start = Math.floor(p.pos(handle.model) / PAGE) * PAGE;
  const length = 1 + p.rng.below(6 << 20);
  const options = { offset: start, length, writable: true };
  if (!handle.file.isDax && !p.keeps(handle)) {
    same(
      codeOf(() => handle.file.mmap(options)),
      'ENODEV',
      'mmap without a window',
    );
    return;
  }
  handle.mapping = handle.file.mmap(options);
  handle.start = start;
};

const unmap: Step = (p) => {
  const handle = p.mapped();
  if (handle === undefined) return;
  const { mapping } = handle;
  dropMapping(p, handle);
  mapping?.unmap();
  if (!handle.file.isOpen) p.handles.splice(p.handles.indexOf(handle), 1);
};

/** The views go with the mapping. */
export function dropMapping(p: Player, handle: Handle): void {
  for (const held of handle.views.splice(0)) p.pinnedPages -= pagesOf(held);
  handle.mapping = undefined;
}

/** A place of the mapping, most often one that the file has. */
function place(p: Player, handle: Handle, size: number): number {
  const length = handle.mapping?.length ?? 0;
  const offset = p.rng.chance(0.9) ? p.pos(handle.model) - handle.start : p.rng.below(length);
  return Math.max(0, Math.min(offset, length - size));
}

/** Whether an access there is a bus error: it touches a page that the file does not have. */
function isBeyond(handle: Handle, pos: number, size: number): boolean {
  return Math.floor((pos + size - 1) / PAGE) * PAGE >= handle.model.size;
}

const readMapped: Step = (p) => {
  const handle = p.mapped();
  if (handle?.mapping === undefined) return;
  const { mapping, model, start } = handle;
  p.meet(handle.player, model);
  const into = new Uint8Array(Math.min(p.length(), mapping.length));
  const offset = place(p, handle, into.length);
  const pos = start + offset;
  const code = codeOf(() => p.attempt(() => mapping.read(offset, into)));
  same(code, isBeyond(handle, pos, into.length) ? 'SIGBUS' : undefined, `read mapped at ${pos} of ${model.size}`);
  const wanted = model.read(pos, into.length);
  sameBytes(into.subarray(0, wanted.length), wanted, `mapped at ${pos}`);
  if (!model.hasTail) sameBytes(into.subarray(wanted.length), new Uint8Array(into.length - wanted.length), 'the tail');
};

const writeMapped: Step = (p) => {
  const handle = p.mapped();
  if (handle?.mapping === undefined) return;
  const { mapping, model } = handle;
  p.meet(handle.player, model);
  model.writers.add(handle.player);
  const data = p.data(Math.min(p.length(), mapping.length));
  const offset = place(p, handle, data.length);
  const pos = handle.start + offset;
  p.note(`  ${p.nameOf(model)}: ${data.length} bytes at ${pos} of ${model.size}`);
  try {
    const code = codeOf(() => p.attempt(() => mapping.write(offset, data)));
    same(code, isBeyond(handle, pos, data.length) ? 'SIGBUS' : undefined, `write mapped at ${pos} of ${model.size}`);
  } catch (error) {
    if (!(error instanceof Tolerated)) throw error;
    if (pos + data.length > model.size) model.hasTail = true;
    p.halfWritten(handle, pos, data.subarray(0, Math.max(0, model.size - pos)));
    throw error;
  }
  stored(handle, pos, data);
};

function stored({ model }: Handle, pos: number, data: Uint8Array): void {
  const inside = Math.max(0, Math.min(data.length, model.size - pos));
  model.write(pos, data.subarray(0, inside));
  if (inside < data.length && pos < Math.ceil(model.size / PAGE) * PAGE) model.hasTail = true;
}

/** One word: loaded, stored, added to, compared and exchanged. */
const word: Step = (p) => {
  const handle = p.mapped();
  if (handle?.mapping === undefined || handle.mapping.length < 4) return;
  const { mapping, model } = handle;
  const offset = Math.floor(place(p, handle, 4) / 4) * 4;
  const pos = handle.start + offset;
  const kind = p.rng.below(5);
  p.meet(handle.player, model);
  model.writers.add(handle.player);
  const known = model.read(pos, 4);
  const old = known.length === 4 ? new DataView(known.buffer).getUint32(0, true) : undefined;
  const value = p.rng.u32();
  let got: number | undefined;
  const code = codeOf(() =>
    p.attempt(() => {
      if (kind === 0) got = mapping.loadU32(offset);
      else if (kind === 1) mapping.storeU32(offset, value);
      else if (kind === 2) got = mapping.add32(offset, value);
      else got = mapping.compareExchange32(offset, kind === 3 ? (old ?? 0) : value, value);
    }),
  );
  same(code, isBeyond(handle, pos, 4) ? 'SIGBUS' : undefined, `word at ${pos} of ${model.size}`);
  if (code !== undefined) return;
  if (old === undefined) {
    if (kind > 0) {
      // The word lies across the end, or behind it: what of it is the file's is read back.
      model.hasTail = true;
      const now = new Uint8Array(known.length);
      p.calmly(() => mapping.read(offset, now));
      model.write(pos, now);
    }
    return;
  }
  if (kind !== 1) same(got, old, `word at ${pos}`);
  const after = kind === 0 ? old : kind === 2 ? (old + value) >>> 0 : kind === 4 ? old : value;
  model.write(pos, new Uint8Array(Uint32Array.of(after).buffer));
};

const view: Step = (p) => {
  const handle = p.mapped();
  if (handle?.mapping === undefined || !handle.file.isDax) return;
  const { mapping, model } = handle;
  p.meet(handle.player, model);
  const length = Math.min(p.length(), mapping.length);
  const offset = place(p, handle, length);
  const pos = handle.start + offset;
  const held: HeldView = { view: undefined as never, pos, length, end: pos + length, frozen: new Uint8Array(0) };
  if (p.pinnedPages + pagesOf(held) > PINNED_MAX) return;
  const isWritable = p.rng.chance(0.6);
  const code = codeOf(() =>
    p.attempt(() => {
      handle.views.push({ ...held, view: mapping.view(offset, length, isWritable) });
    }),
  );
  same(code, isBeyond(handle, pos, length) ? 'SIGBUS' : undefined, `view at ${pos} of ${model.size}`);
  if (code === undefined) p.pinnedPages += pagesOf(held);
};

function someView(p: Player): [Handle, HeldView] | undefined {
  const all = p.handles.flatMap((handle) => handle.views.map((held): [Handle, HeldView] => [handle, held]));
  return all.length === 0 ? undefined : p.rng.pick(all);
}

const storeThroughView: Step = (p) => {
  const [handle, held] = someView(p) ?? [];
  if (handle === undefined || held === undefined || !held.view.writable) return;
  const end = Math.min(held.end, handle.model.size);
  if (end <= held.pos) return;
  const from = held.pos + p.rng.below(end - held.pos);
  const data = p.data(Math.min(end - from, 1 + p.rng.below(6000)));
  forRuns(held, from, from + data.length, (run, at) => run.set(data.subarray(at, at + run.length)));
  handle.model.write(from, data);
  handle.model.writers.add(handle.player);
};

const release: Step = (p) => {
  const [handle, held] = someView(p) ?? [];
  if (handle === undefined || held === undefined) return;
  checkView(handle, held);
  held.view.release();
  handle.views.splice(handle.views.indexOf(held), 1);
  p.pinnedPages -= pagesOf(held);
};

/** A view shows its file; behind where the file was cut off, what it showed then. */
export function checkView({ model }: Handle, held: HeldView): void {
  const end = Math.max(held.pos, Math.min(held.end, model.size));
  sameBytes(viewBytes(held, held.pos, end), model.read(held.pos, end - held.pos), `view at ${held.pos}`);
  sameBytes(viewBytes(held, held.end, held.pos + held.length), held.frozen, `view at ${held.pos}, cut off`);
}

const msync: Step = (p) => {
  const handle = p.mapped();
  if (handle?.mapping === undefined) return;
  p.attemptFlush(() => handle.mapping?.sync());
};

export const MAPPING_STEPS: readonly (readonly [number, Step])[] = [
  [6, map],
  [2, unmap],
  [10, readMapped],
  [10, writeMapped],
  [8, word],
  [3, view],
  [3, storeThroughView],
  [3, release],
  [1, msync],
];
