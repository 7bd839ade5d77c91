/**
 * File names and link targets are bytes from end to end, as POSIX says. In JavaScript they travel as a `ByteString`:
 * a string with one UTF-16 unit (0 … 255) per byte. It can be a Map key, compares by bytes, and for ASCII names it
 * is the name itself. Text (what a program types) becomes bytes as UTF-8 at the edge, here and nowhere else.
 */
import type { Brand } from './brand.ts';

export type ByteString = Brand<string, 'ByteString'>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Returns the UTF-8 bytes of `text`. */
export function bytesOfText(text: string): ByteString {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return bytesOfArray(encoder.encode(text));
  }
  return text as ByteString;
}

/** Returns the text whose UTF-8 form is `bytes`; malformed sequences become U+FFFD. */
export function textOfBytes(bytes: ByteString): string {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes.charCodeAt(i) > 0x7f) return decoder.decode(arrayOfBytes(bytes));
  }
  return bytes;
}

export function bytesOfArray(array: Uint8Array): ByteString {
  let text = '';
  for (let i = 0; i < array.length; i++) text += String.fromCharCode(array[i] as number);
  return text as ByteString;
}

export function arrayOfBytes(bytes: ByteString): Uint8Array<ArrayBuffer> {
  const array = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) array[i] = bytes.charCodeAt(i);
  return array;
}

/** Reads `size` bytes at `at`. */
export function getBytes(view: DataView, at: number, size: number): ByteString {
  let text = '';
  for (let i = 0; i < size; i++) text += String.fromCharCode(view.getUint8(at + i));
  return text as ByteString;
}

/** Writes `bytes` at `at` and returns the position after the last byte. */
export function setBytes(view: DataView, at: number, bytes: ByteString): number {
  for (let i = 0; i < bytes.length; i++) view.setUint8(at + i, bytes.charCodeAt(i));
  return at + bytes.length;
}
