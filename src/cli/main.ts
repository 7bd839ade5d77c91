#!/usr/bin/env node
/** The `virtiofs` command. Mistakes on the command line are one line on stderr and exit code 2. */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { runDemo, UsageError } from './demo/demo.ts';
import { formatReport } from './demo/table.ts';
import { mountCommand } from './mount.ts';
import { runCommand } from './run.ts';
import { serveCommand } from './serve.ts';

const HELP = `Usage: virtiofs COMMAND [OPTION…]

  demo [--dir PATH] [--json] [--no-dax]
      Serve a directory to four guests through a small DAX window, check every byte against node:fs, then let four
      guests change one tree at once and check what they leave. Exit code 1 on any mismatch.
  bench [NAME…] [--json FILE]
      Measure, as ratios to a reference in the same run. NAME: copy, roundtrip, window, mapped, fio, allocation, kernel.

  mount SPEC MOUNTPOINT [-o OPTION,…]
      Serve SPEC (memory, memory:SIZE, dir:PATH) to the Linux kernel, in the foreground, until it is unmounted or a
      signal comes. Needs root.
  serve SPEC --socket PATH
      Serve SPEC as raw FUSE over a Unix stream socket, in the foreground, until a signal comes. A guest mounts it as
      fuse:PATH.
  run [--dir GUEST::SPEC]… [--env NAME=VALUE]… PROGRAM.wasm [ARG…]
      Run a WASI program on guest mounts: at GUEST it sees SPEC (also fuse:SOCKET), and no other files. Its standard
      streams are ours, and its exit code; 134 if it traps. SIGINT ends it.

  --help, --version
`;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  try {
    if (command === undefined || command === '--help' || command === '-h' || command === 'help') return help(command);
    if (command === '--version') return await version();
    if (command === 'demo') return await demo(rest);
    if (command === 'bench') return await bench(rest);
    if (command === 'mount') return await mountCommand(rest);
    if (command === 'run') return await runCommand(rest);
    if (command === 'serve') return await serveCommand(rest);
    throw new UsageError(`unknown command '${command}': virtiofs --help lists them`);
  } catch (error) {
    if (!isUsageError(error)) throw error;
    process.stderr.write(`virtiofs: ${error.message.split('\n')[0]}\n`);
    return 2;
  }
}

function help(command: string | undefined): number {
  (command === undefined ? process.stderr : process.stdout).write(HELP);
  return command === undefined ? 2 : 0;
}

async function version(): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  process.stdout.write(`virtiofs ${version}\n`);
  return 0;
}

async function demo(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: { dir: { type: 'string' }, json: { type: 'boolean' }, 'no-dax': { type: 'boolean' } },
  });
  const progress = process.stdout.isTTY === true && values.json !== true;
  const report = await runDemo({ dir: values.dir, dax: values['no-dax'] !== true, progress });
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `${formatReport(report)}\n`);
  return report.read.mismatches + report.write.mismatches > 0 ? 1 : 0;
}

/** The benchmarks are a bundle of their own, which the published package leaves out. */
async function bench(args: string[]): Promise<number> {
  const bundle = new URL('./bench.js', import.meta.url);
  if (!existsSync(bundle)) throw new UsageError('the benchmarks are only in a checkout: run npm run bench there');
  const { benchCommand } = await import(bundle.href);
  return benchCommand(args);
}

/** Our own, and what parseArgs throws for options it does not know. */
function isUsageError(error: unknown): error is Error {
  if (error instanceof UsageError) return true;
  return error instanceof TypeError && /^ERR_PARSE_ARGS|^ERR_USAGE/.test(String((error as { code?: string }).code));
}
