package main

import (
	"fmt"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// agents is of the agent itself, its cluster and its events.
var agents = []scenario{
	{"an agent tells of itself", agentTells},
	{"an agent tells its metrics", agentMetrics},
	{"a cluster tells who leads", clusterTells},
	{"events are fired, listed and waited for", events},
	{"an agent's log is followed", logFollowed},
}

func agentTells(w *walker) {
	self := must(w.Agent().Self())
	config, member := self["Config"], self["Member"]
	name := must(w.Agent().NodeName())
	equal("itself", []any{config["Datacenter"], config["NodeName"], config["Server"], member["Name"], member["Addr"]},
		[]any{"dc1", name, true, name, "127.0.0.1"})
	holds("a version", fmt.Sprint(config["Version"]) != "")
	for _, wan := range []bool{false, true} {
		members := must(w.Agent().Members(wan))
		equal("members", len(members), 1)
		holds("its name", strings.HasPrefix(members[0].Name, name))
		equal("alive", []any{members[0].Status, members[0].IsConsulServer()}, []any{1, true})
	}
	equal("all segments", len(must(w.Agent().MembersOpts(consul.MembersOpts{Segment: consul.AllSegments}))), 1)
	holds("a host", len(must(w.Agent().Host())) > 0)
	holds("its version", must(w.Agent().Version())["HumanVersion"] != nil)
	ok(w.Agent().Reload())
	_, err := w.Agent().UpdateAgentACLToken("x", nil)
	holds("no ACLs", err != nil && strings.Contains(err.Error(), "ACL support disabled"))
}

func agentMetrics(w *walker) {
	read(w.KV().Get("metrics", nil))
	metrics := must(w.Agent().Metrics())
	holds("a time", metrics.Timestamp != "")
	holds("figures", len(metrics.Gauges)+len(metrics.Counters)+len(metrics.Samples) > 0)
	for _, gauge := range metrics.Gauges {
		holds("a name", gauge.Name != "")
	}
}

func clusterTells(w *walker) {
	leader := must(w.Status().Leader())
	holds("an address", strings.Contains(leader, ":"))
	equal("peers", must(w.Status().Peers()), []string{leader})
	servers := must(w.Operator().RaftGetConfiguration(nil)).Servers
	equal("of raft", []any{len(servers), servers[0].Address, servers[0].Leader, servers[0].Voter}, []any{1, leader, true, true})
	holds("coordinates of datacenters", len(must(w.Coordinate().Datacenters())) == 1)
}

func events(w *walker) {
	id := wrote(w.Event().Fire(&consul.UserEvent{Name: "deploy", Payload: []byte("v1")}, nil))
	holds("an id", id != "")
	var index uint64
	until("it is listed", func() error {
		listed, about, err := w.Event().List("deploy", nil)
		if err != nil || len(listed) != 1 {
			return fmt.Errorf("%v %v", listed, err)
		}
		index = about.LastIndex
		equal("as it was fired", []any{listed[0].ID, string(listed[0].Payload)}, []any{id, "v1"})
		return nil
	})
	equal("its index", index, w.Event().IDToIndex(id))
	waiting := blocked(func() ([]*consul.UserEvent, *consul.QueryMeta, error) {
		return w.Event().List("deploy", &consul.QueryOptions{WaitIndex: index, WaitTime: 5 * time.Minute})
	})
	wrote(w.Event().Fire(&consul.UserEvent{Name: "other"}, nil))
	second := wrote(w.Event().Fire(&consul.UserEvent{Name: "deploy", Payload: []byte("v2")}, nil))
	came := soon("the second", waiting)
	ok(came.err)
	equal("both", []any{len(came.value), came.value[1].ID}, []any{2, second})
}

func logFollowed(w *walker) {
	stop := make(chan struct{})
	lines := must(w.Agent().Monitor("debug", stop, nil))
	asked := make(chan struct{})
	go func() { // whatever it logs, it logs something of what it is asked
		for {
			select {
			case <-asked:
				return
			case <-time.After(50 * time.Millisecond):
				w.KV().Get("followed", nil)
			}
		}
	}()
	holds("a line", soon("a line of the log", lines) != "")
	close(asked)
	close(stop)
}
