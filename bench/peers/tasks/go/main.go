// SPDX-License-Identifier: Apache-2.0

// Goroutines. What was chosen:
//
//   - A child's result comes back through a variable and a WaitGroup, which is faster than a channel for each; both
//     are common. The garbage collector is as it is by default.
//   - GOMAXPROCS is the number of workers; for wakeup one more, because the waking thread needs a P too. That thread
//     is a goroutine locked to it, which sleeps in the kernel and not in Go's own timers.
//   - yield is runtime.Gosched. mutex is sync.Mutex, which spins and barges; nothing in the language hands it over.
//   - timers, timeout: time.AfterFunc and Stop. fire is AfterFunc, each in a goroutine of its own as time has it.
//   - Goroutines cannot be cancelled from outside: cancel is what programs do instead, a context and a select.
//   - A runtime cannot be started twice in a process, so there is no startstop but the whole process (empty).
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func fibHalf(n int) int {
	if n < 2 {
		return n
	}
	var a int
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		a = fibHalf(n - 1)
		wg.Done()
	}()
	b := fibHalf(n - 2)
	wg.Wait()
	return a + b
}

func fibBoth(n int) int {
	if n < 2 {
		return n
	}
	var a, b int
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		a = fibBoth(n - 1)
		wg.Done()
	}()
	go func() {
		b = fibBoth(n - 2)
		wg.Done()
	}()
	wg.Wait()
	return a + b
}

func skynet(first, leaves int) int {
	if leaves == 1 {
		return first
	}
	var results [10]int
	var wg sync.WaitGroup
	wg.Add(10)
	step := leaves / 10
	for i := range results {
		go func(i int) {
			results[i] = skynet(first+i*step, step)
			wg.Done()
		}(i)
	}
	wg.Wait()
	sum := 0
	for _, result := range results {
		sum += result
	}
	return sum
}

func queensBelow(free, left, right, all uint) int {
	if free == 0 {
		return 1
	}
	var results [20]int
	var wg sync.WaitGroup
	n := 0
	for open := free &^ (left | right); open != 0; open &= open - 1 {
		queen := open & -open
		wg.Add(1)
		go func(n int) {
			results[n] = queensBelow(free&^queen, (left|queen)<<1&all, (right|queen)>>1, all)
			wg.Done()
		}(n)
		n++
	}
	wg.Wait()
	sum := 0
	for _, result := range results[:n] {
		sum += result
	}
	return sum
}

func passFlat() bool {
	results := make([]int, j.size)
	var wg sync.WaitGroup
	wg.Add(j.size)
	for i := range results {
		go func(i int) {
			results[i] = i
			wg.Done()
		}(i)
	}
	wg.Wait()
	sum := 0
	for _, result := range results {
		sum += result
	}
	return sum == j.size*(j.size-1)/2
}

// runAll runs n goroutines of each body and waits for all.
func runAll(n int, bodies ...func()) {
	var wg sync.WaitGroup
	for _, body := range bodies {
		wg.Add(n)
		for i := 0; i < n; i++ {
			go func(body func()) {
				body()
				wg.Done()
			}(body)
		}
	}
	wg.Wait()
}

const yields = 400_000

func passYield() bool {
	runAll(j.size, func() {
		for left := yields / j.size; left > 0; left-- {
			runtime.Gosched()
		}
	})
	return true
}

func passPingpong() bool {
	there, back := make(chan int), make(chan int)
	right := true
	runAll(1, func() {
		for i := 0; i < j.size; i++ {
			there <- i
			right = right && <-back == i
		}
	}, func() {
		for i := 0; i < j.size; i++ {
			back <- <-there
		}
	})
	return right
}

func passMpmc() bool {
	const producers = 4
	each := j.size / producers
	wire := make(chan int, 64)
	var producing int32 = producers
	var received int64
	runAll(producers, func() {
		for i := 0; i < each; i++ {
			wire <- i
		}
		if atomic.AddInt32(&producing, -1) == 0 {
			close(wire)
		}
	}, func() {
		sum := 0
		for got := range wire {
			sum += got
		}
		atomic.AddInt64(&received, int64(sum))
	})
	return received == int64(producers*(each*(each-1)/2))
}

func passMutex(yielding bool) bool {
	const lockers = 8
	var mutex sync.Mutex
	counter := 0
	runAll(lockers, func() {
		for i := 0; i < j.size/lockers; i++ {
			mutex.Lock()
			counter++
			if yielding {
				runtime.Gosched()
			}
			mutex.Unlock()
		}
	})
	return counter == j.size/lockers*lockers
}

