import { expect, test } from 'vitest';
import { BROKEN, Framer, messageRoom, NEEDS_MORE } from '../../src/transport/stream/framer.ts';

const HEADER = 16;

function messageOf(size: number, fill: number): Uint8Array {
  const bytes = new Uint8Array(size).fill(fill);
  new DataView(bytes.buffer).setUint32(0, size, true);
  return bytes;
}

/** Feeds a stream in chunks of one size, and collects what comes out. */
function cut(stream: Uint8Array, chunkSize: number): Uint8Array[] {
  const buffer = new Uint8Array(256);
  const framer = new Framer(buffer, HEADER);
  const out: Uint8Array[] = [];
  for (let at = 0; at < stream.length; at += chunkSize) {
    framer.feed(stream.subarray(at, at + chunkSize));
    for (let size = framer.next(); size !== NEEDS_MORE; size = framer.next()) out.push(buffer.slice(0, size));
  }
  return out;
}

test('messages come out whole, however the stream is cut', () => {
  const messages = [messageOf(16, 1), messageOf(256, 2), messageOf(17, 3), messageOf(16, 4), messageOf(99, 5)];
  const stream = new Uint8Array(messages.flatMap((message) => [...message]));
  for (let chunkSize = 1; chunkSize <= stream.length; chunkSize++) expect(cut(stream, chunkSize)).toEqual(messages);
});

test.each([0, 1, 15, 257, 2 ** 32 - 1])('a length of %i ends the stream as soon as it is known', (size) => {
  const framer = new Framer(new Uint8Array(256), HEADER);
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, size, true);
  framer.feed(bytes.subarray(0, 3));
  expect(framer.next()).toBe(NEEDS_MORE);
  framer.feed(bytes.subarray(3));
  expect(framer.next()).toBe(BROKEN);
  expect(framer.announced).toBe(size);
  expect(framer.next()).toBe(BROKEN);
});

test('each message can be placed elsewhere, but not while it comes in', () => {
  const [one, other] = [new Uint8Array(64), new Uint8Array(64)];
  const framer = new Framer(one, HEADER);
  const stream = new Uint8Array([...messageOf(20, 7), ...messageOf(30, 8)]);
  framer.feed(stream.subarray(0, 10));
  expect(framer.next()).toBe(NEEDS_MORE);
  expect(() => framer.placeInto(other)).toThrow('a message is moved while it comes in');
  framer.feed(stream.subarray(10));
  expect(framer.next()).toBe(20);
  framer.placeInto(other);
  expect(framer.next()).toBe(30);
  expect([one[19], other[29]]).toEqual([7, 8]);
});

test('there is room for the largest payload and for the largest arguments', () => {
  expect(messageRoom(1 << 20)).toBe((1 << 20) + 4096);
  expect(messageRoom(4096)).toBe(132 * 1024 + 4096);
});
