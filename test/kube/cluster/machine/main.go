// The machines of the test cluster: the first process of its namespaces, nodes with their container runtime, and the start of
// each container.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: machine init|node|container|exec ARGUMENTS")
	}
	command, arguments := os.Args[1], os.Args[2:]
	switch command {
	case "init":
		runInit(arguments)
	case "node":
		runNode(arguments)
	// The rest is what this program starts of itself.
	case "node-inside":
		runNodeInside(arguments)
	case "container":
		runContainer()
	case "exec":
		runExec()
	default:
		fail("machine: no command %q", command)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
