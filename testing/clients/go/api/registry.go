package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// registry is of what is registered, and of what health it has.
var registry = []scenario{
	{"an agent registers what it runs", agentRegisters},
	{"the catalog takes and gives back", catalogTakes},
	{"filters, tags and node meta choose", filtersChoose},
	{"health waits for a change", healthWaits},
	{"a wait runs out with nothing changed", waitRunsOut},
	{"a caller may stop waiting", callerStopsWaiting},
	{"checks change health", checksChange},
	{"checks that run find out", checksRun},
	{"maintenance takes out and gives back", maintenance},
	{"reads say how fresh they are", consistency},
	{"many instances come in one answer", many},
	{"what is refused says why", refusals},
}

func ids(entries []*consul.ServiceEntry) []string {
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.Service.ID)
	}
	return found
}

func agentRegisters(w *walker) {
	me := must(w.Agent().NodeName())
	ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{
		ID: "web-1", Name: "web", Port: 8080, Address: "10.7.0.1", Tags: []string{"v1", "blue"},
		Meta:            map[string]string{"version": "1"},
		Weights:         &consul.AgentWeights{Passing: 7, Warning: 2},
		TaggedAddresses: map[string]consul.ServiceAddress{"wan": {Address: "198.51.100.7", Port: 80}},
		Check:           &consul.AgentServiceCheck{CheckID: "web-1-alive", TTL: "10m", Status: "passing"},
	}))
	defer w.Agent().ServiceDeregister("web-1")

	own := must(w.Agent().Services())["web-1"]
	equal("own", []any{own.Service, own.Port, own.Address, own.Tags, own.Meta["version"], own.Weights.Passing},
		[]any{"web", 8080, "10.7.0.1", []string{"v1", "blue"}, "1", 7})
	one, about := meta(w.Agent().Service("web-1", nil))
	equal("by its id", []any{one.ID, one.ContentHash == about.LastContentHash}, []any{"web-1", true})
	holds("it has a hash", about.LastContentHash != "")

	rows := read(w.Catalog().Service("web", "", nil))
	equal("rows", len(rows), 1)
	row := rows[0]
	equal("row", []any{row.Node, row.ServiceID, row.ServiceAddress, row.ServicePort, row.ServiceTags, row.ServiceWeights},
		[]any{me, "web-1", "10.7.0.1", 8080, []string{"v1", "blue"}, consul.Weights{Passing: 7, Warning: 2}})
	equal("tagged", row.ServiceTaggedAddresses["wan"], consul.ServiceAddress{Address: "198.51.100.7", Port: 80})
	entries := read(w.Health().Service("web", "", true, nil))
	equal("entries", ids(entries), []string{"web-1"})
	checks := []string{}
	for _, check := range entries[0].Checks {
		checks = append(checks, check.CheckID+" "+check.Status+" "+check.Type)
	}
	slices.Sort(checks)
	equal("checks", checks, []string{"serfHealth passing ", "web-1-alive passing ttl"})
	equal("together", entries[0].Checks.AggregatedStatus(), "passing")
	equal("services", read(w.Catalog().Services(nil))["web"], []string{"v1", "blue"})

	ok(w.Agent().ServiceRegisterOpts(&consul.AgentServiceRegistration{ID: "web-1", Name: "web", Port: 8081},
		consul.ServiceRegisterOpts{ReplaceExistingChecks: true}))
	equal("its check went", must(w.Agent().Checks())["web-1-alive"], (*consul.AgentCheck)(nil))
	ok(w.Agent().ServiceDeregister("web-1"))
	equal("all went", len(read(w.Catalog().Service("web", "", nil))), 0)
}

