// Serves dist/web on loopback, with the headers that make the page cross-origin isolated.
// Usage: node web/serve.mjs [--port N] [--no-isolation]  (prints one line with the URL; port 0, the default, is any)
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('../dist/web/', import.meta.url));

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
};

const COMMON = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src data:; " +
    "connect-src 'self'; base-uri 'none'; form-action 'none'",
};

const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

const options = readOptions();
const headers = options.isolation ? { ...COMMON, ...ISOLATION } : COMMON;
const server = createServer((request, response) => void answer(request, response));
server.on('error', (error) => {
  console.error(`cannot serve: ${error.message}`);
  process.exit(1);
});
server.listen(options.port, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`));

/** Reads the command line, or says in one line what is wrong with it. */
function readOptions() {
  try {
    const { values } = parseArgs({
      options: { port: { type: 'string', default: '0' }, 'no-isolation': { type: 'boolean' } },
    });
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Error(`'${values.port}' is not a port`);
    return { port, isolation: values['no-isolation'] !== true };
  } catch (error) {
    console.error(`serve: ${error.message}`);
    return process.exit(2);
  }
}

async function answer(request, response) {
  const file = fileOf(request);
  try {
    const body = await readFile(file);
    response.writeHead(200, { ...headers, 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' });
    response.end(request.method === 'HEAD' ? undefined : body);
  } catch {
    response.writeHead(404, { ...headers, 'Content-Type': 'text/plain; charset=utf-8' });
    response.end('not found: build the page first with "npm run build"\n');
  }
}

/** A file of ROOT: the path is normalized as an absolute one, so that no `..` is left in it. */
function fileOf(request) {
  let path = '/';
  try {
    path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname));
  } catch {
    path = '/malformed';
  }
  return join(ROOT, path === '/' ? 'index.html' : path);
}
