// The proof with software nobody here wrote: each script of test/kernel/software runs in a mount of the real kernel.
// Usage: node scripts/kernel-proof.mjs [--quick] [--memory|--dir|--plain] [--writeback] [NAME…]
// --dir: a directory, with native system calls where their package is installed; --plain: one without them.
// Needs Linux, root, /dev/fuse, dist/. --writeback: mounts with -o writeback_cache.
// One line per step. Exit code 1 if a step failed, or if something was left behind after an unmount.
// A step whose tools are missing is skipped, or all if we cannot mount: a failure with VIRTIOFS_REQUIRE=kernel-proof.
// With `native` in VIRTIOFS_REQUIRE too, --dir must have all that the package gives.
// SEED=… runs the random steps again as they were.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SOFTWARE = join(ROOT, 'test/kernel/software');
const CLI = join(ROOT, 'dist/cli.js');
/** Short things first: they say soonest that something is wrong. */
const STEPS = ['build', 'tar', 'rsync', 'sqlite', 'tree', 'git', 'dbench', 'posix', 'fio', 'fsx', 'stress-ng'];
const KINDS = ['memory', 'dir', 'plain'];
const FLAGS = ['--quick', '--memory', '--dir', '--plain', '--writeback'];
/** What a step may ask of a file system, by the variable that it looks at. */
const PROBES = {
  HAS_XATTR: 'touch "$1"; setfattr -n user.a -v b "$1"',
  HAS_ACL: 'touch "$1"; setfacl -m u:1:r "$1"',
  HAS_FIFO: 'mkfifo "$1"',
  HAS_HOLES: 'head -c 1M /dev/zero > "$1"; fallocate -p -l 1M "$1"; test "$(stat -c %b "$1")" = 0',
  EXACT_TIMES: 'mkdir "$1"; touch -d @1.123456789 "$1"; test "$(stat -c %.9Y "$1")" = 1.123456789',
};
/** What a directory has only with native system calls. */
const NATIVE = ['HAS_XATTR', 'HAS_FIFO', 'HAS_HOLES', 'EXACT_TIMES'];
const STEP_SECONDS = 240;
const READY_MS = 20_000;
const END_MS = 20_000;
/** How much of a failed step's output is shown. */
const SHOWN_LINES = 40;
/** How much of a step that went well. */
const SHOWN_CHARACTERS = 400;

const { kinds, steps, isQuick, options } = parse(process.argv.slice(2));
const required = (process.env.VIRTIOFS_REQUIRE ?? '').split(',');
const isRequired = required.includes('kernel-proof');
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const complaints = [];
/** What runs now, for a signal to end. */
let current;
let isStopped = false;

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    isStopped = true;
    if (current !== undefined) endGroup(current);
  });
}

const reason = reasonHere();
if (reason === undefined) {
  console.log(`seed ${seed}, -o ${options}${isQuick ? ', quick' : ''}`);
  for (const kind of kinds) if (!isStopped) await prove(kind);
} else {
  console.log(`skipped: ${reason}`);
  if (isRequired) complaints.push(`VIRTIOFS_REQUIRE asks for kernel-proof, but ${reason}`);
}
if (isStopped) complaints.push('stopped by a signal');
for (const complaint of complaints) console.log(`FAILED: ${complaint}`);
process.exitCode = complaints.length === 0 ? 0 : 1;

/** Mounts, runs the steps, unmounts. */
async function prove(kind) {
  const base = mkdtempSync(join(tmpdir(), 'virtiofs-proof-'));
  const place = { kind, base, mount: join(base, 'mount'), outside: join(base, 'tmpfs/outside') };
  try {
    mkdirSync(place.mount);
    mkdirSync(join(base, 'tmpfs'));
    sh(`mount -t tmpfs -o mode=755 proof '${base}/tmpfs'`);
    mkdirSync(join(base, 'tmpfs/backing'));
    mkdirSync(place.outside);
    // A mount for each step: what a step leaves behind is seen when it is unmounted.
    for (const name of steps) if (!isStopped) await proveMounted(place, name);
  } finally {
    if (isMounted(place.mount)) sh(`umount -l '${place.mount}'`);
    if (isMounted(join(base, 'tmpfs'))) sh(`umount -l '${base}/tmpfs'`);
    rmSync(base, { recursive: true });
  }
}

async function proveMounted(place, name) {
  const server = await startServer(place);
  if (server === undefined) return;
  place.features ??= probe(place);
  await runStep(place, name);
  const start = performance.now();
  if (isMounted(place.mount)) sh(`umount '${place.mount}' || umount -l '${place.mount}'`);
  const timer = setTimeout(() => server.kill('SIGKILL'), END_MS);
  const code = await server.ended;
  clearTimeout(timer);
  const left = readdirSync(join(place.base, 'tmpfs/backing'));
  if (code !== 0) complaints.push(`${place.kind}: after ${name} the mount ended with ${code}: ${server.said.trim()}`);
  if (left.length > 0) complaints.push(`${place.kind}: ${name} left in the served directory: ${left.join(', ')}`);
  if (code !== 0 || left.length > 0) say(place.kind, `${name}: leaks`, start, 'FAILED');
}

