/**
 * Programs in C, run three times: on a guest, by Node's own WASI on a real directory, and natively. They must say the
 * same, end the same, and leave the same tree.
 */
import { afterAll, expect, test } from 'vitest';
import { type Outcome, skipReason, Toolchain, title } from './toolchain.ts';

const tools = new Toolchain();
afterAll(() => tools.remove());

const isSkipped = skipReason !== undefined;
/** Where Node 20 does not do what Linux does: it has a symlink followed, walks by text, keeps whole seconds. */
const NODE_DIFFERS = /^(no follow|empty target|target\/\.): .*$/gm;
const FRACTIONS = /(?<=\d)\.\d{6}\b/g;

test.skipIf(isSkipped).each(['files', 'dirs', 'names', 'times'])(title('%s.c'), async (name) => {
  const ours = await tools.run(name);
  expect(ours).toEqual(tools.runNative(name));
  expect(asNode(ours)).toEqual(asNode(tools.runNode(name)));
});

test.skipIf(isSkipped)(title('mapped.c, with the mmap that wasi-libc emulates'), async () => {
  const ours = await tools.run('mapped');
  expect(ours.stdout).toMatch(/^mapped\n\d+ 00065536\n/);
  expect(ours).toEqual(tools.runNode('mapped'));
  expect(ours).toEqual(tools.runNative('mapped'));
});

test.skipIf(isSkipped)(title('world.c: arguments, environment, standard streams, exit codes'), async () => {
  const options = { args: ['42', 'with space', 'ünïcode'], env: { GREETING: 'hällo' }, stdin: 'one\ntwo\n' };
  const ours = await tools.run('world', options);
  expect(ours).toMatchObject({ code: 42, stderr: 'to stderr\n' });
  expect(ours).toEqual(tools.runNode('world', options));
  expect(ours).toEqual(tools.runNative('world', options));
});

const seeds = Array.from({ length: 6 }, (_, i) => Number(process.env['SEED'] ?? 1) + i);

test.skipIf(isSkipped).each(seeds)(title('random.c, seed %i'), async (seed) => {
  const options = { args: [String(seed), process.env['STEPS'] ?? '2000'] };
  const ours = await tools.run('random', options);
  expect(ours.stdout.split('\n').length).toBeGreaterThan(1000);
  expect(ours).toEqual(tools.runNative('random', options));
});

test.skipIf(isSkipped)(
  title('random.c without a window, and with a window and an inode cache that are too small'),
  async () => {
    const options = { args: ['99', '3000'] };
    const native = tools.runNative('random', options);
    expect(await tools.run('random', { ...options, mount: { dax: 'never' } })).toEqual(native);
    const small = { ...options, host: { windowSize: 4 << 20 }, mount: { maxInodes: 16 } };
    expect(await tools.run('random', small)).toEqual(native);
  },
);

function asNode({ stdout, ...rest }: Outcome): Outcome {
  return { ...rest, stdout: stdout.replace(NODE_DIFFERS, '').replace(FRACTIONS, '') };
}