func catalogTakes(w *walker) {
	node := &consul.CatalogRegistration{
		Node: "far-1", Address: "10.8.0.1", NodeMeta: map[string]string{"rack": "r1"},
		Service: &consul.AgentService{ID: "db-1", Service: "db", Port: 5432, Tags: []string{"main"}},
		Checks: consul.HealthChecks{
			{Node: "far-1", CheckID: "up", Name: "up", Status: "passing"},
			{Node: "far-1", CheckID: "db-up", Name: "db is up", Status: "warning", ServiceID: "db-1", Output: "slow"},
		},
	}
	must(w.Catalog().Register(node, nil))
	equal("datacenters", must(w.Catalog().Datacenters()), []string{"dc1"})
	names := []string{}
	for _, node := range read(w.Catalog().Nodes(&consul.QueryOptions{NodeMeta: map[string]string{"rack": "r1"}})) {
		names = append(names, node.Node+" "+node.Address)
	}
	equal("nodes of the rack", names, []string{"far-1 10.8.0.1"})
	full := read(w.Catalog().Node("far-1", nil))
	equal("of the node", []any{full.Node.Address, full.Services["db-1"].Port}, []any{"10.8.0.1", 5432})
	equal("no such node", read(w.Catalog().Node("nobody", nil)), (*consul.CatalogNode)(nil))
	listed := read(w.Catalog().NodeServiceList("far-1", nil))
	equal("listed", []any{listed.Node.Node, len(listed.Services), listed.Services[0].ID}, []any{"far-1", 1, "db-1"})

	entries := read(w.Health().Service("db", "main", false, nil))
	equal("entries", []any{len(entries), entries[0].Node.Meta["rack"], entries[0].Checks.AggregatedStatus()},
		[]any{1, "r1", "warning"})
	equal("weights of 0 are none", entries[0].Service.Weights, consul.AgentWeights{Passing: 1, Warning: 1})
	equal("passing", ids(read(w.Health().Service("db", "", true, nil))), []string{})
	of := read(w.Health().Checks("db", nil))
	equal("its check", []any{len(of), of[0].CheckID, of[0].Output, of[0].ServiceName}, []any{1, "db-up", "slow", "db"})
	equal("of its node", len(read(w.Health().Node("far-1", nil))), 2)
	equal("warnings", len(read(w.Health().State("warning", nil))), 1)
	equal("mesh", []any{len(read(w.Catalog().Connect("db", "", nil))), len(read(w.Health().Connect("db", "", false, nil)))},
		[]any{0, 0})

	must(w.Catalog().Deregister(&consul.CatalogDeregistration{Node: "far-1", CheckID: "db-up"}, nil))
	equal("passing again", ids(read(w.Health().Service("db", "", true, nil))), []string{"db-1"})
	must(w.Catalog().Deregister(&consul.CatalogDeregistration{Node: "far-1", ServiceID: "db-1"}, nil))
	equal("its service went", len(read(w.Catalog().Service("db", "", nil))), 0)
	must(w.Catalog().Deregister(&consul.CatalogDeregistration{Node: "far-1"}, nil))
	equal("the node went", read(w.Catalog().Node("far-1", nil)), (*consul.CatalogNode)(nil))
}

func filtersChoose(w *walker) {
	for i, tags := range [][]string{{"a", "x"}, {"a", "y"}, {"b", "x"}} {
		must(w.Catalog().Register(&consul.CatalogRegistration{
			Node: fmt.Sprintf("f-%d", i), Address: "10.9.0.1", NodeMeta: map[string]string{"row": fmt.Sprint(i % 2)},
			Service: &consul.AgentService{ID: fmt.Sprintf("pick-%d", i), Service: "pick", Tags: tags, Port: 1000 + i,
				Meta: map[string]string{"n": fmt.Sprint(i)}},
		}, nil))
	}
	where := func(filter string) *consul.QueryOptions { return &consul.QueryOptions{Filter: filter} }
	equal("by tag", ids(read(w.Health().Service("pick", "a", false, nil))), []string{"pick-0", "pick-1"})
	equal("by two", ids(read(w.Health().ServiceMultipleTags("pick", []string{"a", "y"}, false, nil))), []string{"pick-1"})
	rows := map[string][]string{
		`Service.Meta.n == "2"`:                              {"pick-2"},
		`"x" in Service.Tags and Node.Meta.row == 0`:         {"pick-0", "pick-2"},
		`Service.Port != 1001 and not ("b" in Service.Tags)`: {"pick-0"},
		`Service.ID matches "pick-[12]"`:                     {"pick-1", "pick-2"},
		`Service.Tags contains "y" or Service.ID == "none"`:  {"pick-1"},
	}
	for filter, expected := range rows {
		equal(filter, ids(read(w.Health().Service("pick", "", false, where(filter)))), expected)
	}
	equal("of the catalog", len(read(w.Catalog().Service("pick", "", where(`ServiceMeta.n == "1"`)))), 1)
	equal("of nodes", len(read(w.Catalog().Nodes(where(`Meta.row == "1" and Node matches "^f-"`)))), 1)
	_, _, err := w.Health().Service("pick", "", false, where(`Service.ID ==`))
	holds("a bad filter is refused", err != nil)

	ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{ID: "mine", Name: "mine", Tags: []string{"t"}}))
	defer w.Agent().ServiceDeregister("mine")
	equal("of the agent", len(must(w.Agent().ServicesWithFilter(`"t" in Tags`))), 1)
	equal("none", len(must(w.Agent().ServicesWithFilter(`"u" in Tags`))), 0)
	equal("of its checks", len(must(w.Agent().ChecksWithFilter(`CheckID == "none"`))), 0)
	for i := range 3 {
		must(w.Catalog().Deregister(&consul.CatalogDeregistration{Node: fmt.Sprintf("f-%d", i)}, nil))
	}
}

