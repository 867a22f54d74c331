"""Walks through Consul's API with py-consul, as a program of a user would.

    walk.py HOST PORT

Each chapter is a function; the name of each that went well is printed. The first that does not ends the program.
"""
import base64
import sys
import threading
import time

import consul


def until(what, probe, limit=15):
    """What `probe` returns once it is true."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {limit} s; last seen: {found!r}")


def fails_with(error, call):
    try:
        call()
    except error as raised:
        return str(raised)
    raise AssertionError(f"no {error.__name__} was raised")


def later(call):
    """Runs a call that blocks; `.join()` and `.result` give what came back."""
    class Running(threading.Thread):
        def run(self):
            self.result = call()
    running = Running(daemon=True)
    running.start()
    return running


def finish(running):
    running.join(30)
    assert not running.is_alive(), "a blocked call did not come back"
    return running.result


def status(c):
    assert ":" in c.status.leader()
    assert c.status.peers() == [c.status.leader()]


def catalog(c):
    assert c.catalog.datacenters() == ["dc1"]
    tagged = {"lan": "10.1.0.1", "wan": "192.0.2.1"}
    service = {"ID": "web-1", "Service": "web", "Port": 80, "Tags": ["v1", "blue"], "Meta": {"ver": "1"}}
    check = {"CheckID": "c1", "Name": "alive", "Status": "passing", "ServiceID": "web-1"}
    assert c.catalog.register("n-a", "10.1.0.1", service=service, check=check)
    # The client puts `node_meta` of a registration into the query, where nothing reads it; a transaction sets it.
    row = {"Node": "n-a", "Address": "10.1.0.1", "Meta": {"rack": "7"}, "TaggedAddresses": tagged}
    assert c.txn.put([{"Node": {"Verb": "set", "Node": row}}])["Errors"] is None
    assert c.catalog.register("n-b", "10.1.0.2", service={"ID": "web-2", "Service": "web", "Port": 81, "Tags": ["v2"]})
    _, nodes = c.catalog.nodes()
    assert {"n-a", "n-b"} <= {node["Node"] for node in nodes}
    _, nodes = c.catalog.nodes(node_meta={"rack": "7"})
    assert [node["Node"] for node in nodes] == ["n-a"]
    _, nodes = c.catalog.nodes(filter_expr='Meta.rack == "7"')
    assert [(node["Node"], node["TaggedAddresses"]) for node in nodes] == [("n-a", tagged)]
    _, services = c.catalog.services()
    assert sorted(services["web"]) == ["blue", "v1", "v2"], services
    _, rows = c.catalog.service("web")
    assert [(row["Node"], row["ServicePort"]) for row in rows] == [("n-a", 80), ("n-b", 81)]
    _, rows = c.catalog.service("web", tag="v2")
    assert [row["ServiceID"] for row in rows] == ["web-2"]
    _, rows = c.catalog.service("web", filter_expr="ServiceMeta.ver == 1")
    assert [row["ServiceID"] for row in rows] == ["web-1"]
    _, node = c.catalog.node("n-a")
    assert list(node["Services"]) == ["web-1"] and node["Node"]["Meta"] == {"rack": "7"}
    assert c.catalog.node("nowhere")[1] is None
    refused = fails_with(consul.ConsulException, lambda: c.catalog.nodes(filter_expr="Meta.rack ==="))
    assert "Failed to create boolean expression evaluator" in refused, refused


def catalog_blocking(c):
    index, _ = c.catalog.service("late")
    waiting = later(lambda: c.catalog.service("late", index=index, wait="20s"))
    assert c.catalog.register("n-b", "10.1.0.2", service={"ID": "late-1", "Service": "late", "Port": 1})
    index_after, rows = finish(waiting)
    assert int(index_after) > int(index) and [row["ServiceID"] for row in rows] == ["late-1"]
    began = time.monotonic()
    index_again, again = c.catalog.service("late", index=index_after, wait="200ms")
    assert time.monotonic() - began >= 0.2 and again == rows and int(index_again) >= int(index_after)
    assert c.catalog.deregister("n-b", service_id="late-1")
    assert c.catalog.service("late")[1] == []


def agent_services(c):
    me = c.agent.self()
    assert me["Config"]["Datacenter"] == "dc1" and me["Config"]["Server"] is True
    assert [member["Name"] for member in c.agent.members()] == [me["Config"]["NodeName"]]
    check = consul.Check.ttl("30s")
    assert c.agent.service.register("api", service_id="api-1", address="10.9.0.1", port=8080, tags=["a", "b"], meta={"k": "v"},
                                    weights={"Passing": 5, "Warning": 2}, check=check)
    mine = c.agent.services()["api-1"]
    assert (mine["Service"], mine["Port"], mine["Tags"], mine["Meta"]) == ("api", 8080, ["a", "b"], {"k": "v"})
    assert mine["Weights"] == {"Passing": 5, "Warning": 2}
    assert list(c.agent.services(filter_expr='"a" in Tags and Port == 8080')) == ["api-1"]
    assert c.agent.services(filter_expr="Port == 1") == {}
    definition = c.agent.service_definition("api-1")
    assert definition["ContentHash"] and definition["Address"] == "10.9.0.1"
    # Seen in the catalog as soon as the answer is here.
    assert [row["Service"]["ID"] for row in c.health.service("api")[1]] == ["api-1"]


def agent_checks(c):
    assert c.agent.checks()["service:api-1"]["Status"] == "critical"
    assert c.health.service("api", passing=True)[1] == []
    index, _ = c.health.service("api", passing=True)
    waiting = later(lambda: c.health.service("api", index=index, wait="20s", passing=True))
    assert c.agent.check.ttl_pass("service:api-1", notes="well")
    assert [row["Service"]["ID"] for row in finish(waiting)[1]] == ["api-1"]
    for report, status_now in [(c.agent.check.ttl_warn, "warning"), (c.agent.check.ttl_fail, "critical"), (c.agent.check.ttl_pass, "passing")]:
        assert report("service:api-1", notes=f"now {status_now}")
        _, checks = c.health.checks("api")
        assert [(row["Status"], row["Output"]) for row in checks] == [(status_now, f"now {status_now}")]
    assert c.agent.check.register("disk", check=consul.Check.ttl("1m"), check_id="disk", notes="of the node")
    assert c.agent.checks(filter_expr="CheckID == disk")["disk"]["Notes"] == "of the node"
    _, critical = c.health.state("critical")
    assert "disk" in {row["CheckID"] for row in critical}
    assert c.agent.check.deregister("disk") and "disk" not in c.agent.checks()
    here = c.agent.self()["Config"]["NodeName"]
    _, checks = c.health.node(here)
    assert {"serfHealth", "service:api-1"} <= {row["CheckID"] for row in checks}


def checks_that_run(c):
    host, port = sys.argv[1], int(sys.argv[2])
    assert c.agent.service.register("probed", port=port, check=consul.Check.http(f"http://{host}:{port}/v1/status/leader", "1s", timeout="5s"))
    assert c.agent.service.register("reached", port=port, check=consul.Check.tcp(host, port, "1s"))
    for name in ("probed", "reached"):
        until(f"{name} passes", lambda: c.health.service(name, passing=True)[1])
        assert c.agent.service.deregister(name)
        assert c.health.service(name)[1] == []


def maintenance(c):
    assert c.agent.service.maintenance("api-1", True, reason="being mended")
    _, rows = c.health.service("api")
    held = {row["CheckID"]: row for row in rows[0]["Checks"]}["_service_maintenance:api-1"]
    assert (held["Status"], held["Notes"]) == ("critical", "being mended")
    assert c.health.service("api", passing=True)[1] == []
    assert c.agent.service.maintenance("api-1", False)
    assert c.health.service("api", passing=True)[1] != []
    assert c.agent.maintenance(True, reason="all of it")
    assert "_node_maintenance" in c.agent.checks()
    assert c.agent.maintenance(False)
    assert "_node_maintenance" not in c.agent.checks()


def health(c):
    _, rows = c.health.service("web", tag="v1")
    assert [(row["Node"]["Node"], row["Service"]["Port"]) for row in rows] == [("n-a", 80)]
    _, rows = c.health.service("web", filter_expr='Service.Meta.ver == "1" or Service.Port == 81')
    assert len(rows) == 2
    _, rows = c.health.service("web", node_meta={"rack": "7"})
    assert [row["Node"]["Node"] for row in rows] == ["n-a"]
    assert c.health.service("nothing")[1] == []
    index, before = c.health.state("any")
    waiting = later(lambda: c.health.state("any", index=index, wait="20s"))
    assert c.catalog.register("n-b", "10.1.0.2", check={"CheckID": "extra", "Name": "extra", "Status": "warning"})
    index_after, after = finish(waiting)
    assert int(index_after) > int(index) and len(after) == len(before) + 1


def kv(c):
    assert c.kv.get("walk/none")[1] is None
    assert c.kv.put("walk/a", "one", flags=42)
    index, row = c.kv.get("walk/a")
    assert (row["Value"], row["Flags"], row["LockIndex"]) == (b"one", 42, 0)
    assert not c.kv.put("walk/a", "two", cas=0), "cas=0 is for keys that are not there"
    assert not c.kv.put("walk/a", "two", cas=row["ModifyIndex"] - 1)
    assert c.kv.put("walk/a", "two", cas=row["ModifyIndex"])
    assert c.kv.put("walk/a", b"\x00\xff") and c.kv.get("walk/a")[1]["Value"] == b"\x00\xff"
    index, _ = c.kv.get("walk/a")
    waiting = later(lambda: c.kv.get("walk/a", index=index, wait="20s"))
    assert c.kv.put("walk/a", "three")
    assert finish(waiting)[1]["Value"] == b"three"
    for key in ("walk/dir/x", "walk/dir/y", "walk/space key/ü"):
        assert c.kv.put(key, "")
    assert c.kv.get("walk/space key/ü")[1]["Value"] is None
    _, rows = c.kv.get("walk/dir/", recurse=True)
    assert [row["Key"] for row in rows] == ["walk/dir/x", "walk/dir/y"]
    assert c.kv.get("walk/", keys=True, separator="/")[1] == ["walk/a", "walk/dir/", "walk/space key/"]
    row = c.kv.get("walk/dir/x")[1]
    assert not c.kv.delete("walk/dir/x", cas=row["ModifyIndex"] - 1) and c.kv.get("walk/dir/x")[1]
    assert c.kv.delete("walk/dir/x", cas=row["ModifyIndex"]) and c.kv.get("walk/dir/x")[1] is None
    assert c.kv.delete("walk/", recurse=True) and c.kv.get("walk/", keys=True)[1] is None


def sessions_and_locks(c):
    mine = c.session.create(name="mine", behavior="release", ttl=20, lock_delay=0)
    other = c.session.create(name="other", behavior="delete", lock_delay=0)
    _, row = c.session.info(mine)
    assert (row["Name"], row["TTL"], row["Behavior"], row["LockDelay"]) == ("mine", "20s", "release", 0)
    assert {mine, other} <= {row["ID"] for row in c.session.list()[1]}
    assert {mine, other} <= {row["ID"] for row in c.session.node(c.agent.self()["Config"]["NodeName"])[1]}
    assert c.kv.put("lock/one", "held", acquire=mine)
    assert not c.kv.put("lock/one", "stolen", acquire=other)
    index, row = c.kv.get("lock/one")
    assert (row["Session"], row["LockIndex"], row["Value"]) == (mine, 1, b"held")
    assert not c.kv.put("lock/one", "", release=other)
    assert c.kv.put("lock/one", "free", release=mine) and "Session" not in c.kv.get("lock/one")[1]
    assert c.session.renew(mine)["ID"] == mine
    assert c.kv.put("lock/one", "again", acquire=mine) and c.kv.get("lock/one")[1]["LockIndex"] == 2
    assert c.kv.put("lock/two", "goes with it", acquire=other)
    index, _ = c.kv.get("lock/one")
    waiting = later(lambda: c.kv.get("lock/one", index=index, wait="20s"))
    assert c.session.destroy(mine)
    assert "Session" not in finish(waiting)[1]
    assert c.session.destroy(other) and c.kv.get("lock/two")[1] is None
    assert c.session.info(mine)[1] is None
    fails_with(consul.NotFound, lambda: c.session.renew(mine))
    fails_with(consul.ConsulException, lambda: c.session.create(ttl=20, checks=["no such check"]))


def transactions(c):
    text = lambda value: base64.b64encode(value.encode()).decode()
    done = c.txn.put([
        {"KV": {"Verb": "set", "Key": "txn/a", "Value": text("1"), "Flags": 7}},
        {"KV": {"Verb": "check-not-exists", "Key": "txn/b"}},
        {"KV": {"Verb": "get", "Key": "txn/a"}},
        {"Node": {"Verb": "set", "Node": {"Node": "n-txn", "Address": "10.1.0.9"}}},
        {"Service": {"Verb": "set", "Node": "n-txn", "Service": {"ID": "t1", "Service": "t", "Port": 9}}},
        {"Check": {"Verb": "set", "Check": {"Node": "n-txn", "CheckID": "tc", "Name": "tc", "Status": "passing", "ServiceID": "t1"}}},
    ])
    assert done["Errors"] is None, done
    assert [row["KV"].get("Value") for row in done["Results"] if "KV" in row] == [None, text("1")], done
    assert c.health.service("t", passing=True)[1][0]["Node"]["Node"] == "n-txn"
    refused = fails_with(consul.ConsulException, lambda: c.txn.put([
        {"KV": {"Verb": "set", "Key": "txn/never", "Value": text("x")}},
        {"KV": {"Verb": "cas", "Key": "txn/a", "Value": text("2"), "Index": 1}},
    ]))
    assert "409" in refused and '"OpIndex":1' in refused.replace(" ", ""), refused
    assert c.kv.get("txn/never")[1] is None, "all or nothing"
    assert c.txn.put([{"KV": {"Verb": "delete-tree", "Key": "txn/"}}])["Errors"] is None
    assert c.catalog.deregister("n-txn")


def events(c):
    fired = c.event.fire("deploy", "v42", node="n.*")
    assert fired["Name"] == "deploy" and fired["ID"]
    def listed():
        index, rows = c.event.list("deploy")
        return index and [row for row in rows if row["ID"] == fired["ID"]] and (index, rows)
    index, rows = until("the event is listed", listed)
    assert rows[-1]["Payload"] == b"v42"
    waiting = later(lambda: c.event.list("deploy", index=index, wait="20s"))
    again = c.event.fire("deploy", "v43")
    index_after, rows = finish(waiting)
    assert index_after != index and rows[-1]["ID"] == again["ID"]
    assert c.event.list("nobody fired this")[1] == []


def coordinates(c):
    assert [row["Datacenter"] for row in c.coordinate.datacenters()] == ["dc1"]
    assert isinstance(c.coordinate.nodes()[1], list)


def goodbye(c):
    assert c.agent.service.deregister("api-1") and "api-1" not in c.agent.services()
    assert c.health.service("api")[1] == []
    for node in ("n-a", "n-b"):
        assert c.catalog.deregister(node) and c.catalog.node(node)[1] is None
    assert "web" not in c.catalog.services()[1]


def main():
    c = consul.Consul(host=sys.argv[1], port=int(sys.argv[2]))
    chapters = [status, catalog, catalog_blocking, agent_services, agent_checks, checks_that_run, maintenance, health,
                kv, sessions_and_locks, transactions, events, coordinates, goodbye]
    for chapter in chapters:
        chapter(c)
        print(chapter.__name__, "ok", flush=True)
    print("walked through")


if __name__ == "__main__":
    main()
