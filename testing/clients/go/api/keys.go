package main

import (
	"bytes"
	"fmt"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// keys is of the key-value store, transactions and sessions.
var keys = []scenario{
	{"keys are put, listed and removed", keysListed},
	{"check-and-set lets one win", checkAndSet},
	{"a key's reader waits for it", keyWaits},
	{"a transaction is all or nothing", keyTransactions},
	{"a transaction touches nodes, services and checks", catalogTransactions},
	{"sessions begin, are renewed and end", sessions},
	{"a session's end frees or removes its keys", sessionBehaviour},
	{"a critical check ends a session", sessionOfCheck},
}

func keysListed(w *walker) {
	kv := w.KV()
	for _, key := range []string{"k/a", "k/b/1", "k/b/2", "k/c d/ü", "k/z"} {
		must(kv.Put(&consul.KVPair{Key: key, Value: []byte("value of " + key), Flags: 1 << 63}, nil))
	}
	one := read(kv.Get("k/c d/ü", nil))
	equal("value and flags", []any{string(one.Value), one.Flags}, []any{"value of k/c d/ü", uint64(1 << 63)})
	listed := []string{}
	for _, pair := range read(kv.List("k/", nil)) {
		listed = append(listed, pair.Key)
	}
	equal("in order", listed, []string{"k/a", "k/b/1", "k/b/2", "k/c d/ü", "k/z"})
	equal("a level", read(kv.Keys("k/", "/", nil)), []string{"k/a", "k/b/", "k/c d/", "k/z"})
	equal("all names", len(read(kv.Keys("k/", "", nil))), 5)
	equal("no such prefix", []int{len(read(kv.List("none/", nil))), len(read(kv.Keys("none/", "", nil)))}, []int{0, 0})
	equal("no such key", read(kv.Get("none", nil)), (*consul.KVPair)(nil))
	all := bytes.Repeat([]byte{0, 1, 0xfe, 0xff, '"', '\\'}, 40_000)
	must(kv.Put(&consul.KVPair{Key: "k/binary", Value: all}, nil))
	holds("any bytes", bytes.Equal(read(kv.Get("k/binary", nil)).Value, all))
	must(kv.Put(&consul.KVPair{Key: "k/empty"}, nil))
	equal("an empty value", len(read(kv.Get("k/empty", nil)).Value), 0)
	must(kv.Delete("k/a", nil))
	equal("removed", read(kv.Get("k/a", nil)), (*consul.KVPair)(nil))
	must(kv.DeleteTree("k/b", nil))
	equal("a tree removed", len(read(kv.Keys("k/b", "", nil))), 0)
	must(kv.DeleteTree("k/", nil))
	equal("all removed", len(read(kv.List("k/", nil))), 0)
}

func checkAndSet(w *walker) {
	kv := w.KV()
	pair := &consul.KVPair{Key: "cas/one", Value: []byte("first")}
	equal("created", wrote(kv.CAS(pair, nil)), true)
	equal("only once", wrote(kv.CAS(pair, nil)), false)
	held := read(kv.Get("cas/one", nil))
	equal("at its index", []any{held.CreateIndex == held.ModifyIndex, held.LockIndex}, []any{true, 0})
	held.Value = []byte("second")
	equal("swapped", wrote(kv.CAS(held, nil)), true)
	equal("stale", wrote(kv.CAS(held, nil)), false)

	// Ten add one to a number, each trying until its write was the one that counted.
	must(kv.Put(&consul.KVPair{Key: "cas/sum", Value: []byte("0")}, nil))
	done := make(chan error, 10)
	for range cap(done) {
		go func() {
			for {
				now, _, err := kv.Get("cas/sum", nil)
				if err != nil {
					done <- err
					return
				}
				sum := 0
				fmt.Sscan(string(now.Value), &sum)
				now.Value = fmt.Append(nil, sum+1)
				if won, _, err := kv.CAS(now, nil); won || err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range cap(done) {
		ok(soon("each adds", done))
	}
	equal("none was lost", string(read(kv.Get("cas/sum", nil)).Value), "10")
	last := read(kv.Get("cas/one", nil))
	equal("not removed", wrote(kv.DeleteCAS(&consul.KVPair{Key: "cas/one", ModifyIndex: last.CreateIndex}, nil)), false)
	equal("removed", wrote(kv.DeleteCAS(last, nil)), true)
	must(kv.DeleteTree("cas/", nil))
}

func keyWaits(w *walker) {
	kv := w.KV()
	_, seen := meta(kv.Get("wait/for", nil))
	wait := func() answer[*consul.KVPair] {
		for { // while there is no key its index is that of all keys, so another's write may end the wait
			pair, about := meta(kv.Get("wait/for", &consul.QueryOptions{WaitIndex: seen.LastIndex, WaitTime: 5 * time.Minute}))
			if pair != nil {
				return answer[*consul.KVPair]{pair, about, nil}
			}
			seen = about
		}
	}
	waiting := make(chan answer[*consul.KVPair], 1)
	go func() { waiting <- wait() }()
	must(kv.Put(&consul.KVPair{Key: "wait/other", Value: []byte("x")}, nil))
	must(kv.Put(&consul.KVPair{Key: "wait/for", Value: []byte("y")}, nil))
	came := soon("the key", waiting)
	equal("it came", string(came.value.Value), "y")
	pairs := blocked(func() (consul.KVPairs, *consul.QueryMeta, error) {
		return kv.List("wait/", &consul.QueryOptions{WaitIndex: came.meta.LastIndex, WaitTime: 5 * time.Minute})
	})
	must(kv.Put(&consul.KVPair{Key: "elsewhere", Value: []byte("x")}, nil))
	must(kv.Delete("wait/other", nil))
	left := soon("a removal", pairs)
	ok(left.err)
	equal("one is left", len(left.value), 1)
	must(kv.DeleteTree("wait/", nil))
	must(kv.Delete("elsewhere", nil))
}

func keyTransactions(w *walker) {
	kv := w.KV()
	set := consul.KVTxnOps{
		{Verb: consul.KVSet, Key: "txn/a", Value: []byte("1"), Flags: 7},
		{Verb: consul.KVCAS, Key: "txn/b", Value: []byte("2"), Index: 0},
		{Verb: consul.KVCheckNotExists, Key: "txn/c"},
		{Verb: consul.KVGet, Key: "txn/a"},
	}
	did, response, _, err := kv.Txn(set, nil)
	ok(err)
	equal("done", []any{did, len(response.Errors), len(response.Results)}, []any{true, 0, 3})
	equal("read in it", []any{string(response.Results[2].Value), response.Results[2].Flags}, []any{"1", 7})
	did, response, _, err = kv.Txn(consul.KVTxnOps{
		{Verb: consul.KVSet, Key: "txn/a", Value: []byte("lost")},
		{Verb: consul.KVGet, Key: "txn/none"},
		{Verb: consul.KVCAS, Key: "txn/b", Value: []byte("lost"), Index: 1},
	}, nil)
	ok(err)
	equal("not done", []any{did, len(response.Errors)}, []any{false, 2})
	equal("why", []any{response.Errors[0].OpIndex, response.Errors[0].What, response.Errors[1].OpIndex, response.Errors[1].What},
		[]any{1, `key "txn/none" doesn't exist`, 2, `failed to set key "txn/b", index is stale`})
	equal("nothing changed", string(read(kv.Get("txn/a", nil)).Value), "1")
	did, response, _, err = kv.Txn(consul.KVTxnOps{{Verb: consul.KVGetTree, Key: "txn/"}}, nil)
	ok(err)
	equal("the tree", []any{did, len(response.Results)}, []any{true, 2})
	did, _, _, err = kv.Txn(consul.KVTxnOps{{Verb: consul.KVDeleteTree, Key: "txn/"}}, nil)
	ok(err)
	equal("removed", []any{did, len(read(kv.List("txn/", nil)))}, []any{true, 0})
}

func catalogTransactions(w *walker) {
	node := consul.Node{Node: "txn-node", Address: "10.6.0.1"}
	did, response, _, err := w.Txn().Txn(consul.TxnOps{
		{Node: &consul.NodeTxnOp{Verb: consul.NodeSet, Node: node}},
		{Service: &consul.ServiceTxnOp{Verb: consul.ServiceSet, Node: "txn-node",
			Service: consul.AgentService{ID: "txn-1", Service: "txn", Port: 9}}},
		{Check: &consul.CheckTxnOp{Verb: consul.CheckSet, Check: consul.HealthCheck{Node: "txn-node", CheckID: "txn-check",
			Name: "txn check", ServiceID: "txn-1", Status: "passing"}}},
		{KV: &consul.KVTxnOp{Verb: consul.KVSet, Key: "txn-key", Value: []byte("v")}},
	}, nil)
	ok(err)
	equal("done", []any{did, len(response.Errors), len(response.Results)}, []any{true, 0, 4})
	equal("registered", ids(read(w.Health().Service("txn", "", true, nil))), []string{"txn-1"})
	did, response, _, err = w.Txn().Txn(consul.TxnOps{
		{Service: &consul.ServiceTxnOp{Verb: consul.ServiceDelete, Node: "txn-node", Service: consul.AgentService{ID: "txn-1", Service: "txn"}}},
		{Node: &consul.NodeTxnOp{Verb: consul.NodeGet, Node: consul.Node{Node: "nobody"}}},
	}, nil)
	ok(err)
	equal("not done", []any{did, len(response.Errors), response.Errors[0].OpIndex}, []any{false, 1, 1})
	did, response, _, err = w.Txn().Txn(consul.TxnOps{
		{Node: &consul.NodeTxnOp{Verb: consul.NodeDelete, Node: node}},
		{KV: &consul.KVTxnOp{Verb: consul.KVDelete, Key: "txn-key"}},
	}, nil)
	ok(err)
	equal("removed", []any{did, len(response.Errors), len(read(w.Health().Service("txn", "", false, nil)))}, []any{true, 0, 0})
}

func sessions(w *walker) {
	me := must(w.Agent().NodeName())
	session := w.Session()
	id := wrote(session.Create(&consul.SessionEntry{Name: "mine", TTL: "20s", LockDelay: time.Second, Behavior: "delete"}, nil))
	seen := read(session.Info(id, nil))
	equal("as it was made", []any{seen.Name, seen.TTL, seen.LockDelay, seen.Behavior, seen.Node, seen.NodeChecks},
		[]any{"mine", "20s", time.Second, "delete", me, []string{"serfHealth"}})
	bare := wrote(session.CreateNoChecks(nil, nil))
	equal("without checks", len(read(session.Info(bare, nil)).NodeChecks), 0)
	equal("of the node", len(read(session.Node(me, nil))), 2)
	equal("listed", len(read(session.List(nil))), 2)
	equal("renewed", wrote(session.Renew(id, nil)).ID, id)

	done, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- session.RenewPeriodic("1s", bare, nil, done) }()
	close(done) // it destroys the session on its way out
	ok(soon("renewing ends", ended))
	equal("destroyed with it", read(session.Info(bare, nil)), (*consul.SessionEntry)(nil))
	must(session.Destroy(id, nil))
	equal("destroyed", read(session.Info(id, nil)), (*consul.SessionEntry)(nil))
	equal("not to be renewed", wrote(session.Renew(id, nil)), (*consul.SessionEntry)(nil))
	go func() { ended <- session.RenewPeriodic("1s", id, nil, make(chan struct{})) }()
	equal("renewing what is gone", soon("its end", ended), consul.ErrSessionExpired)
}

func sessionBehaviour(w *walker) {
	for behaviour, left := range map[string]bool{"release": true, "delete": false} {
		key := "session/" + behaviour
		id := wrote(w.Session().Create(&consul.SessionEntry{Behavior: behaviour, LockDelay: time.Millisecond}, nil))
		equal("acquired", wrote(w.KV().Acquire(&consul.KVPair{Key: key, Value: []byte("held"), Session: id}, nil)), true)
		other := wrote(w.Session().Create(nil, nil))
		equal("not twice", wrote(w.KV().Acquire(&consul.KVPair{Key: key, Session: other}, nil)), false)
		equal("not the other's to give", wrote(w.KV().Release(&consul.KVPair{Key: key, Session: other}, nil)), false)
		held, seen := meta(w.KV().Get(key, nil))
		equal("holder", []any{held.Session, held.LockIndex}, []any{id, 1})
		waiting := blocked(func() (*consul.KVPair, *consul.QueryMeta, error) {
			return w.KV().Get(key, &consul.QueryOptions{WaitIndex: seen.LastIndex, WaitTime: 5 * time.Minute})
		})
		must(w.Session().Destroy(id, nil))
		after := soon("its reader hears of it", waiting)
		ok(after.err)
		equal(behaviour+" leaves the key", after.value != nil, left)
		holds("free", after.value == nil || after.value.Session == "")
		must(w.Session().Destroy(other, nil))
	}
	must(w.KV().DeleteTree("session/", nil))
}

func sessionOfCheck(w *walker) {
	check := consul.AgentServiceCheck{TTL: "10m", Status: "passing"}
	ok(w.Agent().CheckRegister(&consul.AgentCheckRegistration{ID: "watchdog", Name: "watchdog", AgentServiceCheck: check}))
	defer w.Agent().CheckDeregister("watchdog")
	id := wrote(w.Session().Create(&consul.SessionEntry{NodeChecks: []string{"serfHealth", "watchdog"}}, nil))
	equal("acquired", wrote(w.KV().Acquire(&consul.KVPair{Key: "guarded", Session: id}, nil)), true)
	ok(w.Agent().FailTTL("watchdog", "bit"))
	until("the session ends", func() error {
		if left := read(w.Session().Info(id, nil)); left != nil {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
	equal("the key is free", read(w.KV().Get("guarded", nil)).Session, "")
	_, _, err := w.Session().Create(&consul.SessionEntry{NodeChecks: []string{"watchdog"}}, nil)
	holds("no session on a critical check", err != nil)
	must(w.KV().Delete("guarded", nil))
}
