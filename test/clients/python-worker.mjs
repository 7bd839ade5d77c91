// Python in a worker, with a guest's tree on /mnt. Runs the code it is sent, one piece at a time, and posts the result.
import { parentPort, workerData } from 'node:worker_threads';
import { loadPyodide } from 'pyodide';
import { loadPyodideWith } from '../../dist/emscripten.js';
import { mount } from '../../dist/guest.js';

const guest = mount(workerData.attachment);
const { pyodide, VIRTIOFS } = await loadPyodideWith(() => loadPyodide());
pyodide.FS.mkdirTree('/mnt');
pyodide.FS.mount(VIRTIOFS, { guest }, '/mnt');
pyodide.runPython('import os; os.chdir("/mnt")');
parentPort.on('message', ({ id, code }) => {
  if (code === undefined) {
    guest.unmount();
    process.exit(0);
  }
  try {
    const result = pyodide.runPython(code);
    parentPort.postMessage({ id, result: result?.toJs?.({ create_pyproxies: false }) ?? result });
  } catch (error) {
    parentPort.postMessage({ id, error: error.message });
  }
});
parentPort.postMessage({ id: 0 });
