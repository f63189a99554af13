package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/kubelet/pkg/cri/streaming"
)

const (
	runtimeName    = "lateen-test"
	runtimeVersion = "1"
	runtimeSocket  = "/run/cri.sock"
	streamAddress  = "127.0.0.1:10300"
)

// runtimeService is the container runtime of one node, as its kubelet asks for it: pods are network namespaces, containers are
// processes. It keeps nothing: with it the node ends.
type runtimeService struct {
	cri.UnimplementedRuntimeServiceServer
	config     nodeConfig
	streams    streaming.Server
	mutex      sync.Mutex
	pool       *addressPool
	sandboxes  map[string]*sandbox
	containers map[string]*container
}

func serveRuntime(config nodeConfig) error {
	pool, err := newAddressPool(config.PodRanges)
	if err != nil {
		return err
	}
	service := &runtimeService{
		config: config, pool: pool, sandboxes: map[string]*sandbox{}, containers: map[string]*container{},
	}
	settings := streaming.DefaultConfig
	settings.Addr = streamAddress
	service.streams, err = streaming.NewServer(settings, &streamRuntime{service})
	if err != nil {
		return err
	}
	go func() { fail("machine node: streams: %v", service.streams.Start(true)) }()
	listener, err := net.Listen("unix", runtimeSocket)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16 << 20))
	cri.RegisterRuntimeServiceServer(server, service)
	cri.RegisterImageServiceServer(server, &imageService{config: config})
	return server.Serve(listener)
}

func newId() string {
	bytes := make([]byte, 16)
	_, _ = rand.Read(bytes)
	return hex.EncodeToString(bytes)
}

func (service *runtimeService) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{
		Version: "0.1.0", RuntimeName: runtimeName, RuntimeVersion: runtimeVersion, RuntimeApiVersion: "v1",
	}, nil
}

func (service *runtimeService) Status(context.Context, *cri.StatusRequest) (*cri.StatusResponse, error) {
	ready := []*cri.RuntimeCondition{{Type: cri.RuntimeReady, Status: true}, {Type: cri.NetworkReady, Status: true}}
	return &cri.StatusResponse{
		Status:          &cri.RuntimeStatus{Conditions: ready},
		RuntimeHandlers: []*cri.RuntimeHandler{{Name: ""}},
	}, nil
}

func (service *runtimeService) RuntimeConfig(context.Context, *cri.RuntimeConfigRequest) (*cri.RuntimeConfigResponse, error) {
	return &cri.RuntimeConfigResponse{
		Linux: &cri.LinuxRuntimeConfiguration{CgroupDriver: cri.CgroupDriver_CGROUPFS},
	}, nil
}

// The harness told the ranges of pods already.
func (service *runtimeService) UpdateRuntimeConfig(context.Context, *cri.UpdateRuntimeConfigRequest) (*cri.UpdateRuntimeConfigResponse, error) {
	return &cri.UpdateRuntimeConfigResponse{}, nil
}

func (service *runtimeService) container(id string) (*container, error) {
	service.mutex.Lock()
	defer service.mutex.Unlock()
	if found := service.containers[id]; found != nil {
		return found, nil
	}
	return nil, status.Errorf(codes.NotFound, "no container %q", id)
}

func (service *runtimeService) sandbox(id string) (*sandbox, error) {
	service.mutex.Lock()
	defer service.mutex.Unlock()
	if found := service.sandboxes[id]; found != nil {
		return found, nil
	}
	return nil, status.Errorf(codes.NotFound, "no pod sandbox %q", id)
}

func hasLabels(labels map[string]string, wanted map[string]string) bool {
	for name, value := range wanted {
		if labels[name] != value {
			return false
		}
	}
	return true
}

type imageService struct {
	cri.UnimplementedImageServiceServer
	config nodeConfig
}

func (service *imageService) ImageStatus(_ context.Context, request *cri.ImageStatusRequest) (*cri.ImageStatusResponse, error) {
	found, err := findImage(service.config.Images, request.GetImage().GetImage())
	if err != nil || found == nil {
		return &cri.ImageStatusResponse{}, err
	}
	return &cri.ImageStatusResponse{Image: &cri.Image{
		Id: found.Name, RepoTags: []string{found.Name}, Size: 1, Uid: &cri.Int64Value{Value: found.User}, Spec: request.GetImage(),
	}}, nil
}

func (service *imageService) PullImage(_ context.Context, request *cri.PullImageRequest) (*cri.PullImageResponse, error) {
	found, err := findImage(service.config.Images, request.GetImage().GetImage())
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, status.Errorf(codes.NotFound, "the test cluster has no image %q: name it in `images` of startCluster", request.GetImage().GetImage())
	}
	return &cri.PullImageResponse{ImageRef: found.Name}, nil
}

func (service *imageService) ListImages(context.Context, *cri.ListImagesRequest) (*cri.ListImagesResponse, error) {
	return &cri.ListImagesResponse{}, nil
}

func (service *imageService) RemoveImage(context.Context, *cri.RemoveImageRequest) (*cri.RemoveImageResponse, error) {
	return &cri.RemoveImageResponse{}, nil
}

func (service *imageService) ImageFsInfo(context.Context, *cri.ImageFsInfoRequest) (*cri.ImageFsInfoResponse, error) {
	usage := []*cri.FilesystemUsage{{
		Timestamp: time.Now().UnixNano(), FsId: &cri.FilesystemIdentifier{Mountpoint: service.config.Directory},
		UsedBytes: &cri.UInt64Value{}, InodesUsed: &cri.UInt64Value{},
	}}
	return &cri.ImageFsInfoResponse{ImageFilesystems: usage, ContainerFilesystems: usage}, nil
}

// containerDirectory is where a container's root is laid.
func (service *runtimeService) containerDirectory(id string) string {
	return filepath.Join(service.config.Directory, "containers", id)
}

func writeFile(path string, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
