package main

import (
	"fmt"

	consul "github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
)

// watches is of the package's own watch plans, which go round with blocking queries.
var watches = []scenario{
	{"a plan follows a key", planFollowsKey},
	{"a plan follows a prefix", planFollowsPrefix},
	{"a plan follows a service", planFollowsService},
	{"plans follow services, nodes and checks", plansFollowLists},
	{"a plan follows an agent's service by its hash", planFollowsHash},
}

// plan runs a watch; what it prints of each answer comes by the channel.
func plan(w *walker, params map[string]any, show func(any) string) (<-chan string, func()) {
	plan := must(watch.Parse(params))
	seen := make(chan string, 100)
	plan.HybridHandler = func(_ watch.BlockingParamVal, data any) { seen <- show(data) }
	ended := make(chan error, 1)
	go func() { ended <- plan.RunWithClientAndHclog(w.Client, nil) }()
	return seen, func() {
		plan.Stop()
		ok(soon("the plan ends", ended))
	}
}

// comes reads until the answer is the expected one: a plan that is slow may miss one between.
func comes(what string, seen <-chan string, expected string) {
	last := "nothing"
	until(what, func() error {
		last = soon(what+", after "+last, seen)
		if last != expected {
			return fmt.Errorf("%s instead of %s", last, expected)
		}
		return nil
	})
}

func planFollowsKey(w *walker) {
	seen, stop := plan(w, map[string]any{"type": "key", "key": "plan/key"}, func(data any) string {
		if pair, _ := data.(*consul.KVPair); pair != nil {
			return string(pair.Value)
		}
		return "none"
	})
	defer stop()
	for _, value := range []string{"one", "two", "three"} {
		must(w.KV().Put(&consul.KVPair{Key: "plan/key", Value: []byte(value)}, nil))
		comes("the key", seen, value)
	}
	must(w.KV().Delete("plan/key", nil))
	comes("its end", seen, "none")
}

func planFollowsPrefix(w *walker) {
	seen, stop := plan(w, map[string]any{"type": "keyprefix", "prefix": "plan/p/"}, func(data any) string {
		return fmt.Sprint(len(data.(consul.KVPairs)))
	})
	defer stop()
	for i := range 3 {
		must(w.KV().Put(&consul.KVPair{Key: fmt.Sprintf("plan/p/%d", i)}, nil))
		comes("the keys", seen, fmt.Sprint(i+1))
	}
	must(w.KV().DeleteTree("plan/p/", nil))
	comes("their end", seen, "0")
}

func planFollowsService(w *walker) {
	params := map[string]any{"type": "service", "service": "planned", "tag": "t", "passingonly": true}
	seen, stop := plan(w, params, func(data any) string { return fmt.Sprint(ids(data.([]*consul.ServiceEntry))) })
	defer stop()
	check := &consul.AgentServiceCheck{CheckID: "planned", TTL: "10m", Status: "passing"}
	ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{ID: "p-1", Name: "planned", Tags: []string{"t"}, Check: check}))
	comes("the first", seen, "[p-1]")
	ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{ID: "p-2", Name: "planned", Tags: []string{"t"}}))
	comes("the second", seen, "[p-1 p-2]")
	ok(w.Agent().FailTTL("planned", ""))
	comes("one is critical", seen, "[p-2]")
	ok(w.Agent().ServiceDeregister("p-1"))
	ok(w.Agent().ServiceDeregister("p-2"))
	comes("the end", seen, "[]")
}

func plansFollowLists(w *walker) {
	services, stopServices := plan(w, map[string]any{"type": "services"}, func(data any) string {
		return fmt.Sprint(data.(map[string][]string)["listed"])
	})
	defer stopServices()
	nodes, stopNodes := plan(w, map[string]any{"type": "nodes"}, func(data any) string { return fmt.Sprint(len(data.([]*consul.Node))) })
	defer stopNodes()
	checks, stopChecks := plan(w, map[string]any{"type": "checks", "state": "warning"}, func(data any) string {
		return fmt.Sprint(len(data.([]*consul.HealthCheck)))
	})
	defer stopChecks()
	must(w.Catalog().Register(&consul.CatalogRegistration{Node: "planned", Address: "10.5.0.1",
		Service: &consul.AgentService{Service: "listed", Tags: []string{"l"}},
		Check:   &consul.AgentCheck{Node: "planned", CheckID: "c", Name: "c", Status: "warning"}}, nil))
	comes("services", services, "[l]")
	comes("nodes", nodes, "2")
	comes("checks", checks, "1")
	must(w.Catalog().Deregister(&consul.CatalogDeregistration{Node: "planned"}, nil))
	comes("no service", services, "[]")
	comes("no node", nodes, "1")
	comes("no check", checks, "0")
}

func planFollowsHash(w *walker) {
	register := func(port int) {
		ok(w.Agent().ServiceRegister(&consul.AgentServiceRegistration{Name: "hashed", Port: port}))
	}
	register(1)
	defer w.Agent().ServiceDeregister("hashed")
	seen, stop := plan(w, map[string]any{"type": "agent_service", "service_id": "hashed"}, func(data any) string {
		return fmt.Sprint(data.(*consul.AgentService).Port)
	})
	defer stop()
	comes("at first", seen, "1")
	register(2)
	comes("changed", seen, "2")
}
