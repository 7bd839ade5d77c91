/** The page's elements: shows phases and progress while a run goes on, and its report afterwards. */
import type { PageResult, ReadPass, WriteReport } from './report.ts';
import type { Phase, Watch } from './script.ts';
import { count, fillTable, megabytes, type Row } from './tables.ts';
import { GUESTS } from './tasks.ts';

const PHASES: readonly { readonly phase: Phase; readonly label: string }[] = [
  { phase: 'start', label: 'Start host and guests' },
  { phase: 'prepare', label: 'Write the files to read' },
  { phase: 'write', label: 'Change one tree at once' },
  { phase: 'check', label: 'Check the final tree' },
  { phase: 'dax', label: 'Read through the window' },
  { phase: 'noDax', label: 'Read by FUSE_READ' },
  { phase: 'speed', label: 'Time both, in turns' },
];

export class View implements Watch {
  readonly #steps = new Map<Phase, HTMLElement>();
  readonly #bars: HTMLProgressElement[] = [];
  #phase: Phase = 'start';
  #phaseStartMs = 0;

  /** `onRun` is called when a run is asked for, with or without a guest that is terminated. */
  constructor(onRun: (casualty: boolean) => void) {
    for (const { phase, label } of PHASES) {
      const step = element('li', label);
      step.append(element('time', ' '));
      this.#steps.set(phase, step);
      find('phases').append(step);
    }
    for (let self = 0; self < GUESTS; self++) {
      const bar = document.createElement('progress');
      bar.max = 1;
      bar.value = 0;
      const label = element('label', `Guest ${self}`);
      label.append(bar);
      this.#bars.push(bar);
      find('guests').append(label);
    }
    find('again').addEventListener('click', () => onRun(false));
    find('terminate').addEventListener('click', () => onRun(true));
  }

  begin(): void {
    for (const step of this.#steps.values()) {
      step.className = '';
      (step.lastElementChild as HTMLElement).textContent = ' ';
    }
    for (const id of ['result', 'failure', 'notice']) find(id).hidden = true;
    this.#setButtons(false);
    this.#phaseStartMs = performance.now();
    this.enter('start');
  }

  enter(phase: Phase): void {
    const now = performance.now();
    const last = this.#steps.get(this.#phase);
    if (last !== undefined && phase !== this.#phase) {
      last.className = 'done';
      (last.lastElementChild as HTMLElement).textContent = `${Math.round(now - this.#phaseStartMs)} ms`;
    }
    this.#phase = phase;
    this.#phaseStartMs = now;
    this.#steps.get(phase)?.classList.add('now');
    for (const bar of this.#bars) bar.value = phase === 'done' ? 1 : 0;
  }

  progress(self: number, done: number, total: number): void {
    const bar = this.#bars[self];
    if (bar !== undefined) bar.value = done / total;
  }

  /** Why the run goes on inline. */
  explain(message: string): void {
    find('notice-text').textContent = message;
    find('notice').hidden = false;
  }

  fail(message: string): void {
    find('failure-text').textContent = message;
    find('failure').hidden = false;
    this.#setButtons(true);
  }

  show(result: PageResult): void {
    const badge = find('mode');
    const isInline = result.mode === 'inline';
    badge.textContent = isInline ? 'inline: one thread, no shared memory' : `shared memory, ${GUESTS} guest workers`;
    badge.classList.toggle('inline', isInline);
    badge.hidden = false;
    showVerdict(result);
    showTiles(result);
    fillTable('summary', ['', 'Write phase', 'Read with DAX', 'Read without DAX'], summaryRows(result));
    fillTable('requests', ['', 'Write phase', 'Read with DAX', 'Read without DAX'], requestRows(result));
    fillTable('shares', ['', ...result.guests.map((_, self) => `Guest ${self}`)], guestRows(result));
    find('result').hidden = false;
    this.#setButtons(true);
    (find('terminate') as HTMLButtonElement).disabled = isInline;
  }

  #setButtons(isEnabled: boolean): void {
    for (const id of ['again', 'terminate']) (find(id) as HTMLButtonElement).disabled = !isEnabled;
  }
}