func sleepers() {
	before, begin, cpu := readMemory(), now(), cpuNow()
	var asleep, most int64
	var peak memory
	runAll(j.size, func() {
		count := atomic.AddInt64(&asleep, 1)
		if count > atomic.LoadInt64(&most) {
			atomic.StoreInt64(&most, count)
		}
		if count == int64(j.size) {
			peak = readMemory()
		}
		time.Sleep(time.Second)
		atomic.AddInt64(&asleep, -1)
	})
	wall := now() - begin
	cpu = cpuNow() - cpu
	last := readMemory()
	peak.rssPeak = last.rssPeak
	if peak.pageTables < last.pageTables {
		peak.pageTables = last.pageTables
	}
	printValues(values{
		"wall_s": float64(wall) * 1e-9, "cpu_s": float64(cpu) * 1e-9,
		"bytes": bytesBetween(before, peak) / float64(most), "at_once": float64(most),
	})
}

var timers []*time.Timer

func passTimers() bool {
	for i := range timers {
		timers[i] = time.AfterFunc(timerDuration(i), func() {})
	}
	right := true
	for i := len(timers) - 1; i >= 0; i-- {
		right = timers[i].Stop() && right
	}
	return right
}

func passTimeout() bool {
	right := true
	for i := 0; i < j.size; i++ {
		timer := time.AfterFunc(10*time.Second, func() {})
		runtime.Gosched()
		right = timer.Stop() && right
	}
	return right
}

func fire() {
	timers = make([]*time.Timer, j.size)
	for lead := time.Duration(j.size)*2*time.Microsecond + 100*time.Millisecond; ; lead *= 2 {
		at := time.Now().Add(lead)
		var fired int64
		done := make(chan struct{})
		for i := range timers {
			timers[i] = time.AfterFunc(time.Until(at), func() {
				if atomic.AddInt64(&fired, 1) == int64(j.size) {
					close(done)
				}
			})
		}
		time.Sleep(time.Until(at) - 20*time.Millisecond)
		early := time.Now().Before(at)
		cpu := cpuNow()
		<-done
		wall := time.Since(at)
		cpu = cpuNow() - cpu
		if early {
			printValues(values{"ns": float64(wall) / float64(j.size), "cpu_ns": float64(cpu) / float64(j.size)})
			return
		}
	}
}

type sleeper struct {
	cancel context.CancelFunc
	ended  chan error
}

func passCancel() bool {
	beginSetup()
	sleepers := make([]sleeper, j.size)
	var asleep int64
	for i := range sleepers {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		sleepers[i] = sleeper{cancel, ended}
		go func() {
			timer := time.NewTimer(time.Hour)
			defer timer.Stop()
			atomic.AddInt64(&asleep, 1)
			select {
			case <-ctx.Done():
				ended <- ctx.Err()
			case <-timer.C:
				ended <- nil
			}
		}()
	}
	for atomic.LoadInt64(&asleep) < int64(j.size) {
		runtime.Gosched()
	}
	endSetup()
	right := true
	for _, s := range sleepers {
		s.cancel()
		right = <-s.ended == context.Canceled && right
	}
	return right
}

func wakeup() {
	sent, latencies := make([]int64, j.size), make([]int64, j.size)
	letters := make(chan int, 1)
	go func() {
		runtime.LockOSThread()
		pause := syscall.NsecToTimespec(int64(wakeupPause))
		for i := range sent {
			syscall.Nanosleep(&pause, nil)
			sent[i] = now()
			letters <- i
		}
	}()
	for i := range latencies {
		if <-letters != i {
			wrong("wrong letter")
		}
		latencies[i] = now() - sent[i]
	}
	printLatencies(latencies)
}

func main() {
	readJob()
	runtime.GOMAXPROCS(j.workers)
	size := float64(j.size)
	switch j.workload {
	case "fib_half":
		measure(fibCalls(j.size), func() bool { return fibHalf(j.size) == fibValue(j.size) })
	case "fib_both":
		measure(fibCalls(j.size), func() bool { return fibBoth(j.size) == fibValue(j.size) })
	case "skynet":
		measure(skynetNodes(j.size), func() bool { return skynet(0, j.size) == j.size*(j.size-1)/2 })
	case "nqueens":
		all := uint(1)<<j.size - 1
		nodes, solutions := countQueens(all, 0, 0, all)
		measure(float64(nodes), func() bool { return queensBelow(all, 0, 0, all) == solutions })
	case "flat":
		measure(size, passFlat)
	case "yield":
		measure(float64(yields/j.size*j.size), passYield)
	case "pingpong":
		measure(size, passPingpong)
	case "mpmc":
		measure(size, passMpmc)
	case "mutex":
		measure(size, func() bool { return passMutex(false) })
	case "mutex_held":
		measure(size, func() bool { return passMutex(true) })
	case "sleepers":
		sleepers()
	case "timers":
		timers = make([]*time.Timer, j.size)
		measure(size, passTimers)
	case "timeout":
		measure(size, passTimeout)
	case "fire":
		fire()
	case "cancel":
		measure(size, passCancel)
	case "wakeup":
		runtime.GOMAXPROCS(j.workers + 1)
		wakeup()
	case "empty":
	default:
		fmt.Fprintf(os.Stderr, "%s: this program has no such workload\n", j.workload)
		os.Exit(2)
	}
}
