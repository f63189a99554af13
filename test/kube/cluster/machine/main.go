// The machines of the test cluster: the first process of its namespaces, nodes with their container runtime, and the start of
// each container.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: machine init|node|container|exec …")
	}
	command, arguments := os.Args[1], os.Args[2:]
	switch command {
	case "init":
		runInit(arguments)
	default:
		fail("machine: no command %q", command)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
