/**
 * One request on its way through the server, whatever carried it. The transport copies the header and the arguments
 * into `request`, private memory that no peer can change while we look; bulk data stays where it is and is named by
 * address. Calls are reused: nothing here is allocated per request.
 */
import type { SegmentList } from '../virtio/chain.ts';
import type { Errno } from '../wire/errno.ts';

/**
 * Room for a request's arguments: two names, a 64 KiB xattr value and its name, a full REMOVEMAPPING, a security
 * context.
 */
export const REQUEST_ROOM = 132 * 1024;
/** Room for a reply built by the server: the largest readdir chunk, link target or xattr value. */
export const REPLY_ROOM = 132 * 1024;

/** What a handler returns instead of an errno when the call is answered later. */
export const PENDING = -1 as Errno;

/** A request that waits for its answer, which is an errno alone: all that the operations that wait have to say. */
export interface Deferred {
  /**
   * Sends the answer, from the thread that serves the request's session: while another request is being handled, or
   * between two. Called once; never throws; does nothing if the peer has gone or was reset since.
   */
  complete(errno: Errno): void;
}

export interface Call {
  /** Header and arguments (for WRITE: header and `fuse_write_in` only), from position 0. */
  readonly request: DataView;
  /** Bytes in `request`. */
  requestSize: number;
  /** Bytes of the whole message, data included. */
  messageSize: number;
  /** WRITE's payload, as addresses in the host's memory. */
  readonly dataIn: SegmentList;

  /** The reply's arguments are built here from position 16; the server writes the header at 0. */
  readonly reply: DataView;
  /** Where READ's payload goes: the writable part of the message after its 16-byte header, as addresses. */
  readonly dataOut: SegmentList;
  /** Bytes the peer can take as a reply, header included; 0 = it gave no room for any. */
  replyRoom: number;
  /** Set by the server: bytes of `reply` that are valid, header included; 0 = no reply at all. */
  replySize: number;
  /** Set by the server: bytes already placed in `dataOut` that follow the header. */
  dataOutSize: number;

  /**
   * Given by transports that can answer out of order; only they are offered locks at INIT. Called by a handler that
   * returns PENDING next: the transport keeps what it needs for an answer (the header's `unique`, where it goes),
   * sends nothing when `handle` returns with a replySize of 0, and is free for the next request. Undefined = too many
   * wait already.
   */
  readonly defer?: () => Deferred | undefined;
}

/** Whoever answers a client's calls: a session of our server, or a relay's to somebody else's. */
export interface CallHandler {
  /** Answers one request: fills the call's reply. Never throws. */
  handle(call: Call): void;
  /** The client is gone. */
  close(): void;
}
