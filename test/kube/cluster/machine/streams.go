package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/tools/remotecommand"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	utilexec "k8s.io/utils/exec"
)

func (service *runtimeService) GetContainerEvents(*cri.GetEventsRequest, cri.RuntimeService_GetContainerEventsServer) error {
	return status.Error(codes.Unimplemented, "kubelets look at the containers")
}

func (service *runtimeService) ExecSync(ctx context.Context, request *cri.ExecSyncRequest) (*cri.ExecSyncResponse, error) {
	if request.GetTimeout() > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(request.GetTimeout())*time.Second)
		defer cancel()
		ctx = limited
	}
	process, err := service.execProcess(ctx, request.GetContainerId(), request.GetCmd(), false)
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	process.Stdout, process.Stderr = &stdout, &stderr
	err = runExecProcess(process)
	if ctx.Err() != nil {
		return nil, status.Errorf(codes.DeadlineExceeded, "exec took longer than %d s", request.GetTimeout())
	}
	if err != nil && process.ProcessState == nil {
		return nil, err
	}
	return &cri.ExecSyncResponse{
		Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: int32(exitCode(process.ProcessState)),
	}, nil
}

type preparedExec struct {
	*exec.Cmd
	spec execSpec
}

func (service *runtimeService) execProcess(ctx context.Context, id string, command []string, terminal bool) (*preparedExec, error) {
	made, err := service.container(id)
	if err != nil {
		return nil, err
	}
	if !made.isRunning() {
		return nil, status.Errorf(codes.FailedPrecondition, "container %s does not run", id)
	}
	spec := execSpec{Process: made.spec.Process, Pid: made.pid}
	spec.Process.Arguments, spec.Process.Terminal = command, terminal
	process := exec.CommandContext(ctx, "/proc/self/exe", "exec")
	process.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	process.Cancel = func() error { return process.Process.Signal(unix.SIGTERM) }
	process.WaitDelay = time.Second
	return &preparedExec{process, spec}, nil
}

func runExecProcess(process *preparedExec) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	report, err := startWithSpec(process.Cmd, process.spec)
	if err != nil {
		return err
	}
	_ = report.Close()
	return process.Wait()
}

func (service *runtimeService) Exec(_ context.Context, request *cri.ExecRequest) (*cri.ExecResponse, error) {
	return service.streams.GetExec(request)
}

func (service *runtimeService) Attach(_ context.Context, request *cri.AttachRequest) (*cri.AttachResponse, error) {
	return service.streams.GetAttach(request)
}

func (service *runtimeService) PortForward(_ context.Context, request *cri.PortForwardRequest) (*cri.PortForwardResponse, error) {
	return service.streams.GetPortForward(request)
}

// streamRuntime is what the server of streams asks; its methods bear the names of the requests.
type streamRuntime struct{ service *runtimeService }

func (streams *streamRuntime) Exec(
	ctx context.Context, id string, command []string, in io.Reader, out, errors io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize,
) error {
	process, err := streams.service.execProcess(ctx, id, command, tty)
	if err != nil {
		return err
	}
	if tty {
		controller, terminal, err := openTerminal()
		if err != nil {
			return err
		}
		defer controller.Close()
		process.Stdin, process.Stdout, process.Stderr = terminal, terminal, terminal
		go followSize(controller, resize)
		go func() { _, _ = io.Copy(controller, in) }()
		copied := make(chan struct{})
		go func() {
			defer close(copied)
			_, _ = io.Copy(out, controller)
		}()
		err = runExecProcess(process)
		_ = terminal.Close()
		<-copied
		return exitError(err)
	}
	if in != nil {
		// By a pipe of its own: the end of the program must not wait for the end of the input.
		input, err := process.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(input, in)
			_ = input.Close()
		}()
	}
	if out != nil {
		process.Stdout = out
	}
	if errors != nil {
		process.Stderr = errors
	}
	return exitError(runExecProcess(process))
}

func exitError(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return utilexec.CodeExitError{Err: err, Code: exitCode(exit.ProcessState)}
	}
	return err
}

func (streams *streamRuntime) Attach(
	ctx context.Context, id string, in io.Reader, out, errors io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize,
) error {
	made, err := streams.service.container(id)
	if err != nil {
		return err
	}
	for stream, writer := range map[string]io.Writer{"stdout": out, "stderr": errors} {
		if writer != nil {
			made.log.attach(stream, writer)
			defer made.log.detach(writer)
		}
	}
	if controller, is := made.input.(*os.File); is && tty {
		go followSize(controller, resize)
	}
	if in != nil && made.input != nil {
		go func() {
			_, _ = io.Copy(made.input, in)
			if made.config.GetStdinOnce() && !tty {
				_ = made.input.Close()
			}
		}()
	}
	select {
	case <-made.ended:
	case <-ctx.Done():
	}
	return nil
}

func (streams *streamRuntime) PortForward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	pod, err := streams.service.sandbox(id)
	if err != nil {
		return err
	}
	var connection net.Conn
	dial := func() error {
		// Not localhost: names are looked up, and tried in turn, on threads of other namespaces.
		for _, address := range []string{"127.0.0.1", "::1"} {
			connection, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(int(port))))
			if err == nil {
				return nil
			}
		}
		return err
	}
	if pod.namespace == "" {
		err = dial()
	} else {
		err = inNamespace(pod.namespace, dial)
	}
	if err != nil {
		return fmt.Errorf("port %d of the pod: %w", port, err)
	}
	defer connection.Close()
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	_ = stream.Close()
	return err
}

func openTerminal() (controller *os.File, terminal *os.File, err error) {
	controller, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(controller.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(int(controller.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	return controller, terminal, err
}

func followSize(controller *os.File, sizes <-chan remotecommand.TerminalSize) {
	for size := range sizes {
		_ = unix.IoctlSetWinsize(int(controller.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
	}
}
