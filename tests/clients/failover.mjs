// A client behind a proxy that can be pointed at another node. Reads commands from stdin, one a line,
// and prints what happens as lines of JSON; the test that started it kills nodes and judges.
//
//   target PORT   where new connections lead; those that live are left alone
//   cut           resets the connections that live
//   stall         keeps back what the server writes from now on, until `cut`
//   refuse        lets nobody in, until `admit`
//   admit
//   push TEXT     sends a message
//   quit          or the end of stdin: prints {"event":"done",...} and leaves with 0

import readline from "node:readline";
import { proxy, readArguments, run, subscribe, through } from "./clients.mjs";

const { alone, named } = readArguments("failover.mjs URL [--generation 5|3] [--seconds 300]", 1);
const url = alone[0];
const generation = Number(named.generation ?? 5);

await run(Number(named.seconds ?? 300) * 1000, async () => {
  const door = await proxy(Number(new URL(url).port), new URL(url).hostname);
  let messages = 0;
  const print = (event, more) => process.stdout.write(`${JSON.stringify({ event, ...more, at: Date.now() })}\n`);
  print("listening", { port: door.port });

  const client = await subscribe(generation, through(door, url), {
    message: (text) => print("message", { n: messages++, text }),
    event: (name, detail) => name !== "open" && print(name, { detail }),
  });
  const { asked, named } = client.record;
  print("open", { version: client.name, id: named[0] ?? null });

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [command, ...rest] = line.split(" ");
    const text = rest.join(" ");
    if (command === "quit") break;
    else if (command === "target") door.target(Number(text));
    else if (command === "cut") door.cut();
    else if (command === "stall") door.stall();
    else if (command === "refuse") door.refuse();
    else if (command === "admit") door.admit();
    else if (command === "push") client.push(text);
    else throw new Error(`no such command: ${line}`);
    print("did", { command: line });
  }
  client.close();
  const same = asked[0] === "0" && asked.slice(1).every((id) => id === named[0]);
  return { event: "done", messages, connections: asked.length, same_tracking_id: same };
});
