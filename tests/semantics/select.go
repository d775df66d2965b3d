// SPDX-License-Identifier: Apache-2.0
package main

import (
	"fmt"
	"time"
)

// show
func produce(numbers chan<- int, quit chan<- bool) {
	for i := 1; i <= 3; i++ {
		numbers <- i
	}
	close(quit)
}

// end

func main() {
	// show
	numbers := make(chan int)
	quit := make(chan bool)
	go produce(numbers, quit)
	for {
		select {
		case n := <-numbers:
			fmt.Println("got", n)
			continue
		case <-quit:
			fmt.Println("quit")
		case <-time.After(time.Minute):
			fmt.Println("too late")
		}
		break
	}
	// end
}
