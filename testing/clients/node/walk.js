// Walks through Consul's API with the npm package `consul`, as a program of a user would.
//
//     node walk.js HOST PORT
//
// Each chapter is a function; the name of each that went well is printed. The first that does not ends the program.
"use strict";

const assert = require("assert");
const { setTimeout: sleep } = require("timers/promises");
const Consul = require("consul");

async function until(what, probe, limit = 15000) {
  const end = Date.now() + limit;
  let found;
  while (Date.now() < end) {
    found = await probe();
    if (found) return found;
    await sleep(50);
  }
  throw new Error(`${what}: not within ${limit} ms; last seen: ${JSON.stringify(found)}`);
}

async function failsWith(status, call) {
  const error = await call().then(() => null, (error) => error);
  assert(error && error.statusCode === status, `instead of ${status}: ${error}`);
  return error;
}

const ids = (rows) => rows.map((row) => row.Service.ID).sort();

async function status(c) {
  assert.match(await c.status.leader(), /:\d+$/);
  assert.deepStrictEqual(await c.status.peers(), [await c.status.leader()]);
}

async function catalog(c) {
  assert.deepStrictEqual(await c.catalog.datacenters(), ["dc1"]);
  const check = { node: "n-a", checkid: "c1", name: "alive", status: "passing", serviceid: "web-1" };
  const service = { id: "web-1", service: "web", port: 80, tags: ["v1", "blue"], meta: { ver: "1" } };
  await c.catalog.register({ node: "n-a", address: "10.1.0.1", nodemeta: { rack: "7" }, service, check });
  await c.catalog.register({ node: "n-b", address: "10.1.0.2", service: { id: "web-2", service: "web", port: 81 } });
  const nodes = await c.catalog.node.list();
  assert(["n-a", "n-b"].every((name) => nodes.some((node) => node.Node === name)));
  const racked = await c.catalog.node.list({ filter: 'Meta.rack == "7"' });
  assert.deepStrictEqual(racked.map((node) => node.Node), ["n-a"]);
  assert.deepStrictEqual((await c.catalog.service.list()).web.sort(), ["blue", "v1"]);
  const rows = await c.catalog.service.nodes("web");
  assert.deepStrictEqual(rows.map((row) => [row.Node, row.ServicePort]), [["n-a", 80], ["n-b", 81]]);
  assert.deepStrictEqual(Object.keys((await c.catalog.node.services("n-a")).Services), ["web-1"]);
  assert.deepStrictEqual(await c.catalog.connect.nodes("web"), []);
  await failsWith(500, () => c.catalog.node.list({ filter: "Meta.rack ===" }));
}

async function agent(c) {
  const me = await c.agent.self();
  assert.strictEqual(me.Config.Datacenter, "dc1");
  assert.deepStrictEqual((await c.agent.members()).map((member) => member.Name), [me.Config.NodeName]);
  const check = { ttl: "30s", status: "critical" };
  await c.agent.service.register({ name: "api", id: "api-1", address: "10.9.0.1", port: 8080, tags: ["a"], meta: { k: "v" }, check });
  const mine = (await c.agent.service.list())["api-1"];
  assert.deepStrictEqual([mine.Service, mine.Port, mine.Tags, mine.Meta], ["api", 8080, ["a"], { k: "v" }]);
  assert.deepStrictEqual(ids(await c.health.service("api")), ["api-1"]);
  assert.deepStrictEqual(await c.health.service({ service: "api", passing: true }), []);
}

async function checks(c) {
  const id = "service:api-1";
  for (const [report, status] of [["pass", "passing"], ["warn", "warning"], ["fail", "critical"], ["pass", "passing"]]) {
    await c.agent.check[report]({ id, note: `now ${status}` });
    const rows = await c.health.checks("api");
    assert.deepStrictEqual(rows.map((row) => [row.Status, row.Output]), [[status, `now ${status}`]]);
  }
  await c.agent.check.register({ name: "disk", id: "disk", ttl: "1m", notes: "of the node" });
  assert.strictEqual((await c.agent.check.list()).disk.Notes, "of the node");
  assert((await c.health.state("critical")).some((row) => row.CheckID === "disk"));
  await c.agent.check.deregister("disk");
  assert(!(await c.agent.check.list()).disk);
  await failsWith(404, () => c.agent.check.pass("no-such-check"));
  const here = (await c.agent.self()).Config.NodeName;
  const mine = (await c.health.node(here)).map((row) => row.CheckID);
  assert(mine.includes("serfHealth") && mine.includes(id), `${mine}`);
}

