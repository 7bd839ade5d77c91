/** `virtiofs run`: what its arguments ask for, and whether the program can be run at all. */
import { readFile } from 'node:fs/promises';
import { CALLS } from '../adapters/wasi/calls.ts';
import { errnoText } from '../wire/errno.ts';
import { type FileSystemSpec, parseSpec } from '../worker/host-options.ts';
import { UsageError } from './demo/demo.ts';

export const RUN_USAGE = 'usage: virtiofs run [--dir GUEST::SPEC]… [--env NAME=VALUE]… PROGRAM.wasm [ARG…]';

export interface RunDirectory {
  /** The path in the program. */
  readonly path: string;
  readonly specText: string;
  readonly spec: FileSystemSpec;
}

export interface RunArguments {
  readonly program: string;
  readonly args: readonly string[];
  readonly dirs: readonly RunDirectory[];
  readonly env: Readonly<Record<string, string>>;
}

/** Options come before the program; whatever follows it is the program's own. */
export function parseRun(args: readonly string[]): RunArguments {
  const dirs: RunDirectory[] = [];
  const env: Record<string, string> = {};
  let i = 0;
  for (; i < args.length && (args[i] as string).startsWith('-'); i++) {
    const [option, inline] = splitAt(args[i] as string, '=');
    if (option === '--') {
      i++;
      break;
    }
    if (option !== '--dir' && option !== '--env') throw new UsageError(`unknown option '${option}': ${RUN_USAGE}`);
    const value = inline ?? args[++i];
    if (value === undefined) throw new UsageError(`${option} needs a value: ${RUN_USAGE}`);
    if (option === '--dir') dirs.push(directory(value, dirs));
    else Object.assign(env, variable(value));
  }
  const [program, ...rest] = args.slice(i);
  if (program === undefined) throw new UsageError(RUN_USAGE);
  return { program, args: [program, ...rest], dirs, env };
}

/** Reads and compiles a program; throws a UsageError that says why it is none that can be run. */
export async function loadProgram(path: string): Promise<WebAssembly.Module> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${path}: ${errnoText(Math.abs(systemErrno(error)))}`);
  });
  const module = await WebAssembly.compile(bytes).catch((error: Error) => {
    throw new UsageError(`${path}: not a WebAssembly module: ${error.message.replace('WebAssembly.compile(): ', '')}`);
  });
  const problem = checkImports(module) ?? checkExports(module);
  if (problem !== undefined) throw new UsageError(`${path}: ${problem}`);
  return module;
}

function checkImports(module: WebAssembly.Module): string | undefined {
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (from === 'wasi_snapshot_preview1' && kind === 'function' && Object.hasOwn(CALLS, name)) continue;
    if (from === 'wasi_unstable') return 'built for a draft of WASI: build it for preview 1 (wasm32-wasip1)';
    if (kind === 'memory' || from === 'wasi') return 'needs threads (wasi-threads), which cannot be started here';
    return `imports ${from}.${name}, which WASI preview 1 does not have`;
  }
  return undefined;
}

function checkExports(module: WebAssembly.Module): string | undefined {
  const kinds = new Map(WebAssembly.Module.exports(module).map(({ name, kind }) => [name, kind]));
  if (kinds.get('_start') !== 'function') {
    return kinds.has('_initialize') ? 'a WASI reactor, which nobody calls: not a command' : "exports no '_start'";
  }
  if (kinds.has('_initialize')) return "exports both '_start' and '_initialize'";
  return kinds.get('memory') === 'memory' ? undefined : "exports no 'memory'";
}

function directory(value: string, before: readonly RunDirectory[]): RunDirectory {
  const [path, specText] = splitAt(value, '::');
  if (specText === undefined || path === '') {
    throw new UsageError(`--dir ${value}: expected GUEST::SPEC, as in --dir /data::dir:/srv/data`);
  }
  if (before.some((other) => other.path === path)) throw new UsageError(`--dir ${path}:: is given twice`);
  try {
    return { path, specText, spec: parseSpec(specText) };
  } catch (error) {
    throw new UsageError(`--dir ${value}: ${(error as Error).message}`);
  }
}

function variable(text: string): Record<string, string> {
  const [name, value] = splitAt(text, '=');
  if (name === '' || value === undefined) throw new UsageError(`--env ${text}: expected NAME=VALUE`);
  return { [name]: value };
}

function splitAt(text: string, separator: string): [before: string, after: string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** Node's own number is negative on POSIX. */
function systemErrno(error: NodeJS.ErrnoException): number {
  return error.errno ?? 5;
}
