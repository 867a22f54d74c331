// Command api walks through Consul's own Go client, github.com/hashicorp/consul/api, against a running agent.
//
//	api HOST:PORT [SCENARIO...]
//
// Each scenario prints PASS or FAIL and its name; the exit status is 1 when one failed. `api list` names them all. The
// agent needs `session_ttl_min` of 1 s, so that a killed holder's session ends soon. The words `hold-lock` and
// `hold-slot` make this program the holder that a scenario kills.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// limit is how long anything may take that should happen at once, on a busy machine.
const limit = 60 * time.Second

// scenario is one walk; it panics with a failure where something is not as it should be.
type scenario struct {
	name string
	walk func(*walker)
}

// walker is what a scenario has at hand.
type walker struct {
	*consul.Client
	address string
}

// failure is what a scenario found wrong.
type failure string

func failf(format string, args ...any) {
	panic(failure(fmt.Sprintf(format, args...)))
}

// ok ends the scenario at an error.
func ok(err error) {
	if err != nil {
		failf("%v\n%s", err, caller())
	}
}

// must gives the value, and ends the scenario at an error.
func must[T any](value T, err error) T {
	ok(err)
	return value
}

// meta is must for a read, which has three results.
func meta[T any](value T, meta *consul.QueryMeta, err error) (T, *consul.QueryMeta) {
	ok(err)
	return value, meta
}

// read is must for a read whose meta data do not matter.
func read[T any](value T, _ *consul.QueryMeta, err error) T {
	ok(err)
	return value
}

// wrote is must for a write.
func wrote[T any](value T, _ *consul.WriteMeta, err error) T {
	ok(err)
	return value
}

// equal compares by what is printed of both, so that a difference is told as it is read.
func equal(what string, seen, expected any) {
	if s, e := fmt.Sprintf("%v", seen), fmt.Sprintf("%v", expected); s != e {
		failf("%s: %s instead of %s\n%s", what, s, e, caller())
	}
}

func holds(what string, condition bool) {
	if !condition {
		failf("%s does not hold\n%s", what, caller())
	}
}

func caller() string {
	return string(debug.Stack())
}

// until asks until the answer is nil, and tells the last one when it never is.
func until(what string, probe func() error) {
	end := time.Now().Add(limit)
	for {
		err := probe()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			failf("%s: not within %v; last seen: %v", what, limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// soon takes what a channel brings, or fails.
func soon[T any](what string, from <-chan T) T {
	select {
	case value := <-from:
		return value
	case <-time.After(limit):
		failf("%s: not within %v", what, limit)
		panic("unreachable")
	}
}

func main() {
	words := os.Args[1:]
	if len(words) == 0 {
		fmt.Fprintln(os.Stderr, "usage: api list | HOST:PORT [SCENARIO...]")
		os.Exit(2)
	}
	all := slices.Concat(registry, keys, locks, watches, agents)
	switch words[0] {
	case "list":
		for _, one := range all {
			fmt.Println(one.name)
		}
		return
	case "hold-lock", "hold-slot":
		hold(words[0], words[1], words[2])
		return
	}
	failed := false
	for _, one := range all {
		if len(words) > 1 && !slices.Contains(words[1:], one.name) {
			continue
		}
		if found := run(one, words[0]); found != "" {
			failed = true
			fmt.Printf("FAIL %s: %s\n", one.name, found)
		} else {
			fmt.Printf("PASS %s\n", one.name)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// run walks through one scenario with a client of its own.
func run(one scenario, address string) (found failure) {
	defer func() {
		switch caught := recover().(type) {
		case nil:
		case failure:
			found = caught
		default:
			found = failure(fmt.Sprintf("panicked: %v\n%s", caught, debug.Stack()))
		}
	}()
	one.walk(&walker{client(address), address})
	return ""
}

func client(address string) *consul.Client {
	config := consul.DefaultConfig()
	config.Address = address
	return must(consul.NewClient(config))
}