async function checksThatRun(c, host, port) {
  const http = `http://${host}:${port}/v1/status/leader`;
  await c.agent.service.register({ name: "probed", check: { http, interval: "1s", timeout: "5s" } });
  await c.agent.service.register({ name: "reached", check: { tcp: `${host}:${port}`, interval: "1s" } });
  for (const name of ["probed", "reached"]) {
    await until(`${name} passes`, async () => (await c.health.service({ service: name, passing: true })).length);
    await c.agent.service.deregister(name);
    assert.deepStrictEqual(await c.health.service(name), []);
  }
}

async function maintenance(c) {
  await c.agent.service.maintenance({ id: "api-1", enable: true, reason: "being mended" });
  const [row] = await c.health.service("api");
  const held = row.Checks.find((check) => check.CheckID === "_service_maintenance:api-1");
  assert.deepStrictEqual([held.Status, held.Notes], ["critical", "being mended"]);
  await c.agent.service.maintenance({ id: "api-1", enable: false });
  assert.deepStrictEqual(ids(await c.health.service({ service: "api", passing: true })), ["api-1"]);
  await c.agent.maintenance({ enable: true, reason: "all of it" });
  assert((await c.agent.check.list())._node_maintenance);
  await c.agent.maintenance({ enable: false });
  assert(!(await c.agent.check.list())._node_maintenance);
}

// The package's own loop of blocking queries: it must see each change once, and never go round at full speed.
async function watching(c) {
  const watch = c.watch({ method: c.health.service, options: { service: "web", wait: "20s" } });
  const seen = [];
  const errors = [];
  watch.on("change", (rows) => seen.push(rows.length));
  watch.on("error", (error) => errors.push(error));
  await until("the first answer", () => seen.length === 1);
  await c.catalog.register({ node: "n-b", address: "10.1.0.2", service: { id: "web-3", service: "web", port: 82 } });
  await until("the third instance", () => seen.length === 2);
  await c.catalog.register({ node: "n-b", address: "10.1.0.2", service: { id: "other-1", service: "other" } });
  await c.catalog.deregister({ node: "n-b", serviceid: "web-3" });
  await until("its end", () => seen.at(-1) === 2 && seen.length >= 3);
  watch.end();
  assert.deepStrictEqual(errors, []);
  assert(seen.length <= 4 && seen[0] === 2 && seen[1] === 3, `${seen}`);
}

async function health(c) {
  assert.deepStrictEqual(ids(await c.health.service({ service: "web", tag: "v1" })), ["web-1"]);
  const filter = 'Service.Meta.ver == "1" or Service.Port == 81';
  assert.deepStrictEqual(ids(await c.health.service({ service: "web", filter })), ["web-1", "web-2"]);
  assert.deepStrictEqual(ids(await c.health.service({ service: "web", "node-meta": "rack:7" })), ["web-1"]);
  assert.deepStrictEqual(await c.health.service("nothing"), []);
  assert((await c.health.state("any")).length >= 3);
}

// The package gives `undefined` where the server says `false`.
async function kv(c) {
  assert.strictEqual(await c.kv.get("walk/none"), undefined);
  assert((await c.kv.set({ key: "walk/a", value: "one", flags: 42 })));
  const row = await c.kv.get("walk/a");
  assert.deepStrictEqual([row.Value, row.Flags, row.LockIndex], ["one", 42, 0]);
  assert(!(await c.kv.set({ key: "walk/a", value: "two", cas: "0" })));
  assert((await c.kv.set({ key: "walk/a", value: "two", cas: String(row.ModifyIndex) })));
  const raw = await c.kv.get({ key: "walk/a", raw: true });
  assert.strictEqual(raw.toString(), "two");
  const waiting = c.kv.get({ key: "walk/a", index: String((await c.kv.get("walk/a")).ModifyIndex), wait: "20s" });
  await c.kv.set("walk/a", "three");
  assert.strictEqual((await waiting).Value, "three");
  await c.kv.set("walk/dir/x", "");
  await c.kv.set("walk/dir/y", "y");
  assert.deepStrictEqual(await c.kv.keys({ key: "walk/", separator: "/" }), ["walk/a", "walk/dir/"]);
  const rows = await c.kv.get({ key: "walk/dir/", recurse: true });
  assert.deepStrictEqual(rows.map((one) => one.Key), ["walk/dir/x", "walk/dir/y"]);
  const x = await c.kv.get("walk/dir/x");
  assert(!(await c.kv.del({ key: "walk/dir/x", cas: String(x.ModifyIndex - 1) })));
  assert((await c.kv.del({ key: "walk/dir/x", cas: String(x.ModifyIndex) })));
  await c.kv.del({ key: "walk/", recurse: true });
  assert.strictEqual(await c.kv.get("walk/a"), undefined);
}

