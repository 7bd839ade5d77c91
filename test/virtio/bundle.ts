/** Workers cannot load TypeScript: this makes one JavaScript file of a worker's entry and all it imports. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

export interface Bundle extends Disposable {
  /** Path of the JavaScript file. */
  readonly path: string;
}

/** Bundles `entry`, a path relative to this folder; disposing removes the file. */
export function bundleWorker(entry: string): Bundle {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-worker-'));
  const path = join(folder, 'worker.mjs');
  buildSync({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    outfile: path,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
  });
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}
