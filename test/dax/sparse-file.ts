/** What a file holds, kept apart from everything under test: a size, and the pages that are not all zeros. */

const PAGE = 4096;

export class SparseFile {
  size = 0;
  /** Stores through a mapping went to bytes behind the end: what is read there is nobody's business. */
  hasTail = false;
  readonly pages = new Map<number, Uint8Array>();
  /** Who may have written what others have not been told of, or what they cannot see. */
  readonly writers = new Set<object>();

  read(pos: number, wanted: number): Uint8Array {
    const out = new Uint8Array(Math.max(0, Math.min(wanted, this.size - pos)));
    for (let done = 0; done < out.length; ) {
      const at = pos + done;
      const n = Math.min(out.length - done, PAGE - (at % PAGE));
      const page = this.pages.get(Math.floor(at / PAGE));
      if (page !== undefined) out.set(page.subarray(at % PAGE, (at % PAGE) + n), done);
      done += n;
    }
    return out;
  }

  write(pos: number, data: Uint8Array): void {
    for (let done = 0; done < data.length; ) {
      const at = pos + done;
      const n = Math.min(data.length - done, PAGE - (at % PAGE));
      this.#page(Math.floor(at / PAGE)).set(data.subarray(done, done + n), at % PAGE);
      done += n;
    }
    if (data.length > 0 && pos + data.length > this.size) this.resize(pos + data.length);
  }

  resize(size: number): void {
    if (size < this.size) {
      for (const page of this.pages.keys()) if (page * PAGE >= size) this.pages.delete(page);
      if (size % PAGE !== 0) this.pages.get(Math.floor(size / PAGE))?.fill(0, size % PAGE);
    }
    if (size !== this.size) this.hasTail = false;
    this.size = size;
  }

  /** Zeros inside the file. */
  zero(pos: number, count: number): void {
    const end = Math.min(pos + count, this.size);
    for (let at = pos; at < end; ) {
      const n = Math.min(end - at, PAGE - (at % PAGE));
      const page = Math.floor(at / PAGE);
      if (n === PAGE) this.pages.delete(page);
      else this.pages.get(page)?.fill(0, at % PAGE, (at % PAGE) + n);
      at += n;
    }
  }

  /** The first byte at or after `pos` that is not zero; the size if there is none. */
  nextNonZero(pos: number): number {
    let first = this.size;
    for (const [page, bytes] of this.pages) {
      if ((page + 1) * PAGE <= pos || page * PAGE >= first) continue;
      const from = Math.max(0, pos - page * PAGE);
      const at = bytes.subarray(from).findIndex((byte) => byte !== 0);
      if (at >= 0) first = Math.min(first, page * PAGE + from + at);
    }
    return first;
  }

  #page(index: number): Uint8Array {
    const known = this.pages.get(index);
    if (known !== undefined) return known;
    const page = new Uint8Array(PAGE);
    this.pages.set(index, page);
    return page;
  }
}