async function sessionsAndLocks(c) {
  const { ID: mine } = await c.session.create({ name: "mine", ttl: "20s", lockdelay: "0s", behavior: "release" });
  const { ID: other } = await c.session.create({ name: "other", lockdelay: "0s", behavior: "delete" });
  const info = await c.session.info(mine);
  assert.deepStrictEqual([info.Name, info.TTL, info.Behavior], ["mine", "20s", "release"]);
  const here = (await c.agent.self()).Config.NodeName;
  for (const list of [await c.session.list(), await c.session.node(here)]) {
    assert([mine, other].every((id) => list.some((row) => row.ID === id)));
  }
  assert((await c.kv.set({ key: "lock/one", value: "held", acquire: mine })));
  assert(!(await c.kv.set({ key: "lock/one", value: "stolen", acquire: other })));
  const held = await c.kv.get("lock/one");
  assert.deepStrictEqual([held.Session, held.LockIndex, held.Value], [mine, 1, "held"]);
  assert((await c.kv.set({ key: "lock/one", value: "free", release: mine })));
  assert.strictEqual((await c.kv.get("lock/one")).Session, undefined);
  assert.strictEqual((await c.session.renew(mine))[0].ID, mine);
  assert((await c.kv.set({ key: "lock/one", value: "again", acquire: mine })));
  assert((await c.kv.set({ key: "lock/two", value: "goes", acquire: other })));
  const waiting = c.kv.get({ key: "lock/one", index: String((await c.kv.get("lock/one")).ModifyIndex), wait: "20s" });
  await c.session.destroy(mine);
  assert.strictEqual((await waiting).Session, undefined);
  await c.session.destroy(other);
  assert.strictEqual(await c.kv.get("lock/two"), undefined);
  await failsWith(404, () => c.session.renew(mine));
}

async function transactions(c) {
  const text = (value) => Buffer.from(value).toString("base64");
  const done = await c.transaction.create([
    { KV: { Verb: "set", Key: "txn/a", Value: text("1") } },
    { KV: { Verb: "get", Key: "txn/a" } },
    { Node: { Verb: "set", Node: { Node: "n-txn", Address: "10.1.0.9" } } },
    { Service: { Verb: "set", Node: "n-txn", Service: { ID: "t1", Service: "t", Port: 9 } } },
    { Check: { Verb: "set", Check: { Node: "n-txn", CheckID: "tc", Name: "tc", Status: "passing", ServiceID: "t1" } } },
  ]);
  assert.strictEqual(done.Errors, null);
  assert.deepStrictEqual(ids(await c.health.service({ service: "t", passing: true })), ["t1"]);
  const refused = await failsWith(409, () =>
    c.transaction.create([
      { KV: { Verb: "set", Key: "txn/never", Value: text("x") } },
      { KV: { Verb: "cas", Key: "txn/a", Value: text("2"), Index: 1 } },
    ]),
  );
  assert.deepStrictEqual(refused.response.body.Errors.map((error) => error.OpIndex), [1]);
  assert.strictEqual(await c.kv.get("txn/never"), undefined);
  await c.transaction.create([{ KV: { Verb: "delete-tree", Key: "txn/" } }]);
  await c.catalog.deregister("n-txn");
}

async function events(c) {
  const fired = await c.event.fire({ name: "deploy", payload: "v42" });
  assert(fired.ID && fired.Name === "deploy");
  const [first] = await until("the event is listed", async () => {
    const rows = await c.event.list("deploy");
    return rows.length && rows;
  });
  assert.deepStrictEqual([first.ID, first.Payload], [fired.ID, "v42"]);
  const watch = c.watch({ method: c.event.list, options: { name: "deploy", wait: "20s" } });
  const seen = [];
  const errors = [];
  watch.on("change", (rows) => seen.push(rows.at(-1).ID));
  watch.on("error", (error) => errors.push(error));
  await until("the list", () => seen.at(-1) === fired.ID);
  const again = await c.event.fire("deploy", "v43");
  await until("the second event", () => seen.at(-1) === again.ID);
  watch.end();
  assert.deepStrictEqual(errors, []);
  assert.deepStrictEqual(await c.event.list("nobody fired this"), []);
}

async function goodbye(c) {
  await c.agent.service.deregister("api-1");
  assert.deepStrictEqual(await c.health.service("api"), []);
  for (const node of ["n-a", "n-b"]) await c.catalog.deregister(node);
  assert(!(await c.catalog.service.list()).web);
}

async function main() {
  const [host, port] = process.argv.slice(2);
  const c = new Consul({ host, port: Number(port) });
  const chapters = [
    status, catalog, agent, checks, checksThatRun, maintenance, watching, health,
    kv, sessionsAndLocks, transactions, events, goodbye,
  ];
  for (const chapter of chapters) {
    await chapter(c, host, port);
    console.log(chapter.name, "ok");
  }
  console.log("walked through");
  process.exit(0);
}

main().catch((error) => {
  console.error(error, error.response && error.response.body);
  process.exit(1);
});