function showVerdict(result: PageResult): void {
  const { write, read, terminated } = result;
  const mismatches = write.mismatches + read.mismatches;
  const verdict = find('verdict');
  verdict.className = mismatches === 0 ? 'verdict' : 'verdict wrong';
  const wrong = [...write.wrong, ...read.dax.wrong, ...read.noDax.wrong];
  const text = mismatches === 0 ? praise(write) : wrong.slice(0, 10).join('; ');
  verdict.replaceChildren(mismatches === 0 ? 'No mismatches' : `${count(mismatches)} mismatches`, element('p', text));
  if (terminated === undefined) return;
  const share = Math.round((100 * terminated.othersAt) / terminated.othersTotal);
  const steps = count(terminated.steps);
  const death = `A fifth guest was terminated after ${steps} steps; the others had done ${share} % of theirs.`;
  verdict.append(element('p', death));
}

function praise({ files, counter }: WriteReport): string {
  return (
    `The tree of ${count(files)} files that ${GUESTS} guests changed at once is what it must be, and so is every ` +
    `byte that they read. Counted in a shared mapped page: ${count(counter.actual)} of ${count(counter.expected)}.`
  );
}

function showTiles({ read }: PageResult): void {
  const { dax, noDax, mbPerSecond } = read;
  const tiles: [string, string, string][] = [
    ['read through the window', count(Math.round(mbPerSecond.dax)), ' MB/s'],
    ['read by FUSE_READ', count(Math.round(mbPerSecond.noDax)), ' MB/s'],
    ['DAX against FUSE_READ', (mbPerSecond.dax / mbPerSecond.noDax).toFixed(1), ' ×'],
    [
      'copied per byte read',
      dax.bytesCopiedPerByteRead.toFixed(2),
      ` instead of ${noDax.bytesCopiedPerByteRead.toFixed(2)}`,
    ],
  ];
  find('tiles').replaceChildren(
    ...tiles.map(([label, value, unit]) => {
      const tile = document.createElement('div');
      const number = element('dd', value);
      number.append(element('small', unit));
      tile.append(element('dt', label), number);
      return tile;
    }),
  );
}

function summaryRows({ write, read }: PageResult): Row[] {
  const row = (label: string, ofWrite: (write: WriteReport) => string, ofRead: (pass: ReadPass) => string): Row => {
    return [label, ofWrite(write), ofRead(read.dax), ofRead(read.noDax)];
  };
  const both = (label: string, of: (phase: WriteReport | ReadPass) => string): Row => row(label, of, of);
  return [
    row(
      'Files',
      (w) => `${count(w.created)} created`,
      (pass) => `${count(pass.files)} read`,
    ),
    ['Renamed / deleted', `${count(write.renamed)} / ${count(write.deleted)}`, '', ''],
    row(
      'Data',
      () => '',
      (pass) => megabytes(pass.bytes),
    ),
    both('Mismatches', (phase) => count(phase.mismatches)),
    both('FUSE requests', (phase) => count(total(phase.requests))),
    both('Mappings set up', (phase) => count(phase.mappings.setUp)),
    both('Mappings upgraded', (phase) => count(phase.mappings.upgraded)),
    both('Mappings taken for another file', (phase) => count(phase.mappings.reclaimed)),
    both('Mappings removed', (phase) => count(phase.mappings.removed)),
    both('Page faults', (phase) => count(phase.pageFaults)),
    row(
      'Bytes copied per byte read',
      () => '',
      (pass) => pass.bytesCopiedPerByteRead.toFixed(2),
    ),
    ['MB/s', '', count(Math.round(read.mbPerSecond.dax)), count(Math.round(read.mbPerSecond.noDax))],
  ];
}

function requestRows({ write, read }: PageResult): Row[] {
  const phases = [write.requests, read.dax.requests, read.noDax.requests];
  const names = new Set(phases.flatMap((requests) => Object.keys(requests)));
  const sorted = [...names].sort((a, b) => sumOf(phases, b) - sumOf(phases, a));
  return sorted.map((name): Row => [name, ...phases.map((requests) => count(requests[name] ?? 0))]);
}

function guestRows({ guests }: PageResult): Row[] {
  return [
    ['Files created', ...guests.map((guest) => count(guest.created))],
    ['Exclusive creations won', ...guests.map((guest) => count(guest.locksWon))],
    ['Files read', ...guests.map((guest) => count(guest.files))],
    ['Data read', ...guests.map((guest) => megabytes(guest.bytes))],
    ['Mappings set up', ...guests.map((guest) => count(guest.mappingsSetUp))],
  ];
}

function sumOf(phases: readonly Readonly<Record<string, number>>[], name: string): number {
  return phases.reduce((all, requests) => all + (requests[name] ?? 0), 0);
}

function total(requests: Readonly<Record<string, number>>): number {
  return Object.values(requests).reduce((all, each) => all + each, 0);
}

function find(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element '${id}'`);
  return found;
}

function element(tag: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
