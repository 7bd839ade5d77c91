// isomorphic-git in a worker, in a repository on a guest's tree. Does what it is told and posts what came of it.
import { parentPort, workerData } from 'node:worker_threads';
import git from 'isomorphic-git';
import { mount } from '../../dist/guest.js';

const { attachment, who, task, count } = workerData;
const guest = mount(attachment);
const author = { name: who, email: `${who}@example.org` };
const dir = '/repository';
const fs = { promises: promisesOf(guest) };
/** Keeps the index between calls, as long as nobody else changes it. */
const cache = {};

const tasks = {
  /** One commit after another, each of a file of its own. */
  async commits() {
    await git.init({ fs, dir, defaultBranch: 'main' });
    for (let n = 0; n < count; n++) await commit(`file-${n}.txt`, `content ${n}\n`);
    return summary();
  },
  async branchAndMerge() {
    await git.branch({ fs, dir, ref: 'side', checkout: true });
    await commit('side.txt', 'from the side\n');
    await git.checkout({ fs, dir, ref: 'main', cache });
    const isAway = !guest.exists(`${dir}/side.txt`);
    await commit('main.txt', 'from the main line\n');
    await git.merge({ fs, dir, ours: 'main', theirs: 'side', author, cache });
    await git.checkout({ fs, dir, ref: 'main', cache });
    return { isAway, ...(await summary()) };
  },
  /** Commits on a branch of its own, while another worker does so on another. */
  async ownBranch() {
    const gitdir = `${dir}/.git`;
    let parent = await git.resolveRef({ fs, dir, ref: 'main' });
    for (let n = 0; n < count; n++) {
      const oid = await git.writeBlob({ fs, dir, blob: new TextEncoder().encode(`${who} ${n}`) });
      const tree = await git.writeTree({ fs, dir, tree: [{ mode: '100644', path: `${who}.txt`, oid, type: 'blob' }] });
      const timestamp = { timestamp: n, timezoneOffset: 0 };
      const person = { ...author, ...timestamp };
      const commit = { message: `${who} ${n}`, tree, parent: [parent], author: person, committer: person };
      parent = await git.writeCommit({ fs, gitdir, commit });
      await git.writeRef({ fs, dir, ref: `refs/heads/${who}`, value: parent, force: true });
    }
    return parent;
  },
};

async function commit(filepath, text) {
  guest.writeFile(`${dir}/${filepath}`, text);
  await git.add({ fs, dir, filepath, cache });
  await git.commit({ fs, dir, author, message: filepath, cache });
}

async function summary() {
  // A commit that two branches lead to is listed twice when many were made in one second.
  const log = new Set((await git.log({ fs, dir, cache })).map(({ oid }) => oid));
  const matrix = await git.statusMatrix({ fs, dir, cache });
  const changed = matrix.filter(([, head, workdir, stage]) => head !== 1 || workdir !== 1 || stage !== 1);
  return { commits: log.size, files: matrix.length, changed };
}

/** What isomorphic-git uses of node:fs. */
function promisesOf(tree) {
  const text = (options) => (typeof options === 'string' ? options : options?.encoding) === 'utf8';
  return {
    readFile: async (path, options) => (text(options) ? tree.readFile(path, 'utf8') : Buffer.from(tree.readFile(path))),
    writeFile: async (path, data, options) => tree.writeFile(path, data, { mode: options?.mode }),
    unlink: async (path) => tree.unlink(path),
    readdir: async (path) => tree.readdir(path),
    mkdir: async (path) => tree.mkdir(path),
    rmdir: async (path) => tree.rmdir(path),
    stat: async (path) => tree.stat(path),
    lstat: async (path) => tree.lstat(path),
    readlink: async (path) => Buffer.from(tree.readlink(path)),
    symlink: async (target, path) => tree.symlink(target, path),
  };
}

const result = await tasks[task]();
guest.unmount();
parentPort.postMessage(result);
