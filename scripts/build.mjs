// Builds dist/: both wasm modules from assembly/, the bundles from src/, the type declarations.
// Usage: node scripts/build.mjs [--quick]  (--quick leaves the type declarations out)
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import asc from 'assemblyscript/asc';
import { build } from 'esbuild';
import { buildWeb } from './build-web.mjs';

const root = new URL('..', import.meta.url).pathname;
process.chdir(root);
const quick = process.argv.includes('--quick');

mkdirSync('dist', { recursive: true });
await Promise.all([wasm('shared'), wasm('unshared')]);
embedWasm();
await bundles();
await buildWeb();
if (!quick) declarations();

/** Compiles assembly/index.ts for one kind of memory. */
async function wasm(target) {
  const { error, stderr } = await asc.main(['--target', target, '--config', 'asconfig.json']);
  if (error === null) return;
  console.error(stderr.toString());
  throw error;
}

/** The modules are 4 kB each: they travel inside the bundles, so that no URL has to be resolved by anybody. */
function embedWasm() {
  const constant = (name, file) => `export const ${name} =\n  '${readFileSync(file).toString('base64')}';\n`;
  const text = `${constant('SHARED', 'dist/virtiofs.wasm')}${constant('UNSHARED', 'dist/virtiofs-unshared.wasm')}`;
  mkdirSync('src/worker/generated', { recursive: true });
  writeFileSync('src/worker/generated/wasm.ts', text);
}

/**
 * Bundles each entry point; a worker is an entry of its own, named by a literal URL next to the file that starts it.
 */
async function bundles() {
  const common = {
    bundle: true,
    format: 'esm',
    target: 'es2022',
    sourcemap: true,
    logLevel: 'warning',
    outdir: 'dist',
    splitting: true,
    chunkNames: 'chunk-[hash]',
  };
  for (const file of readdirSync('dist')) if (/\.js(\.map)?$/.test(file)) rmSync(`dist/${file}`);
  await build({
    ...common,
    platform: 'neutral',
    external: ['node:*'],
    entryPoints: entries(['index', 'guest', 'testing', 'node', 'node-fs', 'emscripten', 'wasi']).concat(
      { in: 'src/worker/host-worker.ts', out: 'host-worker' },
      { in: 'src/transport/kernel/worker.ts', out: 'kernel-worker' },
      { in: 'src/transport/kernel/reader-worker.ts', out: 'kernel-reader' },
      { in: 'src/transport/kernel/notify-worker.ts', out: 'kernel-notifier' },
      { in: 'src/transport/stream/relay-worker.ts', out: 'relay-worker' },
      { in: 'src/cli/main.ts', out: 'cli' },
      { in: 'src/cli/program-worker.ts', out: 'run-program' },
      { in: 'src/cli/demo/guest-worker.ts', out: 'demo-guest' },
      { in: 'bench/main.ts', out: 'bench' },
      { in: 'bench/echo-worker.ts', out: 'bench-echo' },
      { in: 'bench/fio-worker.ts', out: 'bench-fio' },
      { in: 'bench/allocation-worker.ts', out: 'bench-allocation' },
    ),
  });
  chmodSync('dist/cli.js', 0o755);
}

function entries(names) {
  return names.map((name) => ({ in: `src/${name}.ts`, out: name }));
}

function declarations() {
  const options = [
    '--noEmit',
    'false',
    '--emitDeclarationOnly',
    '--declaration',
    '--outDir',
    'dist/types',
    '--rootDir',
    '.',
  ];
  const done = spawnSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', ...options],
    { stdio: 'inherit' },
  );
  if (done.status !== 0) process.exit(done.status ?? 1);
}