// blocked asks in the background, and gives the answer when it comes.
func blocked[T any](ask func() (T, *consul.QueryMeta, error)) <-chan answer[T] {
	answers := make(chan answer[T], 1)
	go func() {
		value, meta, err := ask()
		answers <- answer[T]{value, meta, err}
	}()
	return answers
}

type answer[T any] struct {
	value T
	meta  *consul.QueryMeta
	err   error
}

func healthWaits(w *walker) {
	beat := &consul.AgentServiceCheck{CheckID: "beat-alive", TTL: "10m", Status: "passing"}
	ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{ID: "beat-1", Name: "beat", Port: 1, Check: beat}))
	defer w.Agent().ServiceDeregister("beat-1")
	entries, seen := meta(w.Health().Service("beat", "", true, nil))
	equal("at first", ids(entries), []string{"beat-1"})
	next := func() answer[[]*consul.ServiceEntry] {
		index := seen.LastIndex
		waiting := blocked(func() ([]*consul.ServiceEntry, *consul.QueryMeta, error) {
			return w.Health().Service("beat", "", true, &consul.QueryOptions{WaitIndex: index, WaitTime: 5 * time.Minute})
		})
		return soon("the change", waiting)
	}
	steps := []struct {
		change   func() error
		expected []string
	}{
		{func() error { return w.Agent().FailTTL("beat-alive", "tired") }, []string{}},
		{func() error { return w.Agent().PassTTL("beat-alive", "awake") }, []string{"beat-1"}},
		{func() error {
			return w.Agent().ServiceRegister(&consul.AgentServiceRegistration{ID: "beat-2", Name: "beat", Port: 2})
		}, []string{"beat-1", "beat-2"}},
		{func() error { return w.Agent().ServiceDeregister("beat-2") }, []string{"beat-1"}},
	}
	for i, step := range steps {
		// Another service's change must not end the wait: what comes next is this step's change.
		changed := make(chan error, 1)
		go func() {
			other := &consul.AgentServiceRegistration{ID: "other", Name: "other", Port: i + 1}
			changed <- errors.Join(w.Agent().ServiceRegister(other), step.change())
		}()
		answer := next()
		ok(answer.err)
		holds("the index rises", answer.meta.LastIndex > seen.LastIndex)
		equal("after the change", ids(answer.value), step.expected)
		seen = answer.meta
		ok(soon("the change is made", changed))
	}
	ok(w.Agent().ServiceDeregister("other"))

	_, nothing := meta(w.Health().Service("to-come", "", false, nil))
	waiting := blocked(func() ([]*consul.ServiceEntry, *consul.QueryMeta, error) {
		return w.Health().Service("to-come", "", false, &consul.QueryOptions{WaitIndex: nothing.LastIndex, WaitTime: 5 * time.Minute})
	})
	ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{Name: "to-come", Port: 1}))
	came := soon("what did not exist", waiting)
	ok(came.err)
	equal("it came", ids(came.value), []string{"to-come"})
	ok(w.Agent().ServiceDeregister("to-come"))
}

func waitRunsOut(w *walker) {
	_, seen := meta(w.Catalog().Services(nil))
	began := time.Now()
	options := &consul.QueryOptions{WaitIndex: seen.LastIndex, WaitTime: 300 * time.Millisecond}
	again, later := meta(w.Catalog().Services(options))
	holds("it waited", time.Since(began) >= 300*time.Millisecond)
	equal("the same index", later.LastIndex, seen.LastIndex)
	holds("the same answer", len(again) > 0)
	key, nothing := meta(w.KV().Get("never/written", nil))
	equal("no key", key, (*consul.KVPair)(nil))
	holds("an index all the same", nothing.LastIndex > 0)
	key, later = meta(w.KV().Get("never/written", &consul.QueryOptions{WaitIndex: nothing.LastIndex, WaitTime: 300 * time.Millisecond}))
	equal("still none", []any{key, later.LastIndex}, []any{(*consul.KVPair)(nil), nothing.LastIndex})
}

