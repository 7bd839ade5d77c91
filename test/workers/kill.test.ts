/**
 * What a guest stored through a mapping before its fsync returned is in the backing file, whatever happens next: a
 * process with a host and two guests is killed (SIGKILL: all its threads at once) at a moment that the seed chooses.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';

const PAGES = 300;
const GUESTS = 2;
const WORDS = 256;
const ROUNDS = Number(process.env['KILL_ROUNDS'] ?? 8);
const seed = Number(process.env['SEED'] ?? Date.now() % 1e6);
const bundle = new URL('../../dist/', import.meta.url).href;

/** The guest's worker: a line on the process's output says which page has which number after a sync that returned. */
const GUEST = `
  import { writeSync } from 'node:fs';
  import { workerData } from 'node:worker_threads';
  import { mount } from '${bundle}guest.js';
  const { attachment, self, seed } = workerData;
  const guest = mount(attachment);
  const file = guest.open('/file', 'r+');
  const map = file.mmap({ length: ${PAGES * 4096}, writable: true });
  const words = new Uint32Array(${WORDS});
  let random = seed + self;
  const next = (bound) => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return (random >>> 8) % bound;
  };
  for (let step = 1; ; step++) {
    const told = [];
    for (let i = next(12); i >= 0; i--) {
      const page = next(${PAGES});
      const at = page * 4096 + self * ${WORDS * 4};
      const value = map.loadU32(at) + 1;
      if (next(2) === 0) map.write(at, new Uint8Array(words.fill(value).buffer));
      else for (let word = 0; word < ${WORDS}; word++) map.storeU32(at + word * 4, value);
      told.push(self + ' ' + page + ' ' + value);
    }
    if (next(2) === 0) map.sync();
    else file.sync();
    // One write of less than PIPE_BUF: all of it or nothing.
    writeSync(1, told.join('\\n') + '\\n');
  }`;

const HOST = `
  import { Worker } from 'node:worker_threads';
  import { createHost } from '${bundle}index.js';
  const [guestFile, directory, cacheSize, seed] = process.argv.slice(2);
  const host = await createHost({ fs: 'dir:' + directory, cacheSize: Number(cacheSize), windowSize: 4 << 20 });
  for (let self = 0; self < ${GUESTS}; self++) {
    new Worker(guestFile, { workerData: { attachment: host.attach(), self, seed: Number(seed) } });
  }`;

const children = new Set<ChildProcess>();

// A test that ran out of time leaves nobody behind.
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** Runs the process until it has told `lines` lines, kills it, returns what it told. */
function runAndKill(args: readonly string[], lines: number): Promise<string[]> {
  const child = spawn(process.execPath, [...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
    if (text.split('\n').length > lines) child.kill('SIGKILL');
  });
  children.add(child);
  return new Promise((resolve, reject) => {
    child.once('close', (_code, signal) => {
      if (signal === 'SIGKILL') resolve(text.split('\n').slice(0, -1));
      else reject(new Error('the child ended before it was killed'));
    });
  });
}

test(`what was stored before fsync returned survives kill -9 (SEED=${seed})`, {
  timeout: 30_000 + ROUNDS * 10_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'virtiofs-kill-'));
  const scripts = mkdtempSync(join(tmpdir(), 'virtiofs-kill-scripts-'));
  const [host, guest, file] = [join(scripts, 'host.mjs'), join(scripts, 'guest.mjs'), join(directory, 'file')];
  writeFileSync(host, HOST);
  writeFileSync(guest, GUEST);
  writeFileSync(file, new Uint8Array(PAGES * 4096));
  const random = new Prng(seed);
  let synced = 0;
  for (let round = 0; round < ROUNDS; round++) {
    // Every second pool is far too small: what is synced was also evicted, refilled and stored again.
    const cacheSize = (round % 2 === 0 ? 64 : 1024) * 4096;
    const told = await runAndKill([host, guest, directory, `${cacheSize}`, `${seed + round}`], random.below(2000));
    const bytes = readFileSync(file);
    for (const line of told) {
      const [self, page, value] = line.split(' ').map(Number) as [number, number, number];
      synced++;
      for (let word = 0; word < WORDS; word++) {
        const got = bytes.readUInt32LE(page * 4096 + self * WORDS * 4 + word * 4);
        // What was stored later may be there too, in part.
        if (got < value) expect({ round, line, word, got }).toEqual({ round, line, word, got: value });
      }
    }
  }
  expect(synced).toBeGreaterThan(ROUNDS);
  rmSync(directory, { recursive: true });
  rmSync(scripts, { recursive: true });
});
