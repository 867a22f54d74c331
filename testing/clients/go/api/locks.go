package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// locks is of the client's locks and semaphores, some with holders that are killed.
var locks = []scenario{
	{"a lock has one holder", lockHasOneHolder},
	{"a lock moves when its holder is killed", killedHolderLosesLock},
	{"a holder hears that it lost its lock", lockIsLost},
	{"a semaphore has as many holders as slots", semaphoreHasSlots},
	{"a slot moves when its holder is killed", killedHolderLosesSlot},
	{"a holder hears that it lost its slot", slotIsLost},
}

const (
	heldTTL = "2s" // a session lives up to twice its time to live
	slots   = 2
)

func newLock(c *consul.Client, key string) *consul.Lock {
	return must(c.LockOpts(&consul.LockOptions{Key: key, Value: fmt.Append(nil, os.Getpid()), SessionTTL: heldTTL,
		LockDelay: time.Millisecond, LockWaitTime: 10 * time.Second, MonitorRetryTime: time.Second}))
}

// newSlot makes its session itself: a semaphore's own has the lock-delay of 15 s, and no option for another.
func newSlot(c *consul.Client, prefix string) (*consul.Semaphore, string) {
	session := wrote(c.Session().Create(&consul.SessionEntry{TTL: heldTTL, LockDelay: time.Millisecond, Behavior: "delete"}, nil))
	return must(c.SemaphoreOpts(&consul.SemaphoreOptions{Prefix: prefix, Limit: slots, Session: session,
		Value: fmt.Append(nil, os.Getpid()), SemaphoreWaitTime: 10 * time.Second})), session
}

// hold is the program as a holder: it says `held` once it holds, and holds until it is killed.
func hold(kind, address, name string) {
	c := client(address)
	var lost <-chan struct{}
	if kind == "hold-lock" {
		lost = must(newLock(c, name).Lock(nil))
	} else {
		slot, session := newSlot(c, name)
		go c.Session().RenewPeriodic(heldTTL, session, nil, nil)
		lost = must(slot.Acquire(nil))
	}
	fmt.Println("held")
	<-lost
	fmt.Println("lost")
}

// holder starts this program as a holder and waits until it holds.
func holder(w *walker, kind, name string) *exec.Cmd {
	child := exec.Command(must(os.Executable()), kind, w.address, name)
	child.Stderr = os.Stderr
	said := must(child.StdoutPipe())
	ok(child.Start())
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(said).ReadString('\n')
		lines <- line
	}()
	equal("the child", soon("it holds", lines), "held\n")
	return child
}

func end(child *exec.Cmd) {
	ok(child.Process.Kill())
	child.Wait()
}

// taken waits in the background for a lock or a slot.
func taken(take func(<-chan struct{}) (<-chan struct{}, error)) <-chan held {
	done := make(chan held, 1)
	go func() {
		lost, err := take(nil)
		done <- held{lost, err}
	}()
	return done
}

type held struct {
	lost <-chan struct{}
	err  error
}

func lockHasOneHolder(w *walker) {
	first, second := newLock(w.Client, "lock/one"), newLock(w.Client, "lock/one")
	must(first.Lock(nil))
	_, err := first.Lock(nil)
	equal("not twice", err, consul.ErrLockHeld)
	once := must(w.LockOpts(&consul.LockOptions{Key: "lock/one", LockTryOnce: true, LockWaitTime: 100 * time.Millisecond}))
	none, err := once.Lock(nil)
	equal("tried once", []any{none == nil, err}, []any{true, nil})
	pair := read(w.KV().Get("lock/one", nil))
	equal("its mark", []any{pair.Flags, string(pair.Value)}, []any{uint64(consul.LockFlagValue), fmt.Sprint(os.Getpid())})
	waiting := taken(second.Lock)
	ok(first.Unlock())
	next := soon("the second has it", waiting)
	ok(next.err)
	equal("in use", first.Destroy(), consul.ErrLockInUse)
	ok(second.Unlock())
	equal("not held", second.Unlock(), consul.ErrLockNotHeld)
	ok(second.Destroy())
	equal("gone", read(w.KV().Get("lock/one", nil)), (*consul.KVPair)(nil))
}