func callerStopsWaiting(w *walker) {
	_, seen := meta(w.Health().Service("consul", "", false, nil))
	stopping, stop := context.WithCancel(context.Background())
	options := (&consul.QueryOptions{WaitIndex: seen.LastIndex, WaitTime: 10 * time.Minute}).WithContext(stopping)
	waiting := blocked(func() ([]*consul.ServiceEntry, *consul.QueryMeta, error) {
		return w.Health().Service("consul", "", false, options)
	})
	stop()
	holds("it was stopped", errors.Is(soon("the end of the wait", waiting).err, context.Canceled))
	impatient := consul.DefaultConfig()
	impatient.Address = w.address
	impatient.HttpClient = &http.Client{Timeout: 200 * time.Millisecond}
	_, _, err := must(consul.NewClient(impatient)).KV().Get("never/written", &consul.QueryOptions{WaitIndex: 1 << 40, WaitTime: time.Minute})
	holds("the client's own time ran out", err != nil && strings.Contains(err.Error(), "Timeout exceeded"))
}

func checksChange(w *walker) {
	ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{ID: "c-1", Name: "c", Port: 1, Checks: consul.AgentServiceChecks{
		{CheckID: "c-ttl", Name: "its beat", TTL: "10m", Notes: "of c"},
	}}))
	defer w.Agent().ServiceDeregister("c-1")
	equal("a TTL check begins as critical", ids(read(w.Health().Service("c", "", true, nil))), []string{})
	reports := []struct {
		report func() error
		status string
	}{
		{func() error { return w.Agent().PassTTL("c-ttl", "fine") }, "passing"},
		{func() error { return w.Agent().WarnTTL("c-ttl", "hm") }, "warning"},
		{func() error { return w.Agent().FailTTL("c-ttl", "no") }, "critical"},
		{func() error { return w.Agent().UpdateTTL("c-ttl", "again", "pass") }, "passing"},
		{func() error { return w.Agent().UpdateTTL("c-ttl", "so so", consul.HealthWarning) }, "warning"},
	}
	for _, one := range reports {
		ok(one.report())
		check := must(w.Agent().Checks())["c-ttl"]
		equal("at the agent", []any{check.Status, check.ServiceID, check.Notes}, []any{one.status, "c-1", "of c"})
		equal("in the catalog", read(w.Health().Checks("c", nil)).AggregatedStatus(), one.status)
		status, info, err := w.Agent().AgentHealthServiceByID("c-1")
		ok(err)
		equal("by id", []any{status, info.AggregatedStatus, info.Service.ID}, []any{one.status, one.status, "c-1"})
	}
	ok(w.Agent().CheckRegister(&consul.AgentCheckRegistration{ID: "disk", Name: "disk", AgentServiceCheck: consul.AgentServiceCheck{TTL: "10m"}}))
	critical := read(w.Health().State(consul.HealthCritical, nil))
	equal("the node's", []any{len(critical), critical[0].CheckID}, []any{1, "disk"})
	ok(w.Agent().CheckDeregister("disk"))
	equal("it went", len(read(w.Health().State(consul.HealthCritical, nil))), 0)
}

func checksRun(w *walker) {
	ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{Name: "probed", Port: 1, Checks: consul.AgentServiceChecks{
		{HTTP: "http://" + w.address + "/v1/status/leader", Method: "GET", Interval: "1s", Timeout: "30s",
			Header: map[string][]string{"X-Probe": {"a", "b"}}},
		{TCP: w.address, Interval: "1s", Timeout: "30s"},
		{CheckID: "alias", AliasNode: must(w.Agent().NodeName())},
	}}))
	defer w.Agent().ServiceDeregister("probed")
	until("probed passes", func() error {
		entries, _, err := w.Health().Service("probed", "", true, nil)
		if err == nil && len(entries) != 1 {
			err = fmt.Errorf("%v", read(w.Health().Checks("probed", nil)))
		}
		return err
	})
	equal("its checks", len(read(w.Health().Checks("probed", nil))), 3)
}

func maintenance(w *walker) {
	ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{Name: "mended", Port: 1}))
	defer w.Agent().ServiceDeregister("mended")
	passing := func() []string { return ids(read(w.Health().Service("mended", "", true, nil))) }
	status := func() string {
		_, infos, err := w.Agent().AgentHealthServiceByName("mended")
		ok(err)
		equal("one instance", len(infos), 1)
		return infos[0].AggregatedStatus
	}
	equal("at first", []any{passing(), status()}, []any{[]string{"mended"}, "passing"})
	ok(w.Agent().EnableServiceMaintenance("mended", "new oil"))
	equal("in maintenance", []any{passing(), status()}, []any{[]string{}, "maintenance"})
	check := must(w.Agent().Checks())[consul.ServiceMaintPrefix+"mended"]
	equal("why", []any{check.Status, check.Notes}, []any{"critical", "new oil"})
	ok(w.Agent().DisableServiceMaintenance("mended"))
	equal("out of it", []any{passing(), status()}, []any{[]string{"mended"}, "passing"})
	ok(w.Agent().EnableNodeMaintenance("all of it"))
	_, there := must(w.Agent().Checks())[consul.NodeMaint]
	equal("the node in maintenance", []any{passing(), there}, []any{[]string{}, true})
	ok(w.Agent().DisableNodeMaintenance())
	equal("the node out of it", []any{passing(), status()}, []any{[]string{"mended"}, "passing"})
}

