import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import type { Guest, Host } from '../../src/index.ts';
import { hasClient } from './python.ts';

const { createHost, mount }: typeof import('../../src/index.ts') = await import(
  new URL('../../dist/index.js', import.meta.url).href
);

const ROOT = new URL('../..', import.meta.url).pathname;
const COMPILER = new URL('node_modules/typescript', import.meta.url).pathname;
const CONFIG = {
  compilerOptions: {
    ...JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8')).compilerOptions,
    ...{ noEmit: false, declaration: true, rootDir: '.' },
  },
  files: ['assembly/layout.ts', 'assembly/portable.d.ts'],
  include: ['src'],
};

let host: Host | undefined;
let copy: string | undefined;

afterEach(async () => {
  await host?.terminate();
  if (copy !== undefined) rmSync(copy, { recursive: true });
});

describe.skipIf(!hasClient('typescript'))('TypeScript 6 (npm ci --prefix test/clients)', () => {
  test('compiles this project from the tree of a guest, and emits what it emits from the disk', async () => {
    copy = mkdtempSync(join(tmpdir(), 'virtiofs-typescript-'));
    gather(copy);
    host = await createHost({ cacheSize: 64 << 20, windowSize: 16 << 20, guests: 2, log: () => {} });
    const guest = mount(host.attach());
    guest.mkdir('/project');
    upload(guest, copy, '/project');
    const [fromGuest, fromDisk] = await Promise.all([
      compile({ attachment: host.attach(), root: '/project', out: '/project/out' }),
      compile({ root: copy, out: join(copy, 'out') }),
    ]);
    expect(fromGuest.complaints).toEqual([]);
    expect(fromGuest).toEqual(fromDisk);
    // Code and declarations of each file.
    expect(fromGuest.emitted).toBeGreaterThan(400);
    expect(guest.readFile('/project/out/src/index.js', 'utf8')).toBe(
      readFileSync(join(copy, 'out/src/index.js'), 'utf8'),
    );
    guest.unmount();
  }, 300_000);
});

interface Compiled {
  readonly complaints: readonly string[];
  readonly emitted: number;
  readonly sum: string;
}

async function compile(workerData: object): Promise<Compiled> {
  const worker = new Worker(new URL('compile-worker.mjs', import.meta.url), { workerData });
  const [answer] = await once(worker, 'message');
  await once(worker, 'exit');
  return answer as Compiled;
}

/** What a compilation needs: sources, the compiler's libraries, the types of Node. */
function gather(to: string): void {
  for (const folder of ['src', 'assembly', 'node_modules/@types/node', 'node_modules/undici-types']) {
    cpSync(join(ROOT, folder), join(to, folder), { recursive: true });
  }
  const lib = join(to, 'node_modules/typescript/lib');
  mkdirSync(lib, { recursive: true });
  for (const name of readdirSync(join(COMPILER, 'lib'))) {
    if (/^lib\..*d\.ts$/.test(name)) cpSync(join(COMPILER, 'lib', name), join(lib, name));
  }
  writeFileSync(join(to, 'package.json'), readFileSync(join(ROOT, 'package.json')));
  writeFileSync(join(to, 'tsconfig.json'), JSON.stringify(CONFIG));
}

function upload(guest: Guest, from: string, to: string): void {
  for (const name of readdirSync(from)) {
    const [source, target] = [join(from, name), `${to}/${name}`];
    if (statSync(source).isDirectory()) {
      guest.mkdir(target);
      upload(guest, source, target);
    } else guest.writeFile(target, readFileSync(source));
  }
}
