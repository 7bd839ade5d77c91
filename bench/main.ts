/** `npm run bench -- [NAME…] [--json FILE]` */
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { allocation } from './allocation.ts';
import { copy } from './copy.ts';
import { fio } from './fio.ts';
import { formatRows, makeReport, type Row } from './harness.ts';
import { kernel } from './kernel.ts';
import { mapped } from './mapped.ts';
import { roundtrip } from './roundtrip.ts';
import { window } from './window.ts';

const BENCHES: Readonly<Record<string, () => Promise<Row[]>>> = {
  copy,
  roundtrip,
  window,
  mapped,
  kernel,
  allocation,
  fio,
};
/** Those that need nothing but Node. */
const DEFAULT = ['copy', 'roundtrip', 'window', 'mapped'];

/** Runs the named benchmarks, all by default. Returns the exit code. */
export async function benchCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { json: { type: 'string' } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !(name in BENCHES));
  if (unknown !== undefined) {
    const names = Object.keys(BENCHES).join(', ');
    throw Object.assign(new TypeError(`unknown benchmark '${unknown}': there are ${names}`), { code: 'ERR_USAGE' });
  }
  const load = loadavg()[0] ?? 0;
  const rows: Row[] = [];
  for (const name of positionals.length > 0 ? positionals : DEFAULT) {
    if (process.stderr.isTTY) process.stderr.write(`measuring ${name} …\n`);
    rows.push(...((await BENCHES[name]?.()) ?? []));
  }
  const report = makeReport(rows, load);
  const { machine } = report;
  process.stdout.write(
    `${machine.cpu}, ${machine.cores} cores, load ${machine.load.map((l) => l.toFixed(2)).join(' → ')}\n`,
  );
  process.stdout.write(`${formatRows(rows)}\n`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
  return 0;
}
