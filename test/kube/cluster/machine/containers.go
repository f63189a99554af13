package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type container struct {
	id               string
	config           *cri.ContainerConfig
	pod              *sandbox
	spec             containerSpec
	hasHostProcesses bool
	created          time.Time

	mutex    sync.Mutex
	started  time.Time
	finished time.Time
	code     int
	pid      int
	log      *containerLog
	input    io.WriteCloser
	ended    chan struct{}
}

func (service *runtimeService) CreateContainer(_ context.Context, request *cri.CreateContainerRequest) (*cri.CreateContainerResponse, error) {
	pod, err := service.sandbox(request.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	config := request.GetConfig()
	used, err := findImage(service.config.Images, config.GetImage().GetImage())
	if err != nil {
		return nil, err
	}
	if used == nil {
		return nil, status.Errorf(codes.NotFound, "no image %q", config.GetImage().GetImage())
	}
	made := &container{id: newId(), config: config, pod: pod, created: time.Now(), ended: make(chan struct{})}
	made.spec, err = service.containerSpec(made.id, pod, config, used)
	if err != nil {
		return nil, err
	}
	namespaces := config.GetLinux().GetSecurityContext().GetNamespaceOptions()
	made.hasHostProcesses = namespaces.GetPid() == cri.NamespaceMode_NODE
	service.mutex.Lock()
	defer service.mutex.Unlock()
	service.containers[made.id] = made
	return &cri.CreateContainerResponse{ContainerId: made.id}, nil
}

func (service *runtimeService) StartContainer(_ context.Context, request *cri.StartContainerRequest) (*cri.StartContainerResponse, error) {
	made, err := service.container(request.GetContainerId())
	if err != nil {
		return nil, err
	}
	path := filepath.Join(made.pod.config.GetLogDirectory(), made.config.GetLogPath())
	if made.log, err = newContainerLog(path); err != nil {
		return nil, err
	}
	outcome := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread's end would end the container, and it is in the pod's network
		if made.pod.namespace != "" {
			if err := enterNetwork(made.pod.namespace); err != nil {
				outcome <- err
				return
			}
		}
		made.run(outcome)
	}()
	if err := <-outcome; err != nil {
		return nil, status.Errorf(codes.Unknown, "start container: %v", err)
	}
	return &cri.StartContainerResponse{}, nil
}

func enterNetwork(path string) error {
	namespace, err := os.Open(path)
	if err != nil {
		return err
	}
	defer namespace.Close()
	return unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
}

// run starts the container's first process, says how that went, and stays until it ends.
func (made *container) run(outcome chan<- error) {
	process := exec.Command("/proc/self/exe", "container")
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC)
	if !made.hasHostProcesses {
		flags |= unix.CLONE_NEWPID
	}
	process.SysProcAttr = &unix.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL}
	terminal, err := made.connectStreams(process)
	if err != nil {
		outcome <- err
		return
	}
	report, err := startWithSpec(process, made.spec)
	if err != nil {
		outcome <- err
		return
	}
	for _, each := range []any{process.Stdin, process.Stdout, process.Stderr} {
		if file, is := each.(*os.File); is && file != nil {
			_ = file.Close()
		}
	}
	failure, _ := io.ReadAll(report)
	_ = report.Close()
	made.mutex.Lock()
	made.started, made.pid = time.Now(), process.Process.Pid
	made.mutex.Unlock()
	if len(failure) > 0 {
		outcome <- errors.New(string(failure))
	} else {
		outcome <- nil
	}
	_ = process.Wait()
	if terminal != nil {
		_ = terminal.Close()
	}
	made.log.close()
	made.mutex.Lock()
	made.finished, made.code = time.Now(), exitCode(process.ProcessState)
	made.mutex.Unlock()
	close(made.ended)
}

// connectStreams gives the process its standard streams; what it writes goes to the log.
func (made *container) connectStreams(process *exec.Cmd) (*os.File, error) {
	if made.config.GetTty() {
		controller, terminal, err := openTerminal()
		if err != nil {
			return nil, err
		}
		process.Stdin, process.Stdout, process.Stderr = terminal, terminal, terminal
		made.input = controller
		made.log.follow("stdout", controller)
		return controller, nil
	}
	for stream, target := range map[string]*io.Writer{"stdout": &process.Stdout, "stderr": &process.Stderr} {
		reader, writer, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		*target = writer
		made.log.follow(stream, reader)
	}
	if made.config.GetStdin() {
		reader, writer, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		process.Stdin, made.input = reader, writer
	}
	return nil, nil
}

// startWithSpec starts this program again with a specification on a descriptor. What it returns ends when the other program
// runs, and says before that why it does not.
func startWithSpec(process *exec.Cmd, spec any) (*os.File, error) {
	specReader, specWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	report, reportWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	process.ExtraFiles = []*os.File{specReader, reportWriter}
	if err := process.Start(); err != nil {
		return nil, err
	}
	_ = specReader.Close()
	_ = reportWriter.Close()
	err = json.NewEncoder(specWriter).Encode(spec)
	_ = specWriter.Close()
	return report, err
}

func (made *container) isRunning() bool {
	made.mutex.Lock()
	defer made.mutex.Unlock()
	return made.pid != 0 && made.finished.IsZero()
}

// stop asks the container to end, and ends it after the time of grace.
func (made *container) stop(grace time.Duration) {
	if !made.isRunning() {
		return
	}
	if grace > 0 {
		_ = unix.Kill(made.pid, made.stopSignal())
	}
	select {
	case <-made.ended:
	case <-time.After(grace):
		_ = unix.Kill(made.pid, unix.SIGKILL)
		<-made.ended
	}
}

func (made *container) stopSignal() unix.Signal {
	if asked := made.config.GetStopSignal(); asked != cri.Signal_RUNTIME_DEFAULT {
		return unix.SignalNum(asked.String())
	}
	return unix.SIGTERM
}

func (service *runtimeService) StopContainer(_ context.Context, request *cri.StopContainerRequest) (*cri.StopContainerResponse, error) {
	made, err := service.container(request.GetContainerId())
	if err == nil {
		made.stop(time.Duration(request.GetTimeout()) * time.Second)
	}
	return &cri.StopContainerResponse{}, nil
}

func (service *runtimeService) RemoveContainer(_ context.Context, request *cri.RemoveContainerRequest) (*cri.RemoveContainerResponse, error) {
	if made, err := service.container(request.GetContainerId()); err == nil {
		service.remove(made)
	}
	return &cri.RemoveContainerResponse{}, nil
}

func (service *runtimeService) remove(made *container) {
	made.stop(0)
	// Its mounts went with its namespace.
	if err := os.RemoveAll(service.containerDirectory(made.id)); err != nil {
		fmt.Println("remove container:", err)
	}
	service.mutex.Lock()
	defer service.mutex.Unlock()
	delete(service.containers, made.id)
}

func (service *runtimeService) ReopenContainerLog(_ context.Context, request *cri.ReopenContainerLogRequest) (*cri.ReopenContainerLogResponse, error) {
	made, err := service.container(request.GetContainerId())
	if err != nil {
		return nil, err
	}
	return &cri.ReopenContainerLogResponse{}, made.log.reopen()
}

// Nothing limits a container here.
func (service *runtimeService) UpdateContainerResources(context.Context, *cri.UpdateContainerResourcesRequest) (*cri.UpdateContainerResourcesResponse, error) {
	return &cri.UpdateContainerResourcesResponse{}, nil
}
