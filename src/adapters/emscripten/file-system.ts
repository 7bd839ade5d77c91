/** A file system type for Emscripten: `FS.mount(VIRTIOFS, { guest }, '/mnt')` shows a guest's tree to a program. */
import type { Guest } from '../../guest/guest.ts';
import { EEXIST, ENOENT } from '../../wire/errno.ts';
import { O_CREAT, O_EXCL, S_IFDIR } from '../../wire/mode.ts';
import { codeOf } from './errno.ts';
import { Mappings } from './mappings.ts';
import type { EmscriptenFs, EmscriptenModule, FsNode } from './module.ts';
import { Mounted } from './mounted.ts';
import { NodeOps } from './node-ops.ts';
import { StreamOps } from './stream-ops.ts';
import type { Syscalls } from './syscalls.ts';

export interface VirtiofsMountOptions {
  /** The guest of this worker. Each mount is a process of it, with descriptors and locks of its own. */
  readonly guest: Guest;
}

/** What FS.mount takes as its first argument. */
export interface VirtiofsType {
  mount(mount: { readonly opts: VirtiofsMountOptions }): FsNode;
}

/** A path that others keep making and removing is tried so often. */
const TRIES = 100;
const patched = new WeakSet<EmscriptenFs>();

/** `syscalls`, which has patched this program's imports, makes locks lock and mappings shared. */
export function createVirtiofs(module: EmscriptenModule, syscalls?: Syscalls): VirtiofsType {
  const mappings = new Mappings(module, syscalls !== undefined);
  syscalls?.connect(module, mappings);
  retryOpens(module.FS);
  return {
    mount({ opts }) {
      const mounted = new Mounted(opts.guest, module, mappings);
      mounted.nodeOps = new NodeOps(mounted);
      mounted.streamOps = new StreamOps(mounted);
      syscalls?.add(mounted);
      return mounted.newNode(null, '/', '', S_IFDIR | 0o777);
    },
  };
}

/**
 * FS.open looks first and creates then. Between the two somebody else may create the file, or remove it: without O_EXCL
 * neither is an error, and the next try sees how it is now.
 */
function retryOpens(fs: EmscriptenFs): void {
  if (patched.has(fs)) return;
  patched.add(fs);
  const { open } = fs;
  const mayRetry = new Set<unknown>([codeOf(EEXIST), codeOf(ENOENT)]);
  fs.open = (path, flags, mode) => {
    const creates = typeof flags === 'number' && (flags & (O_CREAT | O_EXCL)) === O_CREAT;
    for (let tries = 1; ; tries++) {
      try {
        return open(path, flags, mode);
      } catch (error) {
        if (!creates || tries === TRIES || !mayRetry.has((error as { errno?: unknown }).errno)) throw error;
      }
    }
  };
}