/** Says what this file system does not have (docs/file-systems.md): tools cannot carry it there. */
function probe({ kind, mount }) {
  const path = join(mount, 'probe');
  const features = {};
  for (const [name, script] of Object.entries(PROBES)) {
    features[name] = spawnSync('sh', ['-ec', script, 'probe', path]).status === 0 ? '1' : '0';
    rmSync(path, { recursive: true, force: true });
  }
  const missing = Object.keys(features).filter((name) => features[name] === '0');
  if (missing.length > 0) console.log(`${kind.padEnd(7)} without ${missing.join(', ')}`);
  const lost = kind === 'dir' && required.includes('native') ? missing.filter((name) => NATIVE.includes(name)) : [];
  if (lost.length > 0) complaints.push(`VIRTIOFS_REQUIRE asks for native, but dir is without ${lost.join(', ')}`);
  return features;
}

async function startServer({ kind, base, mount }) {
  const spec = kind === 'memory' ? 'memory' : `dir:${base}/tmpfs/backing`;
  const words = kind === 'plain' ? `${options},no_native` : options;
  // A session of its own: Ctrl-C is for us, and we unmount.
  const server = spawn(process.execPath, [CLI, 'mount', spec, mount, '-o', words], { detached: true });
  server.said = '';
  server.ended = new Promise((resolve) => {
    server.once('close', (code, signal) => resolve(code ?? signal));
  });
  for (const stream of [server.stdout, server.stderr]) {
    stream.on('data', (data) => {
      server.said += data;
    });
  }
  const until = performance.now() + READY_MS;
  while (!server.said.includes('mounted ') && server.exitCode === null && performance.now() < until) await sleep(20);
  if (server.said.includes('mounted ')) {
    server.said = '';
    return server;
  }
  server.kill('SIGKILL');
  complaints.push(`${kind}: cannot mount: ${server.said.trim()}`);
  return undefined;
}

async function runStep(place, name) {
  const script = join(SOFTWARE, `${name}.sh`);
  const missing = missingTools(readFileSync(script, 'utf8'));
  const start = performance.now();
  if (missing.length > 0) {
    if (isRequired) complaints.push(`${place.kind}: ${name} needs ${missing.join(', ')}`);
    say(place.kind, name, start, isRequired ? 'FAILED' : 'skipped', `install ${missing.join(', ')}`);
    return;
  }
  const work = join(place.mount, name);
  const outside = join(place.outside, name);
  mkdirSync(outside);
  const { code, output } = await runScript(script, work, outside, place.features);
  const removed = spawnSync('rm', ['-rf', work, outside], { encoding: 'utf8' });
  const isFine = code === 0 && removed.status === 0;
  say(place.kind, name, start, isFine ? 'ok' : 'FAILED', isFine ? shortened(output) : '');
  if (isFine) return;
  complaints.push(`${place.kind}: ${name}: ${code === 0 ? removed.stderr : `exit ${code}`}`);
  console.log(output.trim().split('\n').slice(-SHOWN_LINES).join('\n').replaceAll(/^/gm, '    '));
}

/** Runs a step with a fresh directory of the mount as its own; ends the whole group when its time is over. */
function runScript(script, work, outside, features) {
  const env = {
    ...process.env,
    LC_ALL: 'C',
    SOFTWARE,
    OUTSIDE: outside,
    QUICK: isQuick ? '1' : '0',
    SEED: String(seed),
    OPTIONS: options,
    ...features,
  };
  return new Promise((resolve) => {
    let output = '';
    let why;
    mkdirSync(work);
    const stdio = ['ignore', 'pipe', 'pipe'];
    const child = spawn('bash', ['-eu', '-o', 'pipefail', script], { cwd: work, env, stdio, detached: true });
    current = child;
    const timer = setTimeout(() => {
      why = `none after ${STEP_SECONDS} s`;
      endGroup(child);
    }, STEP_SECONDS * 1000);
    const hear = (data) => {
      output += data;
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      current = undefined;
      resolve({ code: why ?? code ?? signal, output });
    });
  });
}

/** Ends a process of ours and everything that it has started. */
function endGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function missingTools(text) {
  const tools = /^# needs: (.*)$/m.exec(text)?.[1].split(' ') ?? [];
  return tools.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
}

function reasonHere() {
  if (process.platform !== 'linux') return `no Linux but ${process.platform}`;
  if (process.geteuid() !== 0) return 'not root';
  if (!existsSync('/dev/fuse')) return 'no /dev/fuse';
  return existsSync(CLI) ? undefined : 'no dist/cli.js: npm run build';
}

function say(kind, name, start, word, detail = '') {
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${kind.padEnd(7)} ${name.padEnd(15)} ${seconds.padStart(6)} s  ${word}${detail && `  (${detail})`}`);
}

function shortened(output) {
  const text = output.trim().split('\n').join('; ');
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}

function isMounted(dir) {
  return readFileSync('/proc/self/mounts', 'utf8').includes(` ${dir} `);
}

function sh(script) {
  const done = spawnSync('sh', ['-ec', script], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`'${script}': ${done.stderr}`);
}

function sleep(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function parse(args) {
  const flags = args.filter((arg) => arg.startsWith('--'));
  const names = args.filter((arg) => !arg.startsWith('--'));
  const unknown = [...flags.filter((flag) => !FLAGS.includes(flag)), ...names.filter((name) => !STEPS.includes(name))];
  if (unknown.length > 0) {
    console.error(`unknown: ${unknown.join(' ')}; steps are ${STEPS.join(' ')}; flags ${FLAGS.join(' ')}`);
    process.exit(2);
  }
  const only = KINDS.filter((kind) => flags.includes(`--${kind}`));
  return {
    isQuick: flags.includes('--quick'),
    options: flags.includes('--writeback') ? 'allow_other,writeback_cache' : 'allow_other',
    kinds: only.length > 0 ? only : KINDS,
    steps: names.length > 0 ? STEPS.filter((step) => names.includes(step)) : STEPS,
  };
}
