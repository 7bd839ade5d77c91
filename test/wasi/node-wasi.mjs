// Runs a WASI program as Node does, on a real directory. Usage: node node-wasi.mjs PROGRAM.wasm DIRECTORY [ARG…]
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const [program, directory, ...args] = process.argv.slice(2);
const { GREETING } = process.env;
const wasi = new WASI({
  version: 'preview1',
  args: ['program', ...args],
  env: GREETING === undefined ? {} : { GREETING },
  preopens: { '/': directory },
  returnOnExit: true,
});
const { instance } = await WebAssembly.instantiate(readFileSync(program), wasi.getImportObject());
process.exitCode = wasi.start(instance);
