// Everything that can be said about the code without running it: types, lint and format, dead code.
// Usage: node scripts/check.mjs     All parts run even if one fails; exit code 1 if any did. Changes no source file.
// To repair format and import order: npx biome check --write
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const GENERATED = 'src/worker/generated/wasm.ts';
const TSC = 'node_modules/typescript/bin/tsc';
const BIOME = 'node_modules/@biomejs/biome/bin/biome';
const KNIP = 'node_modules/knip/bin/knip.js';

const failed = [];
if (!existsSync(GENERATED)) run('build (generated files are missing)', 'scripts/build.mjs', '--quick');
run('types: src, test, bench', TSC, '-p', '.');
if (existsSync('web/tsconfig.json')) run('types: web', TSC, '-p', 'web', '--noEmit');
run('lint and format', BIOME, 'check', '--max-diagnostics=200', '.');
run('dead code', KNIP, '--no-progress');

console.log(failed.length === 0 ? '\nAll checks passed.' : `\nFailed: ${failed.join('; ')}.`);
process.exitCode = failed.length === 0 ? 0 : 1;

/** Runs a program of ours with this Node, whatever the shell's PATH says. */
function run(title, program, ...args) {
  console.log(`\n== ${title}`);
  const start = performance.now();
  const done = spawnSync(process.execPath, [program, ...args], { stdio: 'inherit' });
  if (done.status !== 0) failed.push(title);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(done.status === 0 ? `ok (${seconds} s)` : `FAILED (${seconds} s)`);
}
