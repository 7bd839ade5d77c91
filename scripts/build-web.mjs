// Bundles the browser page of web/ into dist/web/. Called by build.mjs; alone: node scripts/build-web.mjs
// (after the wasm modules were built).
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * The page, its workers and the host's worker lie side by side: each is named by a literal URL next to the bundle.
 * Splitting is needed: what only Node loads (`await import`) stays in chunks that a browser never asks for.
 */
export async function buildWeb() {
  const outdir = `${ROOT}dist/web`;
  rmSync(outdir, { recursive: true, force: true });
  mkdirSync(outdir, { recursive: true });
  await build({
    absWorkingDir: ROOT,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
    external: ['node:*'],
    splitting: true,
    chunkNames: 'chunk-[hash]',
    sourcemap: true,
    logLevel: 'warning',
    outdir,
    entryPoints: [
      { in: 'web/main.ts', out: 'main' },
      { in: 'web/guest-worker.ts', out: 'guest-worker' },
      { in: 'web/inline-worker.ts', out: 'inline-worker' },
      { in: 'src/worker/host-worker.ts', out: 'host-worker' },
    ],
  });
  for (const file of ['index.html', 'style.css']) copyFileSync(`${ROOT}web/${file}`, `${outdir}/${file}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildWeb();
