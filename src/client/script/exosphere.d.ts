// What `exosphere.js` declares, as a global and as a module.

/** How well a push is stored: in one node's memory, in that of others too, or on a disk. */
export type Level = "local" | "replicated" | "disk";

/**
 * How a client is connected: by a WebSocket, by an event stream that is read with `fetch`, or by long
 * polls. With the last two it pushes by POST. The guarantees are the same.
 */
export type Transport = "websocket" | "sse" | "long-polling";

/** Text, bytes, or anything that JSON can say, which the handler is told as JSON text. */
export type Outgoing = string | ArrayBuffer | ArrayBufferView | object | number | boolean | null;

export interface Info {
  /** The name of the message, the same for everyone who is told it. */
  id: string;
  /** Where it was published: a topic, or `~` and the session's id if it was sent to this client alone. */
  topic: string;
  /** The same for messages that are the same one, published twice. Only the first is told. */
  cause?: string;
}

export interface Acknowledged {
  key: string;
  level: Level;
  /** How many nodes have stored it. */
  nodes: number;
}

export interface Failed {
  key: string;
  message: Outgoing;
  /** How often it was sent again. */
  attempts: number;
  /** Why it is given up. Without it, it is sent again. */
  error?: Error;
}

export interface Gap {
  topic: string;
  /** What this client has, and where it goes on, as position tokens. Some of what lies between is gone. */
  from: string;
  to: string;
}

/**
 * What has become of the connection.
 *
 * - `connecting`: there was none yet.
 * - `connected`: the node has said hello.
 * - `reconnecting`: it is gone, and another is being made.
 * - `offline`: the same, and the browser says that there is no network.
 * - `expired`: the session was away for too long and is a new one: what was published meanwhile is missed.
 * - `superseded`: another connection has the session, and this client begins a new one.
 * - `closed`: it is over, by `close`, by the node, or for a mistake.
 */
export type State =
  | "connecting"
  | "connected"
  | "reconnecting"
  | "offline"
  | "expired"
  | "superseded"
  | "closed";

export interface PostmanOptions {
  /**
   * A message came. It is acknowledged once this has returned, or its promise is settled, and the
   * next is told only then. One for which this throws counts as told, and goes to `onError`.
   */
  onMessage?(message: string | Uint8Array, info: Info): void | Promise<unknown>;
  /** Messages will not come, because a limit was reached on the nodes. */
  onGap?(gap: Gap): void;
  /** The session went on at another node. */
  onMove?(move: { from: string; to: string }): void;
  onState?(state: State, why?: Error): void;
  /** A push is stored. */
  onAckSuccess?(acknowledged: Acknowledged & { message: Outgoing }): void;
  /** A push was not acknowledged in time and is sent again, or is given up. */
  onAckFailed?(failed: Failed): void;
  /** What went wrong otherwise. Goes to the console if this is missing. */
  onError?(error: unknown, message?: string | Uint8Array): void;
  /** How long an acknowledgement is waited for, in ms. It doubles up to a minute. Defaults to 5000. */
  ackInterval?: number;
}

export interface Options extends PostmanOptions {
  /**
   * Keeps the session, what was told and what was not acknowledged in the browser (in localStorage
   * and IndexedDB), by this name, so that the page goes on when it is loaded again. Each tab has a
   * place of its own. Not by default.
   */
  persist?: string;
  /**
   * The transports to use, the best first. Where none of the URLs can be reached by one, the next is
   * tried; one that has worked is left only if it fails again and again. Those that this browser lacks
   * are left out. Defaults to `["websocket", "sse", "long-polling"]`.
   */
  transports?: Transport[];
  /**
   * Whether requests to nodes of another origin than the page's bring its cookies, as `fetch` has it.
   * WebSockets always do. Defaults to "same-origin"; with `Builder::browser_cookies` it is to be "include".
   */
  credentials?: "omit" | "same-origin" | "include";
}

export interface Client {
  /**
   * Sends a message to the handler of the path, once, whatever breaks meanwhile. Resolves when it is
   * stored; rejects if it is refused, too long, or the client is closed.
   */
  push(message: Outgoing): Promise<Acknowledged>;
  /** Ends the session. What was not acknowledged is given up. */
  close(): void;
  readonly state: State;
  /** How the client is connected, or tries to be. */
  readonly transport: Transport;
  /** The session's id. Who knows it, and is the same user, can take the session over. */
  readonly session: string | null;
  /** The node that the client is connected to, or was. */
  readonly node: string | null;
  /** How many pushes are not acknowledged. */
  readonly pending: number;
}

/** A client on the connection of a stock atmosphere.js. */
export interface Plugged {
  push(message: Outgoing): Promise<Acknowledged>;
  close(): Promise<void>;
  readonly pending: number;
}

/**
 * Connects to a path, on whichever of these nodes will have it. Relative URLs are those of the page.
 */
export function connect(urls: string | string[], options?: Options): Client;

/**
 * Subscribes with atmosphere.js 2.3, 3 or 5, over WebSocket, with everything that `request` says. Its
 * `onMessage`, or in 5 that of `handlers`, is used unless the options have one.
 */
export function plug(
  atmosphere: unknown,
  request: object,
  options?: PostmanOptions & { handlers?: object },
): Plugged;

/** The version of the protocol. */
export const version: number;

declare const exosphere: { connect: typeof connect; plug: typeof plug; version: number };
export default exosphere;
export as namespace exosphere;
