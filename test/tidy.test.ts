/**
 * The rules of the house, as a test: who may import whom, how long things may be, which words are banned, and which
 * comments must be there. One test per rule; a failure lists every place. Rules read lines, not syntax trees: they lean
 * on the formatter, and on our imports being static, relative and single-quoted.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = new URL('..', import.meta.url).pathname;

/** What each folder may import besides itself: a folder, or a file without its ending. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  assembly: [],
  'src/base': [],
  'src/wire': ['src/base'],
  'src/virtio': ['src/base'],
  'src/dax': ['src/base', 'src/wire/errno', 'assembly/layout'],
  'src/guest': ['src/base', 'src/wire', 'src/virtio'],
  'src/host': ['src/base', 'src/wire', 'src/virtio', 'src/dax', 'assembly/layout'],
  // The FileSystem interface, and the pages that files live in.
  'src/fs': [
    'src/base',
    'src/wire',
    'src/virtio/chain',
    'src/host/address-space',
    'src/host/file-pages',
    'src/host/file-system',
    'src/host/inode',
    'src/host/log',
    'src/host/page-cache',
  ],
  'src/transport': ['src/base', 'src/wire', 'src/virtio', 'src/host'],
  'src/adapters': ['src/base', 'src/guest', 'src/wire'],
};
/** May import all of src. Nothing in src imports the rest of assembly/, test/, bench/ or scripts/. */
const MAY_IMPORT_ALL = ['src/worker', 'src/cli', 'src/testing', 'src'];
/** A worker's own file puts a whole host or guest together, wherever it lies. */
const IS_BOOT = /^src\/transport\/.*\bworker\.ts$/;

const MAY_USE_NODE = /^src\/(worker|cli)\/|^src\/fs\/dir\/|^src\/transport\/(kernel|stream)/;
const MAY_USE_BROWSER = /^src\/(worker|cli)\/|^src\/fs\/(dir|opfs)|^src\/transport\/(kernel|stream)/;
const MAY_TELL_TIME = /^src\/(base|worker|cli|transport)\//;
/** Pure tables may be longer than 400 lines: splitting one only hides that it is one. */
const LONG_TABLES: readonly string[] = [];
/** The tables whole, in one list: tests and the generated documents need them, no bundle does. */
const FOR_TESTS = ['src/wire/structs.ts'];
/** strerror(ENOSYS) has the words. */
const MAY_SAY_UNFINISHED = ['src/wire/errno.ts'];

const OWN = 'test/tidy.test.ts';
const all = walk('src').concat(
  walk('assembly'),
  walk('test'),
  walk('bench'),
  walk('scripts'),
  walk('web'),
  walk('examples'),
);
const sources = all.filter((path) => /\.(ts|mjs|js)$/.test(path) && !path.includes('/generated/'));
const inSrc = sources.filter((path) => path.startsWith('src/'));
const texts = new Map(sources.map((path) => [path, read(path)]));
const codes = new Map([...texts].map(([path, text]) => [path, withoutComments(text)]));

