// Many clients of a cluster at once, by several transports, who talk: something for a console to show.

import { WebSocket } from "ws";
import { sleep } from "./clients.mjs";

/** What a page must show as it is. */
export const HOSTILE = "<img src=x onerror=\"window.harmed = true\"><script>window.harmed = true</script><b id=harm>";
/** The room whose name is hostile. */
export const HOSTILE_ROOM = "/chat/<img src=x onerror=window.harmed=true>";
const ROOMS = ["/chat/lobby", "/chat/support", "/chat/orders", "/chat/prices", HOSTILE_ROOM];
const AGENTS = ["Mozilla/5.0 (X11; Linux x86_64) Chrome/143.0.0.0 Safari/537.36", "Mozilla/5.0 (iPhone) Version/19.1 Safari/605.1", "curl/8.14.1", HOSTILE];
/** What every tenth client comes by, the first first. */
const BY = ["websocket", "websocket", "event-stream", "websocket", "long-polling", "websocket", "streaming", "websocket", "websocket", "event-stream"];

export class Crowd {
  /** `urls` are of the nodes that its clients connect to, in turn. */
  constructor(urls) {
    this.urls = urls;
    this.stopped = false;
    this.sockets = [];
    this.heard = 0;
  }

  async gather(count, talkEveryMs = 50) {
    const coming = [];
    for (let n = 0; n < count; n++) {
      coming.push(this.come(n));
      if (n % 25 === 24) await Promise.all(coming.splice(0));
    }
    await Promise.all(coming);
    this.talk(talkEveryMs);
  }

  come(n) {
    const url = this.urls[n % this.urls.length] + encodeURI(ROOMS[(n + Math.floor(n / BY.length)) % ROOMS.length]);
    const headers = { "User-Agent": AGENTS[n % AGENTS.length], "X-Whoever": HOSTILE };
    const by = BY[n % BY.length];
    if (by === "websocket") return this.connect(url, headers);
    if (by === "event-stream") return this.stream(url, { ...headers, Accept: "text/event-stream" });
    if (by === "streaming") return this.stream(url, { ...headers, "X-Atmosphere-Transport": "streaming" });
    this.poll(url, { ...headers, "X-Atmosphere-Transport": "long-polling", "X-Atmosphere-TrackMessageSize": "true" });
    return undefined;
  }

  connect(url, headers) {
    const socket = new WebSocket(url.replace(/^http/, "ws"), { headers });
    this.sockets.push(socket);
    socket.on("message", () => this.heard++);
    socket.on("error", () => {});
    return new Promise((resolve) => {
      socket.once("open", resolve);
      socket.once("close", resolve);
    });
  }

  async stream(url, headers) {
    const answer = await fetch(url, { headers }).catch(() => null);
    const read = async () => {
      for await (const part of answer?.body ?? []) this.heard += part.length > 0 ? 1 : 0;
    };
    read().catch(() => {}); // Its node may be killed.
  }

  async poll(url, headers) {
    const kept = {};
    while (!this.stopped) {
      try {
        const answer = await fetch(url, { headers: { ...headers, ...kept } });
        const [session, position] = ["X-Atmosphere-tracking-id", "ETag"].map((name) => answer.headers.get(name));
        if (session) kept["X-Atmosphere-tracking-id"] = session;
        if (position) kept["If-None-Match"] = position;
        if ((await answer.text()).length > 0) this.heard++;
      } catch {
        await sleep(200);
      }
    }
  }

  async talk(everyMs) {
    for (let n = 0; !this.stopped; n++) {
      const open = this.sockets.filter((socket) => socket.readyState === WebSocket.OPEN);
      const text = n % 20 === 0 ? HOSTILE : `message ${n} of somebody who has something to say`;
      open[Math.floor(Math.random() * open.length)]?.send(text);
      await sleep(everyMs);
    }
  }

  stop() {
    this.stopped = true;
    for (const socket of this.sockets) socket.terminate();
  }
}
