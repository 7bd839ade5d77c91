/**
 * Names as node:fs takes them. A `ByteString` has one unit per byte, which is what Node calls latin1; so bytes travel
 * unchanged, also those that are no UTF-8. ASCII paths go as strings: Node passes them on without a copy.
 */
import { Buffer } from 'node:buffer';
import type { ByteString } from '../../base/bytes.ts';

/** What node:fs takes as a path. */
export type Path = string | Buffer;

/** Returns the path whose bytes are the units of `bytes`. */
export function pathOfBytes(bytes: string): Path {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes.charCodeAt(i) > 0x7f) return Buffer.from(bytes, 'latin1');
  }
  return bytes;
}

/** Returns the bytes of a name or link target that node:fs gave as a buffer. */
export function bytesOfBuffer(buffer: Buffer): ByteString {
  return buffer.toString('latin1') as ByteString;
}
