// SPDX-License-Identifier: Apache-2.0
package main

import "fmt"

// show
func squares(out chan<- int) {
	for i := 1; i <= 3; i++ {
		out <- i * i
	}
	close(out)
}

// end

func main() {
	// show
	numbers := make(chan int)
	go squares(numbers)
	for n := range numbers {
		fmt.Println(n)
	}
	// end
}
