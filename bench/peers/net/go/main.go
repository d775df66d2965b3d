// SPDX-License-Identifier: Apache-2.0

// Servers in Go, with its standard library as it comes.
//
//	go echo ADDRESS:PORT [--workers N] [--burn ROUNDS]      a goroutine for each connection
//	go files ADDRESS:PORT DIR [--workers N]                 net/http's file server
//	go memory ADDRESS:PORT FILE [--workers N]               net/http with a handler that has the file in memory
//
// Go sets TCP_NODELAY and takes the system's backlog by itself. Workers are GOMAXPROCS: threads that run Go code at the
// same time. The garbage collector is left as it is by default; the echo server gives it nothing to do.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
)

// As burn() in support.c.
func burn(rounds uint64) uint64 {
	x := rounds + 1
	for i := uint64(0); i < rounds; i++ {
		x = (x ^ x>>29) * 6364136223846793005
	}
	return x
}

func echo(connection net.Conn, unit uint64) {
	defer connection.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if unit > 0 && burn(unit*uint64(buffer[0])) == 0 {
			log.Print("never") // but the result is wanted, so the compiler keeps the loop
		}
		if _, err = connection.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func serveEcho(listener net.Listener, unit uint64) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(connection, unit)
	}
}

func memory(path string) (http.Handler, error) {
	body, err := os.ReadFile(path)
	length := strconv.Itoa(len(body))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", length)
		w.Write(body)
	}), err
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go echo|files|memory ADDRESS:PORT [DIR|FILE] [--workers N] [--burn ROUNDS]")
	os.Exit(2)
}

func main() {
	workers, unit := 1, 0
	var words []string
	for i := 1; i < len(os.Args); i++ {
		var err error
		switch {
		case os.Args[i] == "--workers" && i+1 < len(os.Args):
			i++
			workers, err = strconv.Atoi(os.Args[i])
		case os.Args[i] == "--burn" && i+1 < len(os.Args):
			i++
			unit, err = strconv.Atoi(os.Args[i])
		default:
			words = append(words, os.Args[i])
		}
		if err != nil {
			usage()
		}
	}
	if len(words) < 2 || (words[0] != "echo") != (len(words) == 3) {
		usage()
	}
	runtime.GOMAXPROCS(workers)
	listener, err := net.Listen("tcp4", words[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	switch words[0] {
	case "echo":
		err = serveEcho(listener, uint64(unit))
	case "files":
		err = http.Serve(listener, http.FileServer(http.Dir(words[2])))
	case "memory":
		var handler http.Handler
		if handler, err = memory(words[2]); err == nil {
			err = http.Serve(listener, handler)
		}
	default:
		usage()
	}
	log.Fatal(err)
}
