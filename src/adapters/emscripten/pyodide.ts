/** Pyodide, unmodified, with everything that this adapter can do. */
import { createVirtiofs, type VirtiofsType } from './file-system.ts';
import { F_FLOCK } from './locks.ts';
import type { EmscriptenModule } from './module.ts';
import { Syscalls } from './syscalls.ts';

interface PyodideLike {
  readonly _module: EmscriptenModule;
  runPython(code: string): unknown;
}

/**
 * libc's flock is inside of the program, where nobody can reach it: Python's becomes an fcntl of our own, which raises
 * what it should.
 */
const FLOCK = `
def _install():
    import fcntl
    def flock(fd, operation, /):
        """Perform the lock operation op on file descriptor fd."""
        fcntl.fcntl(fd, ${F_FLOCK}, operation)
    fcntl.flock = flock
_install()
del _install
`;

/** Loads Pyodide: `await loadPyodideWith(() => loadPyodide(options))`. Then FS.mount(VIRTIOFS, { guest }, path). */
export async function loadPyodideWith<P extends PyodideLike>(
  load: () => Promise<P>,
): Promise<{ readonly pyodide: P; readonly VIRTIOFS: VirtiofsType }> {
  const syscalls = new Syscalls();
  const pyodide = await syscalls.during(load);
  pyodide.runPython(FLOCK);
  return { pyodide, VIRTIOFS: createVirtiofs(pyodide._module, syscalls) };
}