func killedHolderLosesLock(w *walker) {
	child := holder(w, "hold-lock", "lock/killed")
	before := read(w.KV().Get("lock/killed", nil))
	equal("the child's", string(before.Value), fmt.Sprint(child.Process.Pid))
	mine := newLock(w.Client, "lock/killed")
	waiting := taken(mine.Lock)
	end(child)
	now := soon("the lock is mine", waiting)
	ok(now.err)
	after := read(w.KV().Get("lock/killed", nil))
	equal("mine", string(after.Value), fmt.Sprint(os.Getpid()))
	holds("another session", after.Session != "" && after.Session != before.Session)
	equal("its session is gone", read(w.Session().Info(before.Session, nil)), (*consul.SessionEntry)(nil))
	ok(mine.Unlock())
	ok(mine.Destroy())
}

func lockIsLost(w *walker) {
	for name, take := range map[string]func(*consul.KVPair){
		"its session ends":    func(pair *consul.KVPair) { must(w.Session().Destroy(pair.Session, nil)) },
		"its key is removed":  func(pair *consul.KVPair) { must(w.KV().Delete(pair.Key, nil)) },
		"it is given back":    func(pair *consul.KVPair) { wrote(w.KV().Release(pair, nil)) },
		"its holder unlocked": nil,
	} {
		mine := newLock(w.Client, "lock/lost")
		lost := must(mine.Lock(nil))
		if take == nil {
			ok(mine.Unlock())
		} else {
			take(read(w.KV().Get("lock/lost", nil)))
		}
		soon(name, lost)
		mine.Unlock()
		must(w.KV().Delete("lock/lost", nil))
	}
	mine := newLock(w.Client, "lock/kept")
	lost := must(mine.Lock(nil))
	must(w.KV().Put(&consul.KVPair{Key: "lock/kept", Value: []byte("new"), Flags: consul.LockFlagValue}, nil))
	select {
	case <-lost:
		failf("a write without a session took the lock away")
	default:
	}
	ok(mine.Unlock())
	ok(mine.Destroy())
}

func semaphoreHasSlots(w *walker) {
	first, one := newSlot(w.Client, "semaphore/some")
	second, two := newSlot(w.Client, "semaphore/some")
	third, three := newSlot(w.Client, "semaphore/some")
	done := make(chan struct{})
	defer close(done)
	for _, session := range []string{one, two, three} {
		go w.Session().RenewPeriodic(heldTTL, session, nil, done)
	}
	must(first.Acquire(nil))
	must(second.Acquire(nil))
	once := must(w.SemaphoreOpts(&consul.SemaphoreOptions{Prefix: "semaphore/some", Limit: slots, Session: three,
		SemaphoreTryOnce: true, SemaphoreWaitTime: 100 * time.Millisecond}))
	none, err := once.Acquire(nil)
	equal("tried once", []any{none == nil, err}, []any{true, nil})
	waiting := taken(third.Acquire)
	ok(first.Release())
	ok(soon("a free slot is taken", waiting).err)
	other := must(w.SemaphoreOpts(&consul.SemaphoreOptions{Prefix: "semaphore/some", Limit: slots + 1, Session: one}))
	_, err = other.Acquire(nil)
	equal("another limit", errors.Is(err, consul.ErrSemaphoreConflict) || err != nil, true)
	ok(second.Release())
	equal("in use", third.Destroy(), consul.ErrSemaphoreHeld)
	ok(third.Release())
	ok(third.Destroy())
	must(w.KV().DeleteTree("semaphore/some", nil))
}

func killedHolderLosesSlot(w *walker) {
	first := holder(w, "hold-slot", "semaphore/killed")
	second := holder(w, "hold-slot", "semaphore/killed")
	mine, session := newSlot(w.Client, "semaphore/killed")
	done := make(chan struct{})
	defer close(done)
	go w.Session().RenewPeriodic(heldTTL, session, nil, done)
	waiting := taken(mine.Acquire)
	end(first)
	now := soon("a slot is mine", waiting)
	ok(now.err)
	holders := []string{}
	for _, pair := range read(w.KV().List("semaphore/killed/", nil)) {
		if pair.Session != "" {
			holders = append(holders, string(pair.Value))
		}
	}
	equal("holders", len(holders), slots)
	end(second)
	ok(mine.Release())
	must(w.KV().DeleteTree("semaphore/killed", nil))
}

func slotIsLost(w *walker) {
	mine, session := newSlot(w.Client, "semaphore/lost")
	lost := must(mine.Acquire(nil))
	must(w.Session().Destroy(session, nil))
	soon("it is lost with its session", lost)
	must(w.KV().DeleteTree("semaphore/lost", nil))
}
