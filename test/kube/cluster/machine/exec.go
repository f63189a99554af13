package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// What is to run beside the first process of a container.
type execSpec struct {
	Process processSpec
	// The container's first process.
	Pid int
}

// Ended before the program ran, as shells and container runtimes say it.
const notStarted = 126

// runExec runs a program in the namespaces of a container, and ends as it does.
func runExec() {
	runtime.LockOSThread()
	var spec execSpec
	if err := json.NewDecoder(os.NewFile(specDescriptor, "spec")).Decode(&spec); err != nil {
		fail("machine exec: %v", err)
	}
	unix.CloseOnExec(specDescriptor)
	code, err := execIn(spec)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = notStarted
	}
	os.Exit(code)
}

func execIn(spec execSpec) (int, error) {
	// One file descriptor stands for all namespaces of the process.
	descriptor, err := unix.PidfdOpen(spec.Pid, 0)
	if err != nil {
		return 0, fmt.Errorf("container's process %d: %w", spec.Pid, err)
	}
	// A thread that shares its root with others may not enter another mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return 0, err
	}
	namespaces := unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
	if err := unix.Setns(descriptor, namespaces); err != nil {
		return 0, fmt.Errorf("enter container: %w", err)
	}
	if err := unix.Chdir(spec.Process.WorkingDirectory); err != nil {
		return 0, fmt.Errorf("working directory %s: %w", spec.Process.WorkingDirectory, err)
	}
	path, err := findProgram(spec.Process)
	if err != nil {
		return 0, err
	}
	if err := becomeUser(spec.Process); err != nil {
		return 0, err
	}
	command := exec.Cmd{
		Path: path, Args: spec.Process.Arguments, Env: spec.Process.Environment,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		SysProcAttr: &unix.SysProcAttr{Setsid: spec.Process.Terminal, Setctty: spec.Process.Terminal},
	}
	if err := command.Start(); err != nil {
		return 0, err
	}
	// The program's parent is not in its process namespace, so that the kernel cannot end it with this process.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGTERM)
	go func() {
		<-ended
		_ = command.Process.Kill()
	}()
	err = command.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exitCode(exit.ProcessState), nil
	}
	return 0, err
}

func exitCode(state *os.ProcessState) int {
	status := state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