test('a folder imports only what its place in the protocol stack allows, and every allowed import is used', () => {
  const unused = new Set(Object.entries(MAY_IMPORT).flatMap(([from, list]) => list.map((to) => `${from} → ${to}`)));
  const complaints: string[] = [];
  for (const path of sources) {
    const own = folderOf(path);
    const allowed = MAY_IMPORT[own];
    for (const target of importsOf(path)) {
      if (folderOf(target) === own || !/^(src|assembly|test|bench|scripts)\//.test(target)) continue;
      const granted = allowed?.find((to) => target.startsWith(`${to}/`) || target === `${to}.ts`);
      unused.delete(`${own} → ${granted}`);
      const isInside = target.startsWith('src/') || target === 'assembly/layout.ts';
      const isFree =
        !/^(src|assembly)/.test(path) || ((MAY_IMPORT_ALL.includes(own) || IS_BOOT.test(path)) && isInside);
      if (granted === undefined && !isFree) complaints.push(`${path} may not import ${target}`);
    }
  }
  for (const rule of unused) {
    const [from, to] = rule.split(' → ') as [string, string];
    if (existsHere(from) && existsHere(to)) complaints.push(`nobody uses: ${rule}`);
  }
  expect(complaints).toEqual([]);
});

test('Node and browsers are touched only where the tree says so, and no package is needed', () => {
  const browser = /(?<![.#\w'])(document|navigator|localStorage|self|postMessage|MessageChannel|Worker|console)\b(?!:)/;
  const node = /(?<![.#\w'])(process|Buffer|require)\b(?=[.([]|\?\.)/;
  const complaints = places(inSrc, (line, path) => {
    if (MAY_USE_BROWSER.test(path)) return undefined;
    return (browser.exec(line) ?? node.exec(line))?.[0];
  });
  for (const path of inSrc) {
    for (const name of importsOf(path).filter((target) => !/^(src|assembly|test|bench|scripts)\//.test(target))) {
      if (!name.startsWith('node:') || !MAY_USE_NODE.test(path)) complaints.push(`${path} imports ${name}`);
    }
  }
  expect(complaints).toEqual([]);
});

test('time, chance and sleep are arguments', () => {
  const clock = /\b(Date\.now|performance\.now|Math\.random|setTimeout|setInterval|new Date\(\))/;
  expect(places(inSrc, (line, path) => (MAY_TELL_TIME.test(path) ? undefined : clock.exec(line)?.[0]))).toEqual([]);
});

test('files have at most 400 lines, lines 120 characters, functions 70 lines', () => {
  const complaints: string[] = [];
  for (const path of sources) {
    const lines = linesOf(path);
    if (lines.length - 1 > 400 && !LONG_TABLES.includes(path)) complaints.push(`${path}: ${lines.length - 1} lines`);
    lines.forEach((line, i) => {
      // An inline snapshot cannot be wrapped.
      if (line.length > 120 && !line.trimStart().startsWith('`"'))
        complaints.push(`${path}:${i + 1}: ${line.length} characters`);
      const size = functionSize(lines, i);
      if (size > 70 && !path.startsWith('test/')) complaints.push(`${path}:${i + 1}: a function of ${size} lines`);
    });
  }
  expect(complaints).toEqual([]);
});

test('banned constructs do not appear', () => {
  const banned: readonly RegExp[] = [
    /(:\s*any\b|<any\b|\bas any\b|\bany\[\])/,
    /^\s*(export )?(declare )?(const )?enum /,
    /^export default\b/,
    /^\s*(export )?(declare )?namespace /,
    /\bdebugger\b/,
    /\b(test|it|describe)\.only\(/,
    /@ts-(ignore|nocheck)/,
  ];
  const mayDefault = /config\.ts$|^web\//;
  const found = places(
    sources.filter((path) => path !== OWN),
    (line, path) => {
      const hit = banned.find((pattern) => pattern.test(line));
      return hit !== undefined && !(mayDefault.test(path) && line.includes('default')) ? line.trim() : undefined;
    },
  );
  const asserted = places(inSrc, (line) => (/[\w)\]]!(?![=\w:])/.test(line) ? `non-null: ${line.trim()}` : undefined));
  expect(found.concat(asserted)).toEqual([]);
});

test('nothing is left unfinished, and nothing names the machine it was written on', () => {
  const documents = walk('docs').concat(
    walk('.ci'),
    readdirSync(ROOT).filter((name) => /\.(md|json|ts)$/.test(name)),
  );
  const words = /FIX[M]E|TO[D]O|XX[X]|not[ ]implemented|\/wor[k]\/|shared[/]reference|\/home[/]\w|\/root[/]\w/i;
  const complaints: string[] = [];
  for (const path of new Set([...all, ...documents])) {
    if (path === 'package-lock.json' || path.startsWith('test/fixtures/') || MAY_SAY_UNFINISHED.includes(path))
      continue;
    const text = path === OWN ? '' : read(path);
    for (const [i, line] of text.split('\n').entries()) {
      const word = words.exec(line)?.[0];
      if (word !== undefined) complaints.push(`${path}:${i + 1}: ${word}`);
    }
  }
  expect(complaints).toEqual([]);
});

test('every atomic store, add, notify and wait has an ORDER comment within three statements above it', () => {
  const change = /\bAtomics\.(store|notify|wait|waitAsync|add|sub|and|or|exchange|compareExchange)\(/;
  // ACCESSED alone is a hint to the clock: nothing is ordered by it.
  const wasm = /\batomic\.(store|add|sub|and|or|cmpxchg)<(?!.*, ~?PTE_ACCESSED\))/;
  const complaints = inSrc.concat(sources.filter((path) => path.startsWith('assembly/'))).flatMap((path) => {
    const lines = linesOf(path);
    const code = codes.get(path)?.split('\n') ?? [];
    return lines.flatMap((_, i) => {
      const line = code[i] ?? '';
      if (!(change.test(line) || wasm.test(line)) || isOrdered(lines, i)) return [];
      return [`${path}:${i + 1}: ${line.trim()}`];
    });
  });
  expect(complaints).toEqual([]);
});

test('every assembly function that touches raw memory says why that is safe', () => {
  const raw = /\b(load|store)<|\bmemory\.(copy|fill)\(/;
  const complaints: string[] = [];
  for (const path of sources.filter((name) => name.startsWith('assembly/'))) {
    const lines = linesOf(path);
    let isCovered = false;
    lines.forEach((line, i) => {
      if (line.includes('SAFETY (all')) isCovered = true;
      if (isCovered || !/^(export )?function /.test(line)) return;
      const end = i + functionSize(lines, i);
      let start = i;
      while (/^(\/\/| \*|\/\*\*)/.test(lines[start - 1] ?? '')) start--;
      const code = (codes.get(path) ?? '').split('\n').slice(i, end).join('\n');
      const hasReason = lines.slice(start, end).some((text) => text.includes('SAFETY:'));
      if (raw.test(code) && !hasReason) complaints.push(`${path}:${i + 1}: ${line}`);
    });
  }
  expect(complaints).toEqual([]);
});

test('every source file is reached from an entry point', () => {
  const build = read('scripts/build.mjs');
  const named = [...build.matchAll(/in: '([^']+\.ts)'/g)].map((match) => match[1] as string);
  const names = ['index', 'guest', 'node', 'node-fs', 'testing', 'emscripten', 'wasi'];
  const entries = names.map((name) => `src/${name}.ts`);
  const queue = [...entries, ...named, 'src/worker/host-worker.ts'].filter((path) => texts.has(path));
  const reached = new Set(queue);
  for (const path of queue) {
    for (const target of importsOf(path)) {
      if (!reached.has(target) && texts.has(target)) queue.push(target);
      reached.add(target);
    }
  }
  expect(inSrc.filter((path) => !reached.has(path) && !FOR_TESTS.includes(path))).toEqual([]);
});

test('every link in a document leads to a file', () => {
  const documents = walk('docs').concat('README.md', 'SECURITY.md', 'CHANGELOG.md', 'test/README.md');
  const dead = documents.flatMap((path) =>
    [...read(path).matchAll(/\]\(([^):#]+)(?:#[^)]*)?\)/g)]
      .map((match) => posix.join(posix.dirname(path), match[1] as string))
      .filter((target) => !existsSync(ROOT + target))
      .map((target) => `${path}: ${target}`),
  );
  expect(dead).toEqual([]);
});

test('decisions are numbered without gaps, and the list of documents has them all', () => {
  const names = walk('docs/decisions').map((path) => posix.basename(path));
  const list = read('docs/README.md');
  names.sort().forEach((name, index) => {
    expect(name).toMatch(new RegExp(`^${String(index + 1).padStart(4, '0')}-`));
    expect(read(`docs/decisions/${name}`)).toMatch(new RegExp(`^# ${index + 1}\\. `));
    expect(list).toMatch(new RegExp(`\\[${index + 1} [^\\]]+\\]\\(decisions/${name}\\)`));
  });
});

test('the package depends on nothing at run time; its lock file is whole and names no registry', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, unknown>;
  for (const kind of ['dependencies', 'optionalDependencies']) expect(manifest[kind] ?? {}).toEqual({});
  // A user may install it; nobody must.
  expect(Object.keys(manifest['peerDependencies'] ?? {})).toEqual(['koffi']);
  expect(manifest['peerDependenciesMeta']).toEqual({ koffi: { optional: true } });
  const lock = read('package-lock.json');
  expect(lock).not.toContain('"resolved"');
  // npm leaves out what this machine did not install if a node_modules was there; then `npm ci` fails everywhere.
  const { packages } = JSON.parse(lock) as { packages: Record<string, { optionalDependencies?: object }> };
  const optional = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
  const locked = Object.keys(packages).map((path) => path.slice(path.lastIndexOf('node_modules/') + 13));
  expect(optional.filter((name) => !locked.includes(name))).toEqual([]);
});

function walk(folder: string): string[] {
  if (!existsSync(ROOT + folder)) return [];
  return readdirSync(ROOT + folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === 'node_modules') return [];
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? walk(path) : [path];
  });
}

function read(path: string): string {
  return readFileSync(ROOT + path, 'utf8');
}

function linesOf(path: string): string[] {
  return (texts.get(path) ?? '').split('\n');
}

/** Blanks comments, and the inside of strings, keeping every line where it was. */
function withoutComments(text: string): string {
  const quiet = /\/\*[\s\S]*?\*\/|(?<!:)\/\/.*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return text.replace(quiet, (hit) => hit.replace(/[^\n]/g, hit[0] === '/' ? ' ' : '_'));
}

function places(paths: readonly string[], complain: (line: string, path: string) => string | undefined): string[] {
  return paths.flatMap((path) =>
    (codes.get(path) ?? '').split('\n').flatMap((line, i) => {
      const complaint = complain(line, path);
      return complaint === undefined ? [] : [`${path}:${i + 1}: ${complaint}`];
    }),
  );
}

/** `src/fs/dir/io.ts` is in `src/fs`; `src/index.ts` is in `src`; `test/wire/x.ts` in `test`. */
function folderOf(path: string): string {
  const parts = posix.dirname(path).split('/');
  return parts[0] === 'src' ? parts.slice(0, 2).join('/') : (parts[0] as string);
}

/** What a file imports, exports from, imports at run time, or starts as a worker: paths, or names of packages. */
function importsOf(path: string): string[] {
  const text = (texts.get(path) ?? '').replace(/^\s*(\*|\/\/).*$/gm, '');
  const pattern = /(?:\bfrom |^import |\bimport\(|new URL\()'([^']+)'/gm;
  return [...text.matchAll(pattern)].map(([, name]) => {
    if (!name?.startsWith('.')) return name as string;
    const target = posix.join(posix.dirname(path), name);
    if (texts.has(target)) return target;
    return texts.has(`${target}.ts`) ? `${target}.ts` : target.replace(/\.js$/, '.ts');
  });
}

function existsHere(name: string): boolean {
  return sources.some((path) => path === `${name}.ts` || path.startsWith(`${name}/`));
}

/** Lines of the function that begins here, by indentation; 0 if none does. */
function functionSize(lines: readonly string[], start: number): number {
  const method =
    /^(\s*)(?:static |async |override |get |set )*(?!if\b|for\b|while\b|switch\b|catch\b)[#\w]+(?:<.*>)?\(.*[({,]$/;
  const head = lines[start] ?? '';
  const match = /^(\s*)(?:export )?(?:async )?function\b/.exec(head) ?? method.exec(head);
  if (match === null || head.endsWith('}')) return 0;
  const indent = match[1] as string;
  for (let i = start + 1; i < lines.length; i++) {
    const line = lines[i] as string;
    if (line.startsWith(`${indent})`) && /[;,]$/.test(line)) return 0;
    if (line.startsWith(`${indent}}`) && !line.endsWith('{')) return i - start + 1;
  }
  return 0;
}

/** Comments are free; three lines of code may stand between the comment and what it is about. */
function isOrdered(lines: readonly string[], at: number): boolean {
  let passed = 0;
  for (let i = at; i >= 0 && passed <= 4; i--) {
    const line = lines[i] as string;
    if (line.includes('ORDER:')) return true;
    if (!/^\s*(\/\/|\*|\/\*)/.test(line)) passed++;
  }
  return false;
}
