/** Where the parts of a mailbox lie. What they do, the mounts show. */
import { expect, test } from 'vitest';
import { MAILBOX_SIZE, Mailbox } from '../../src/transport/kernel/mailbox.ts';

test('words, notifications, requests and the reply lie one after the other, and payloads on page boundaries', () => {
  const at = 8192;
  const box = new Mailbox(new SharedArrayBuffer(at + MAILBOX_SIZE), at);
  const notifies = Array.from({ length: 256 }, (_, i) => {
    const { byteOffset, length } = box.notifySlot(i);
    return { from: byteOffset, to: byteOffset + length };
  });
  const requests = Array.from({ length: box.slots }, (_, slot) => {
    const { byteOffset, length } = box.requestBytes(slot);
    // A WRITE's header and arguments are 80 bytes.
    expect((byteOffset + 80) % 4096).toBe(0);
    return { from: byteOffset, to: byteOffset + length };
  });
  expect((box.replyAt + 16) % 4096).toBe(0);
  const parts = [
    { from: at, to: at + 388 },
    ...notifies,
    ...requests,
    { from: box.replyAt, to: box.replyAt + box.replySize },
  ];
  let end = at;
  for (const { from, to } of parts) {
    expect(from).toBeGreaterThanOrEqual(end);
    end = to;
  }
  expect(end).toBeLessThanOrEqual(at + MAILBOX_SIZE);
});
