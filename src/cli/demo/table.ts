/** The demo's report as text. */
import type { DemoReport, ReadReport, WriteReport } from './demo.ts';

/** Returns the table that `virtiofs demo` prints, lines without a newline at the end. */
export function formatReport(report: DemoReport): string {
  return [...readLines(report.read), '', ...writeLines(report.write)].join('\n');
}

function readLines(read: ReadReport): string[] {
  const ratio = read.mbPerSecond.noDax === 0 ? 0 : read.mbPerSecond.dax / read.mbPerSecond.noDax;
  return [
    `Read phase: ${read.directory}, ${read.guests} guests, DAX window of ${read.windowBytes / (1 << 20)} MiB each`,
    row('files', count(read.files)),
    row('bytes', count(read.bytes)),
    row('mismatches against node:fs', count(read.mismatches)),
    ...requestRows(read.requests),
    row('mappings set up / upgraded / removed', mappings(read.mappings)),
    row('page faults', count(read.pageFaults)),
    row('bytes copied per byte read', read.bytesCopiedPerByteRead.toFixed(3)),
    row('MB/s with DAX', read.mbPerSecond.dax.toFixed(0)),
    row('MB/s without DAX', `${read.mbPerSecond.noDax.toFixed(0)}   (DAX is ${ratio.toFixed(2)} × that)`),
    ...wrongRows(read.wrong),
  ];
}

function writeLines(write: WriteReport): string[] {
  return [
    `Write phase: one memory tree, ${write.guests} guests at once, ${write.seconds.toFixed(2)} s`,
    row('files created / renamed / deleted', `${write.created} / ${write.renamed} / ${write.deleted}`),
    row('mismatches in the final tree', count(write.mismatches)),
    ...requestRows(write.requests),
    row('mappings set up / upgraded / removed', mappings(write.mappings)),
    row('page faults', count(write.pageFaults)),
    ...wrongRows(write.wrong),
  ];
}

function requestRows(requests: Readonly<Record<string, number>>): string[] {
  const entries = Object.entries(requests);
  const total = entries.reduce((sum, [, n]) => sum + n, 0);
  return [row('FUSE requests', count(total)), ...entries.map(([name, n]) => row(`  ${name}`, count(n)))];
}

function wrongRows(wrong: readonly string[]): string[] {
  const shown = wrong.slice(0, 10).map((text) => `  WRONG: ${text}`);
  return wrong.length > 10 ? [...shown, `  … and ${wrong.length - 10} more`] : shown;
}

function mappings(counts: { setUp: number; upgraded: number; removed: number }): string {
  return `${count(counts.setUp)} / ${count(counts.upgraded)} / ${count(counts.removed)}`;
}

function row(label: string, value: string): string {
  return `  ${label.padEnd(38)} ${value}`;
}

function count(n: number): string {
  return n.toLocaleString('en-US');
}
