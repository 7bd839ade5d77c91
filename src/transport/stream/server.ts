/**
 * Serves raw FUSE over a Unix stream socket: any number of clients one after another, `connections` at once, each with
 * a session of its own.
 */
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import type { Log } from '../../host/log.ts';
import type { Session } from '../../host/session.ts';
import { connectionRoom, StreamConnection } from './connection.ts';
import { claimSocketPath, SocketPathError } from './socket-path.ts';

export interface StreamServerOptions {
  readonly path: string;
  /** Starts the session of the client that comes next; its `maxWrite` must be the one given here. */
  readonly openSession: (name: string) => Session;
  readonly maxWrite: number;
  /** The host's memory, and where in it `streamRoom(maxWrite, connections)` bytes are ours. */
  readonly buffer: ArrayBufferLike;
  readonly at: number;
  readonly connections: number;
  readonly log: Log;
}

/** Bytes of host memory that a server needs; what no client touches costs nothing. */
export function streamRoom(maxWrite: number, connections: number): number {
  return connections * connectionRoom(maxWrite);
}

/** Listens, and resolves when clients can connect. Throws a SocketPathError. */
export async function serveStream(options: StreamServerOptions): Promise<StreamServer> {
  await claimSocketPath(options.path);
  const server = new StreamServer(options);
  await server.listen();
  return server;
}

export class StreamServer {
  readonly connections = new Set<StreamConnection>();
  readonly #options: StreamServerOptions;
  readonly #net: NetServer;
  readonly #freePlaces: number[] = [];
  #clients = 0;

  /** Use serveStream. */
  constructor(options: StreamServerOptions) {
    this.#options = options;
    for (let i = options.connections - 1; i >= 0; i--) this.#freePlaces.push(i);
    this.#net = createServer((socket) => this.#accept(socket));
  }

  listen(): Promise<void> {
    const { path } = this.#options;
    return new Promise((resolve, reject) => {
      const refuse = (error: Error) => reject(new SocketPathError(`cannot listen on ${path}: ${error.message}`));
      this.#net.once('error', refuse);
      this.#net.listen(path, () => {
        this.#net.off('error', refuse);
        resolve();
      });
    });
  }

  /** Sends a notification to every client. */
  notify(message: Uint8Array): void {
    for (const connection of this.connections) connection.notify(message);
  }

  /** Takes no more clients, lets go of those that are there, removes the socket file. */
  close(): Promise<void> {
    for (const connection of this.connections) connection.close();
    return new Promise((resolve) => {
      this.#net.close(() => resolve());
    });
  }

  #accept(socket: Socket): void {
    const { at, maxWrite, log, openSession, buffer } = this.#options;
    const name = `client ${++this.#clients}`;
    const place = this.#freePlaces.pop();
    if (place === undefined) {
      log('error', `${name} is turned away: ${this.#options.connections} are connected`);
      socket.destroy();
      return;
    }
    const connection: StreamConnection = new StreamConnection({
      socket,
      session: openSession(name),
      buffer,
      at: at + place * connectionRoom(maxWrite),
      log,
      onClosed: () => {
        this.connections.delete(connection);
        this.#freePlaces.push(place);
      },
    });
    this.connections.add(connection);
  }
}
