// The franz-go client of the matrix; `franz-go load` is a load generator.
package main

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 4 && args[0] == "load" {
		producers, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return load(args[1], args[2], producers)
	}
	return fmt.Errorf("usage: franz-go load BROKERS TOPIC PRODUCERS")
}
