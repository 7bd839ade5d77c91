/** Text and bytes in Node's encodings, with a Buffer class or without. */
import type { BufferClass } from './platform.ts';

const encoder = new TextEncoder();
// A byte order mark is part of the text, as in Node.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const utf16 = new TextDecoder('utf-16le', { ignoreBOM: true });

export class Encoding {
  readonly #Buffer: BufferClass | undefined;

  constructor(Buffer: BufferClass | undefined) {
    this.#Buffer = Buffer;
  }

  /** The same bytes, as a Buffer where there is one. */
  buffer(bytes: Uint8Array): Uint8Array {
    return this.#Buffer?.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) ?? bytes;
  }

  encode(text: string, encoding: string): Uint8Array {
    const name = encoding.toLowerCase();
    if (name === 'utf8' || name === 'utf-8') return encoder.encode(text);
    return this.#Buffer?.from(text, encoding) ?? encodeAs(text, name);
  }

  /** `encoding`: a name; 'buffer' or null and undefined give bytes. */
  decode(bytes: Uint8Array, encoding: unknown): string | Uint8Array {
    if (encoding === undefined || encoding === null || encoding === '' || encoding === 'buffer') {
      return this.buffer(bytes);
    }
    return this.text(bytes, String(encoding));
  }

  text(bytes: Uint8Array, encoding: string): string {
    switch (encoding.toLowerCase()) {
      case 'utf8':
      case 'utf-8':
        return utf8.decode(shareless(bytes));
      case 'hex':
        return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
      case 'latin1':
      case 'binary':
        return characters(bytes, 0xff);
      case 'ascii':
        return characters(bytes, 0x7f);
      case 'base64':
        return btoa(characters(bytes, 0xff));
      case 'base64url':
        return btoa(characters(bytes, 0xff)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
      default:
        return utf16.decode(shareless(bytes.subarray(0, bytes.length & ~1)));
    }
  }
}

/** Decoders take no shared memory. */
function shareless(bytes: Uint8Array): Uint8Array {
  return bytes.buffer instanceof ArrayBuffer ? bytes : Uint8Array.from(bytes);
}

function characters(bytes: Uint8Array, mask: number): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte & mask);
  return text;
}

function encodeAs(text: string, name: string): Uint8Array {
  if (name === 'hex') {
    const digits = /^([0-9a-f]{2})*/i.exec(text)?.[0] ?? '';
    return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  }
  if (name.startsWith('base64')) return codes(atob(text.replace(/-/g, '+').replace(/_/g, '/').replace(/=+$/, '')));
  if (!/^u/.test(name)) return codes(text);
  return new Uint8Array(Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i)).buffer);
}

function codes(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i) & 0xff);
}
