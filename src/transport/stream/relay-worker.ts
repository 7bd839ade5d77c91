/**
 * Entry point of the thread that owns the socket to a foreign server: sends what the host asks, takes what the server
 * says. The host's thread waits for it on the bridge; each message from there means "look at the bridge".
 */
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { InHeader, OutHeader } from '../../wire/fuse.ts';
import { OUT_HEADER_SIZE } from '../../wire/ids.ts';
import { type Area, Bridge } from './bridge.ts';
import { BROKEN, Framer, NEEDS_MORE } from './framer.ts';
import type { RelayWorkerData, RelayWorkerMessage } from './relay-link.ts';

const { path, shared } = workerData as RelayWorkerData;
const port = parentPort as NonNullable<typeof parentPort>;
const bridge = new Bridge(shared);
const request = new DataView(bridge.request.buffer, bridge.request.byteOffset, bridge.request.length);
const replies = bridge.replies.map((area) => new DataView(area.buffer, area.byteOffset, area.length));
/** Where the message that comes in next shall lie. */
let area: Area = 0;
const framer = new Framer(bridge.replies[area], OUT_HEADER_SIZE);
let trouble = 'the server closed the connection';

const socket = connect(path, () => {
  bridge.open();
  tell('open');
});
socket.on('data', (chunk: Uint8Array) => take(chunk));
socket.on('error', (error: NodeJS.ErrnoException) => {
  // These two say no more than that the server has left.
  if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') trouble = error.message;
});
socket.on('close', () => end(trouble));
port.on('message', () => (bridge.asked > 0 ? send(bridge.asked) : socket.destroySoon()));
// Without this the host would wait for an answer for ever.
process.on('uncaughtException', (error) => {
  end(error.stack ?? error.message);
  socket.destroy();
});

function send(size: number): void {
  if (bridge.isReplyDue) {
    // The request stays as it is until its reply has come: by then all of it has been sent.
    socket.write(bridge.request.subarray(0, size));
    return;
  }
  socket.write(bridge.request.slice(0, size));
  bridge.answer(0, 0);
}

function take(chunk: Uint8Array): void {
  framer.feed(chunk);
  for (;;) {
    const size = framer.next();
    if (size === NEEDS_MORE) return;
    if (size === BROKEN) {
      trouble = `the server sent a message of ${framer.announced} bytes`;
      socket.destroy();
      return;
    }
    sort(size);
  }
}

/** Replies come in any order, in principle; only one is waited for. */
function sort(size: number): void {
  const reply = replies[area] as DataView;
  const low = OutHeader.unique.low(reply, 0);
  const high = OutHeader.unique.high(reply, 0);
  if (low === 0 && high === 0) bridge.countNotify();
  else if (!isDue(low, high)) bridge.countStray();
  else {
    const filled = area;
    area = area === 0 ? 1 : 0;
    framer.placeInto(bridge.replies[area]);
    bridge.answer(size, filled);
  }
}

function isDue(low: number, high: number): boolean {
  if (!bridge.isReplyDue) return false;
  return InHeader.unique.low(request, 0) === low && InHeader.unique.high(request, 0) === high;
}

function end(why: string): void {
  bridge.end(why);
  tell('gone');
  port.close();
}

function tell(message: RelayWorkerMessage): void {
  port.postMessage(message);
}
