// SPDX-License-Identifier: Apache-2.0

package main

// The command line, the clock around a workload and the line of JSON: what ../measure.h describes, in Go.

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

type job struct {
	workload string
	size     int
	workers  int
	seconds  float64
}

var j job

func readJob() {
	if len(os.Args) < 4 || len(os.Args) > 5 {
		fmt.Fprintf(os.Stderr, "usage: %s WORKLOAD SIZE WORKERS [SECONDS]\n", os.Args[0])
		os.Exit(2)
	}
	size, errSize := strconv.Atoi(os.Args[2])
	workers, errWorkers := strconv.Atoi(os.Args[3])
	seconds, errSeconds := 0.3, error(nil)
	if len(os.Args) == 5 {
		seconds, errSeconds = strconv.ParseFloat(os.Args[4], 64)
	}
	if errSize != nil || errWorkers != nil || errSeconds != nil || size < 0 || workers < 1 {
		fmt.Fprintln(os.Stderr, "SIZE, WORKERS and SECONDS are numbers")
		os.Exit(2)
	}
	j = job{os.Args[1], size, workers, seconds}
}

func wrong(what string) {
	fmt.Fprintf(os.Stderr, "%s %d, %d workers: %s\n", j.workload, j.size, j.workers, what)
	os.Exit(1)
}

type values map[string]float64

func printValues(v values) {
	all := map[string]any{"workload": j.workload, "size": j.size, "workers": j.workers}
	for name, value := range v {
		all[name] = value
	}
	text, err := json.Marshal(all)
	if err != nil {
		wrong(err.Error())
	}
	fmt.Println(string(text))
}

// now is CLOCK_MONOTONIC, in nanoseconds since the program began.
var began = time.Now()

func now() int64 {
	return int64(time.Since(began))
}

// cpuNow is the process's CPU time in nanoseconds.
func cpuNow() int64 {
	const clockProcessCPUTime = 2
	var t syscall.Timespec
	_, _, err := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPUTime, uintptr(unsafe.Pointer(&t)), 0)
	if err != 0 {
		wrong(err.Error())
	}
	return t.Nano()
}

type memory struct {
	rss, rssPeak, pageTables int64
}

func readMemory() memory {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		wrong(err.Error())
	}
	find := func(label string) int64 {
		_, rest, _ := strings.Cut(string(text), label)
		kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			wrong(err.Error())
		}
		return kib * 1024
	}
	return memory{find("VmRSS:"), find("VmHWM:"), find("VmPTE:")}
}

func bytesBetween(before, after memory) float64 {
	return float64(after.rssPeak - before.rss + after.pageTables - before.pageTables)
}

// What a pass does between beginSetup and endSetup is not counted.
var setupNs, setupCPU int64

func beginSetup() {
	setupCPU -= cpuNow()
	setupNs -= now()
}

func endSetup() {
	setupNs += now()
	setupCPU += cpuNow()
}

func measure(operations float64, pass func() bool) {
	before := readMemory()
	begin := now()
	if !pass() {
		wrong("wrong result")
	}
	first := now() - begin - setupNs
	bytes := bytesBetween(before, readMemory())

	var times []int64
	var total int64
	setupCPU = 0
	end, cpu := now()+int64(j.seconds*1e9), cpuNow()
	for {
		setupNs = 0
		begin = now()
		right := pass()
		taken := now() - begin - setupNs
		times = append(times, taken)
		total += taken
		if !right {
			wrong("wrong result")
		}
		if now() >= end {
			break
		}
	}
	cpu = cpuNow() - cpu - setupCPU
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	passes := len(times)
	printValues(values{
		"ns":        float64(total) / float64(passes) / operations,
		"cpu_ns":    float64(cpu) / float64(passes) / operations,
		"median_ns": float64(times[passes/2]+times[(passes-1)/2]) / 2 / operations,
		"min_ns":    float64(times[0]) / operations,
		"first_ns":  float64(first) / operations,
		"bytes":     bytes / operations,
		"passes":    float64(passes),
	})
}

func printLatencies(samples []int64) {
	sort.Slice(samples, func(a, b int) bool { return samples[a] < samples[b] })
	n := len(samples)
	printValues(values{
		"p50_ns": float64(samples[n/2]), "p99_ns": float64(samples[n*99/100]), "max_ns": float64(samples[n-1]),
	})
}

func timerDuration(i int) time.Duration {
	return time.Duration(10_000_000_000 + uint64(i)*2654435761%100_000_000_000)
}

const wakeupPause = 500 * time.Microsecond

func fibValue(n int) int {
	a, b := 0, 1
	for ; n > 0; n-- {
		a, b = b, a+b
	}
	return a
}

func fibCalls(n int) float64 {
	return 2*float64(fibValue(n+1)) - 1
}

func skynetNodes(leaves int) float64 {
	return float64((leaves*10 - 1) / 9)
}

// countQueens returns valid placements, the empty board included, and solutions.
func countQueens(free, left, right, all uint) (nodes, solutions int) {
	if free == 0 {
		return 1, 1
	}
	nodes = 1
	for open := free &^ (left | right); open != 0; open &= open - 1 {
		queen := open & -open
		n, s := countQueens(free&^queen, (left|queen)<<1&all, (right|queen)>>1, all)
		nodes, solutions = nodes+n, solutions+s
	}
	return nodes, solutions
}
