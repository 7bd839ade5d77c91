/** The file that names a Unix socket: whether it can be ours. */
import { lstatSync, rmSync, type Stats } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';

/** The path cannot be served on. One line that says why. */
export class SocketPathError extends Error {
  override readonly name = 'SocketPathError';
}

/** SPEC: unix(7): sun_path has 108 bytes, one of them for the NUL. */
const PATH_MAX = 107;

/** Makes sure that nothing is at the path, removing a socket that nobody listens on. Throws a SocketPathError. */
export async function claimSocketPath(path: string): Promise<void> {
  const size = new TextEncoder().encode(path).length;
  if (size > PATH_MAX) throw new SocketPathError(`${path} has ${size} bytes: a socket's path has at most ${PATH_MAX}`);
  const stats = statsOf(path);
  if (stats === undefined && statsOf(dirname(path)) === undefined) {
    throw new SocketPathError(`there is no directory ${dirname(path)} for the socket`);
  }
  if (stats === undefined) return;
  if (!stats.isSocket()) throw new SocketPathError(`${path} exists and is no socket: it is left as it is`);
  if (await isServed(path)) throw new SocketPathError(`${path} is served by somebody else already`);
  rmSync(path, { force: true });
}

function statsOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new SocketPathError(`cannot look at ${path}: ${(error as Error).message}`);
  }
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    // Nobody listens, or it has just gone. Anything else means that there is somebody whom we may not reach.
    const isFree = (code?: string) => code === 'ECONNREFUSED' || code === 'ENOENT';
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(!isFree(error.code)));
  });
}
