/** Moving file bytes through the window, against a plain copy of the same bytes in the same pattern. */
import { Prng } from '../src/base/prng.ts';
import { instantiate } from '../src/dax/instantiate.ts';
import type { Mapping } from '../src/guest/mapping.ts';
import { createHost } from '../src/worker/host.ts';
import { mount } from '../src/worker/mount.ts';
import { measure, nsPerOp, type Row } from './harness.ts';

const MIB = 1 << 20;
const FILE_SIZE = 64 * MIB;
const ROUNDS = 15;

export async function copy(): Promise<Row[]> {
  const host = await createHost({
    fs: 'memory',
    cacheSize: 256 * MIB,
    windowSize: 128 * MIB,
    guests: 2,
    dataSize: MIB,
  });
  const attachment = host.attach();
  const guest = mount(attachment);
  const { memory, module } = attachment;
  const rows: Row[] = [];
  try {
    writeFile(guest.open('/file', 'w'));
    using file = guest.open('/file', 'r+');
    using mapping = file.mmap({ length: FILE_SIZE, writable: true });
    const plain = addresses(mapping);
    const bytes = new Uint8Array(memory.buffer);
    const wasm = instantiate(module, memory);
    const scratch = guest.mount.channel.data;
    const shared = bytes.subarray(scratch, scratch + MIB);
    for (const [label, size, offsets] of patterns()) {
      const buffer = new Uint8Array(size);
      const target = shared.subarray(0, size);
      const count = offsets.length;
      rows.push(
        measure({
          bench: 'copy',
          case: `${label} read → JS buffer`,
          reference: 'Uint8Array.set from shared memory',
          goal: 0.8,
          rounds: ROUNDS,
          ours: () => nsPerOp(count, (i) => void file.read(buffer, 0, size, offsets[i])),
          theirs: () =>
            nsPerOp(count, (i) => {
              const at = plain[(offsets[i] as number) >> 12] as number;
              buffer.set(bytes.subarray(at, at + size));
            }),
        }),
        measure({
          bench: 'copy',
          case: `${label} read → shared memory`,
          reference: 'memory.copy',
          goal: 0.8,
          rounds: ROUNDS,
          ours: () => nsPerOp(count, (i) => void file.read(target, 0, size, offsets[i])),
          theirs: () => nsPerOp(count, (i) => wasm.copy(scratch, plain[(offsets[i] as number) >> 12] as number, size)),
        }),
        measure({
          bench: 'copy',
          case: `${label} write ← JS buffer`,
          reference: 'Uint8Array.set to shared memory',
          goal: null,
          rounds: ROUNDS,
          ours: () => nsPerOp(count, (i) => void file.write(buffer, 0, size, offsets[i])),
          theirs: () => nsPerOp(count, (i) => bytes.set(buffer, plain[(offsets[i] as number) >> 12] as number)),
        }),
      );
    }
  } finally {
    guest.unmount();
    await host.stop();
  }
  return rows;
}

function writeFile(file: { writeAll(data: Uint8Array): void; close(): void }): void {
  const block = new Uint8Array(MIB).map((_, i) => i * 31);
  for (let i = 0; i < FILE_SIZE / MIB; i++) file.writeAll(block);
  file.close();
}

/** Where each page of the file lies: the plain copies touch the very frames that the file is in. */
function addresses(mapping: Mapping): number[] {
  const pages: number[] = [];
  using view = mapping.view(0, FILE_SIZE, false);
  for (const run of view.runs) for (let at = 0; at < run.length; at += 4096) pages.push(run.byteOffset + at);
  return pages;
}

/** Random 4 KiB over the whole file, sequential 128 KiB: label, size, offsets. */
function patterns(): [string, number, number[]][] {
  const random = new Prng(1);
  const pages = FILE_SIZE / 4096;
  return [
    ['random 4 KiB', 4096, Array.from({ length: 8192 }, () => random.below(pages) * 4096)],
    ['sequential 128 KiB', 131072, Array.from({ length: FILE_SIZE / 131072 }, (_, i) => i * 131072)],
  ];
}
