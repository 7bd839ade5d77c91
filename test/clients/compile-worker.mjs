// TypeScript in a worker: compiles the project that lies on a guest's tree, or on this machine, through a System of its
// own, and posts what it complained of and a sum of all that it emitted.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { posix } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import ts from 'typescript';
import { mount } from '../../dist/guest.js';

const { attachment, root, out } = workerData;
const guest = attachment && mount(attachment);
const tree = guest ?? {
  stat: (path) => fs.statSync(path),
  readFile: (path) => fs.readFileSync(path, 'utf8'),
  writeFile: (path, text) => fs.writeFileSync(path, text),
  mkdir: (path) => fs.mkdirSync(path, { recursive: true }),
  readdir: (path) => fs.readdirSync(path, { withFileTypes: true }),
  realpath: (path) => fs.realpathSync(path),
};

function kindOf(path) {
  try {
    return tree.stat(path);
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  }
}

function entries(path) {
  const found = tree.readdir(path, { withTypes: true });
  const names = (wanted) => found.filter((entry) => entry.isDirectory() === wanted).map(({ name }) => name);
  return { files: names(false).sort(), directories: names(true).sort() };
}

const sum = createHash('sha256');
let emitted = 0;
const system = {
  args: [],
  newLine: '\n',
  useCaseSensitiveFileNames: true,
  write: () => {},
  readFile: (path) => (kindOf(path)?.isFile() ? tree.readFile(path, 'utf8') : undefined),
  writeFile: (path, text) => {
    tree.mkdir(posix.dirname(path), { recursive: true });
    tree.writeFile(path, text);
    sum.update(posix.relative(out, path)).update(tree.readFile(path, 'utf8'));
    emitted++;
  },
  resolvePath: (path) => posix.resolve(root, path),
  fileExists: (path) => kindOf(path)?.isFile() ?? false,
  directoryExists: (path) => kindOf(path)?.isDirectory() ?? false,
  createDirectory: (path) => tree.mkdir(path, { recursive: true }),
  getExecutingFilePath: () => `${root}/node_modules/typescript/lib/typescript.js`,
  getCurrentDirectory: () => root,
  getDirectories: (path) => (kindOf(path)?.isDirectory() ? entries(path).directories : []),
  readDirectory: (path, extensions, exclude, include, depth) =>
    ts.matchFiles(path, extensions, exclude, include, true, root, depth, entries, system.realpath),
  realpath: (path) => tree.realpath(path),
  exit: () => {},
};

const host = {
  ...system,
  onUnRecoverableConfigFileDiagnostic: (d) => parentPort.postMessage({ complaints: [text(d)] }),
};
const config = ts.getParsedCommandLineOfConfigFile(`${root}/tsconfig.json`, { outDir: out }, host);
const program = ts.createProgram({
  rootNames: config.fileNames,
  options: config.options,
  host: ts.createCompilerHostWorker(config.options, false, system),
});
const { diagnostics } = program.emit();
const all = [...config.errors, ...ts.getPreEmitDiagnostics(program), ...diagnostics];
parentPort.postMessage({ complaints: all.map(text), emitted, sum: sum.digest('hex') });
guest?.unmount();

function text({ file, start, messageText }) {
  const where = file === undefined ? '' : `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1}: `;
  return `${where}${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
}
