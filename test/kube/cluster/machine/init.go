package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Descriptor 3 is a pipe whose other end whoever started this holds: when it closes, everything in these namespaces ends.
const lifeline = 3

// runInit is process 1 of the namespaces of a cluster: it starts one program, takes in the processes whose parents went away,
// and ends as the program does; with it the kernel ends all that still runs.
func runInit(arguments []string) {
	if os.Getpid() != 1 {
		fail("machine init must be process 1 of namespaces that `npm run test:kube` makes")
	}
	if len(arguments) < 2 {
		fail("usage: machine init STATE-DIRECTORY PROGRAM ARGUMENTS")
	}
	if err := unix.Mount("tmpfs", arguments[0], "tmpfs", 0, "mode=755"); err != nil {
		fail("machine init: no memory file system on %s: %v", arguments[0], err)
	}
	pipe := os.NewFile(lifeline, "lifeline")
	unix.CloseOnExec(lifeline)
	go func() {
		_, _ = pipe.Read(make([]byte, 1))
		os.Exit(1)
	}()
	command := exec.Command(arguments[1], arguments[2:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	if err := command.Start(); err != nil {
		fail("machine init: %v", err)
	}
	go func() {
		for sent := range signals {
			_ = command.Process.Signal(sent)
		}
	}()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			fail("machine init: %v", err)
		}
		if pid != command.Process.Pid {
			continue
		}
		if status.Signaled() {
			os.Exit(128 + int(status.Signal()))
		}
		os.Exit(status.ExitStatus())
	}
}
