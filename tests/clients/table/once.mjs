// What is asked once, not of every cell.

import { check, fresh, until, VERSIONS, within, WebSocket } from "../clients.mjs";
import { fakePage } from "./scripts.mjs";
import { Room } from "./subject.mjs";

/** A client that is too old is told so, by every transport. */
export async function ancient(urls) {
  for (const transport of ["sse", "streaming", "long-polling", "polling"]) {
    const answer = await fetch(`${urls[0]}/chat/ancient?${query("2.1.0-javascript", transport)}`);
    check(answer.status === 501, `${transport}: ${answer.status}`);
    check(answer.headers.get("X-Atmosphere-error") === "Atmosphere Protocol version not supported.", transport);
    await answer.text();
  }
  const socket = new WebSocket(`${urls[0]}/chat/ancient?${query("2.1.0", "websocket")}`.replace(/^http/, "ws"));
  const [, answer] = await within(15_000, "the upgrade is refused", new Promise((resolve) => {
    socket.on("unexpected-response", (...args) => resolve(args));
  }));
  check(answer.statusCode === 501, `websocket: ${answer.statusCode}`);
}

function query(version, transport) {
  return `X-Atmosphere-tracking-id=0&X-Atmosphere-Framework=${version}&X-Atmosphere-Transport=${transport}&X-atmo-protocol=true`;
}

/** A page of this host may ask what it may ask; another may not. */
export async function preflight(urls) {
  const ask = (origin) =>
    fetch(`${urls[0]}/chat/preflight?${query("3.1.3-javascript", "sse")}`, {
      method: "OPTIONS",
      headers: { Origin: origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type" },
    });
  const here = await ask(urls[0]);
  const allowed = (name) => here.headers.get(`Access-Control-Allow-${name}`) ?? "";
  check(here.status === 200 && allowed("Origin") === urls[0], `${here.status} ${allowed("Origin")}`);
  check(allowed("Methods") === "OPTIONS, GET, POST, PUT, PATCH, DELETE", allowed("Methods"));
  check(allowed("Headers").includes("Content-Type") && allowed("Headers").includes("X-Atmosphere-Framework"), allowed("Headers"));
  check(allowed("Headers").includes("Authorization"), allowed("Headers"));
  check(allowed("Credentials") === "true", "a page may not show who it is");
  const there = await ask("http://elsewhere.example");
  check(there.status === 403 && there.headers.get("Access-Control-Allow-Origin") === null, `${there.status} for another origin`);
}

/** Scripts, as pages of old poll: open, echo, in order, and a farewell. */
export async function jsonp(urls) {
  for (const generation of [2, 3, 4]) {
    const room = await Room.open({ name: VERSIONS[generation], urls }, "jsonp");
    const received = [];
    const page = fakePage();
    let opened = 0;
    const subscription = fresh(generation).subscribe({
      url: `${urls[0]}${room.path}`,
      transport: "jsonp",
      fallbackTransport: "jsonp",
      trackMessageLength: true,
      enableProtocol: true,
      logLevel: "error",
      onOpen: () => opened++,
      onMessage: (response) => received.push(response.responseBody),
    });
    await until(() => opened === 1, 15_000, `${VERSIONS[generation]} opens by scripts`);
    const texts = ["hello", '"</script>\\', "a|b\u2028c", ...Array.from({ length: 50 }, (_, n) => `message ${n}|;`)];
    await room.publishes(...texts);
    subscription.push("mine");
    await until(() => received.includes("mine"), 15_000, () => `${VERSIONS[generation]} hears itself; it has ${received}`);
    check(received.join("\n") === [...texts, "mine"].join("\n"), `${VERSIONS[generation]} received ${JSON.stringify(received)}`);
    check(opened === 1, `${VERSIONS[generation]} opened ${opened} times`);
    subscription.close();
    await room.hears("disconnect");
    page.close();
    room.close();
  }
}
