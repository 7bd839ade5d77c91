/** Compiles the programs of this folder, for WASI and for this machine, and runs them in all the places they run. */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WasiStream } from '../../src/adapters/wasi/streams.ts';
import { Wasi } from '../../src/adapters/wasi/wasi.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { createInline, type InlineOptions } from '../../src/worker/inline.ts';
import type { MountOptions } from '../../src/worker/mount.ts';

const here = new URL('.', import.meta.url).pathname;

/** Why programs cannot be compiled here; undefined if they can. */
export const skipReason = findReason();

/** A title, which says so if the test is skipped. */
export function title(text: string): string {
  return skipReason === undefined ? text : `${text} [skipped: ${skipReason}]`;
}

/** What a run leaves. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Every path, with its type and what it holds. */
  readonly tree: readonly string[];
}

export interface RunOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly host?: InlineOptions;
  readonly mount?: MountOptions;
}

/** Programs compiled into a directory of their own. */
export class Toolchain {
  readonly directory = mkdtempSync(join(tmpdir(), 'virtiofs-wasi-'));

  wasm(name: string): string {
    const out = join(this.directory, `${name}.wasm`);
    const mman = ['-D_WASI_EMULATED_MMAN', '-lwasi-emulated-mman'];
    if (!existsSync(out)) compile('clang', ['--target=wasm32-wasi', ...mman], name, out);
    return out;
  }

  native(name: string): string {
    const out = join(this.directory, name);
    if (!existsSync(out)) compile('clang', ['-D_GNU_SOURCE'], name, out);
    return out;
  }

  /** As Node runs it, in an empty directory. */
  runNode(name: string, options: RunOptions = {}): Outcome {
    return runIn(
      (directory) => [process.execPath, '--no-warnings', `${here}node-wasi.mjs`, this.wasm(name), directory],
      options,
    );
  }

  runNative(name: string, options: RunOptions = {}): Outcome {
    return runIn(() => [this.native(name)], options);
  }

  /** On a guest of ours. */
  async run(name: string, options: RunOptions = {}): Promise<Outcome> {
    using host = await createInline({ fs: 'memory:256MiB', ...options.host });
    const guest = host.mount(options.mount);
    const [stdout, stderr] = [new Collector(), new Collector()];
    const { args = [], env = {}, stdin = '' } = options;
    const wasi = new Wasi({
      guest,
      args: ['program', ...args],
      env,
      preopens: { '/': '/' },
      stdin: textStream(stdin),
      stdout,
      stderr,
    });
    const { instance } = await WebAssembly.instantiate(readFileSync(this.wasm(name)), wasi.imports());
    const code = wasi.start(instance);
    const tree = guestTree(guest, '').sort();
    guest.mount.checkInvariants();
    guest.unmount();
    return { code, stdout: stdout.text, stderr: stderr.text, tree };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}

export class Collector implements WasiStream {
  text = '';

  write(from: Uint8Array): number {
    this.text += Buffer.from(from).toString('latin1');
    return from.length;
  }
}

function textStream(text: string): WasiStream {
  let rest = Buffer.from(text);
  return {
    read(into) {
      const n = rest.copy(into);
      rest = rest.subarray(n);
      return n;
    },
  };
}

function runIn(command: (directory: string) => readonly string[], { args = [], env = {}, stdin }: RunOptions): Outcome {
  const directory = mkdtempSync(join(tmpdir(), 'virtiofs-wasi-run-'));
  try {
    const [file, ...rest] = [...command(directory), ...args] as [string, ...string[]];
    const options = { cwd: directory, env, input: stdin ?? '', encoding: 'latin1', maxBuffer: 1 << 26 } as const;
    const { status, stdout, stderr } = spawnSync(file, rest, options);
    return { code: status, stdout, stderr, tree: realTree(directory, '').sort() };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

export function realTree(root: string, path: string): string[] {
  return readdirSync(join(root, path)).flatMap((name) => {
    const below = `${path}/${name}`;
    const full = join(root, below);
    const stat = lstatSync(full);
    if (stat.isDirectory()) return [`${below}/`, ...realTree(root, below)];
    if (stat.isSymbolicLink()) return [`${below} -> ${readlinkSync(full)}`];
    return [line(below, stat.nlink, readFileSync(full))];
  });
}

function guestTree(guest: Guest, path: string): string[] {
  return guest.readdir(path === '' ? '/' : path).flatMap((name) => {
    const below = `${path}/${name}`;
    const stat = guest.lstat(below);
    if (stat.isDirectory()) return [`${below}/`, ...guestTree(guest, below)];
    if (stat.isSymbolicLink()) return [`${below} -> ${guest.readlink(below)}`];
    return [line(below, stat.nlink, guest.readFile(below))];
  });
}

function line(path: string, names: number, data: Uint8Array): string {
  let sum = 5381;
  for (const byte of data) sum = (Math.imul(sum, 33) + byte) | 0;
  return `${path} ${data.length} bytes, ${sum >>> 0}, ${names} names`;
}

function compile(compiler: string, flags: readonly string[], name: string, out: string): void {
  const source = `${here}programs/${name}.c`;
  const { status, stderr } = spawnSync(compiler, ['-O1', '-Wall', '-Werror', ...flags, source, '-o', out]);
  if (status !== 0) throw new Error(`${name}.c: ${stderr}`);
}

function findReason(): string | undefined {
  const probe = ['--target=wasm32-wasi', '-x', 'c', '-', '-o', '/dev/null'];
  const { status } = spawnSync('clang', probe, { input: 'int main(void) { return 0; }' });
  if (status === 0) return undefined;
  const reason = 'no C compiler for WASI: clang, lld, wasi-libc, libclang-rt-dev-wasm32';
  const isRequired = (process.env['VIRTIOFS_REQUIRE'] ?? '').split(',').includes('wasi');
  if (isRequired) throw new Error(`VIRTIOFS_REQUIRE asks for wasi, but there is ${reason}`);
  return reason;
}