func consistency(w *walker) {
	for _, options := range []*consul.QueryOptions{nil, {AllowStale: true}, {RequireConsistent: true}} {
		_, about := meta(w.Catalog().Nodes(options))
		holds("a leader is known", about.KnownLeader)
		holds("an index", about.LastIndex > 0)
		equal("no contact lost", []any{about.LastContact, about.DefaultACLPolicy, about.ResultsFilteredByACLs},
			[]any{time.Duration(0), "allow", false})
	}
	both := &consul.QueryOptions{AllowStale: true, RequireConsistent: true}
	_, _, err := w.Catalog().Nodes(both)
	holds("both at once are refused", err != nil && strings.Contains(err.Error(), "400"))
	cached := &consul.QueryOptions{UseCache: true, MaxAge: time.Minute, StaleIfError: time.Hour}
	_, first := meta(w.Health().Service("consul", "", false, cached))
	_, second := meta(w.Health().Service("consul", "", false, cached))
	equal("the second from the cache", []bool{first.CacheHit, second.CacheHit}, []bool{false, true})
	far := &consul.QueryOptions{Datacenter: "nowhere"}
	_, _, err = w.Catalog().Nodes(far)
	holds("an unknown datacenter is refused", err != nil && strings.Contains(err.Error(), "No path to datacenter"))
	equal("near", len(read(w.Catalog().Nodes(&consul.QueryOptions{Near: "_agent"}))) > 0, true)
}

func many(w *walker) {
	expected := []string{}
	for i := range 60 {
		id := fmt.Sprintf("swarm-%02d", i)
		ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{ID: id, Name: "swarm", Port: i + 1,
			Meta: map[string]string{"long": strings.Repeat("m", 200)}}))
		expected = append(expected, id)
	}
	equal("all in order", ids(read(w.Health().Service("swarm", "", true, nil))), expected)
	equal("packed", len(read(w.Catalog().Service("swarm", "", nil))), 60)
	for _, id := range expected {
		ok(w.Agent().ServiceDeregister(id))
	}
	equal("all gone", len(read(w.Catalog().Service("swarm", "", nil))), 0)
}

func refusals(w *walker) {
	status := func(what string, err error, code int, text string) {
		var refused consul.StatusError
		if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Body, text) {
			failf("%s: %v instead of %d %q", what, err, code, text)
		}
	}
	status("a beat of nobody", w.Agent().PassTTL("nobody", ""), 404, `Unknown check ID "nobody"`)
	_, _, err := w.Agent().Service("nobody", nil)
	status("a service of nobody", err, 404, "unknown service ID: nobody")
	status("deregistering nobody", w.Agent().ServiceDeregister("nobody"), 404, "Unknown service ID")
	status("no name", w.Agent().ServiceRegister(&consul.AgentServiceRegistration{}), 400, "Missing service name")
	both := &consul.AgentServiceCheck{TTL: "10s", HTTP: "http://localhost", Interval: "1s"}
	status("two kinds", w.Agent().ServiceRegister(&consul.AgentServiceRegistration{Name: "x", Check: both}), 400, "")
	_, err = w.Catalog().Register(&consul.CatalogRegistration{Node: "x"}, nil)
	status("no address", err, 500, "Must provide")
	_, _, err = w.Session().Create(&consul.SessionEntry{TTL: "100h"}, nil)
	status("too long a session", err, 500, "Invalid Session TTL")
	_, err = w.KV().Put(&consul.KVPair{Key: "big", Value: make([]byte, 600_000)}, nil)
	status("too large a value", err, 413, "too large")
	_, _, err = w.KV().Acquire(&consul.KVPair{Key: "x", Session: "9c8e1f4e-0000-0000-0000-000000000000"}, nil)
	status("no such session", err, 500, "invalid session")
	raw := map[string]any{}
	_, err = w.Raw().Query("/v1/no/such/path", &raw, nil)
	status("no such path", err, 404, "")
}
