/** Tables of numbers. */

/** A label, then one cell per column; an empty cell does not apply. */
export type Row = readonly string[];

const numbers = new Intl.NumberFormat('en-US');

/** Fills the table with the id. */
export function fillTable(id: string, head: Row, rows: readonly Row[]): void {
  const table = document.getElementById(id) as HTMLTableElement;
  table.replaceChildren();
  const headRow = table.createTHead().insertRow();
  for (const text of head) headRow.append(headCell(text, 'col'));
  const body = table.createTBody();
  for (const [label = '', ...cells] of rows) {
    const row = body.insertRow();
    row.append(headCell(label, 'row'));
    for (const text of cells) {
      const cell = row.insertCell();
      cell.textContent = text === '' ? '–' : text;
      cell.classList.toggle('none', text === '' || text === '0');
    }
  }
}

export function count(n: number): string {
  return numbers.format(n);
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function headCell(text: string, scope: string): HTMLElement {
  const cell = document.createElement('th');
  cell.scope = scope;
  cell.textContent = text;
  return cell;
}
