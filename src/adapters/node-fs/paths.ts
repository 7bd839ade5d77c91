/** Paths as text: what node:path does for POSIX, as far as node:fs needs it. */

/** Removes ".", ".." and double slashes; keeps one slash at the end. "" is ".". */
function normalize(path: string): string {
  if (path === '') return '.';
  const isAbsolute = path.startsWith('/');
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== '..') parts.pop();
    else if (!isAbsolute) parts.push(part);
  }
  const body = parts.join('/');
  if (body === '') return isAbsolute ? '/' : path.endsWith('/') ? './' : '.';
  return `${isAbsolute ? '/' : ''}${body}${path.endsWith('/') ? '/' : ''}`;
}

export function join(...parts: readonly string[]): string {
  return normalize(parts.filter((part) => part !== '').join('/'));
}

/** The absolute path of the last of `parts`, seen from those before it, seen from `cwd`. */
export function resolve(cwd: string, ...parts: readonly string[]): string {
  let path = '';
  for (const part of [cwd, ...parts]) path = part.startsWith('/') ? part : `${path}/${part}`;
  const normal = normalize(path.startsWith('/') ? path : `/${path}`);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

export function dirname(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  if (trimmed === '') return path === '' ? '.' : '/';
  const slash = trimmed.lastIndexOf('/');
  if (slash < 0) return '.';
  return trimmed.slice(0, slash).replace(/\/+$/, '') || '/';
}

export function basename(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  return trimmed.slice(trimmed.lastIndexOf('/') + 1);
}

/** How to come from the absolute path `from` down to `to`, which lies in it. */
export function below(from: string, to: string): string {
  return from === '/' ? to.slice(1) : to.slice(from.length + 1);
}
