// SQLite in Pyodide on a directory of this machine, which sqlite3 here could have open at the same time.
// Needs pyodide (npm install pyodide). Usage: node sqlite-in-pyodide.mjs DIRECTORY
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { createHost, mount } from 'virtiofs';
import { loadPyodideWith } from 'virtiofs/emscripten';

async function main() {
  const host = await createHost({ fs: `dir:${process.argv[2]}` });
  const worker = new Worker(new URL(import.meta.url), { workerData: host.attach() });
  worker.once('exit', () => host.stop());
}

async function work(attachment) {
  const { loadPyodide } = await import(process.env.PYODIDE ?? 'pyodide');
  const guest = mount(attachment);
  const { pyodide, VIRTIOFS } = await loadPyodideWith(() => loadPyodide());
  pyodide.FS.mkdir('/data');
  pyodide.FS.mount(VIRTIOFS, { guest }, '/data');
  const rows = pyodide.runPython(`
    import sqlite3
    db = sqlite3.connect('/data/notes.db')
    db.execute('create table if not exists notes (id integer primary key, text)')
    db.execute('insert into notes (text) values (?)', ('from Python in a worker',))
    db.commit()
    rows = db.execute('select count(*) from notes').fetchone()[0]
    db.close()
    rows
  `);
  console.log(`notes: ${rows}`);
  guest.unmount();
}

if (isMainThread) await main();
else await work(workerData);
