package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type sandbox struct {
	id      string
	config  *cri.PodSandboxConfig
	created time.Time
	ready   bool
	// Empty for a pod in its node's network.
	namespace string
	link      string
	number    int
	addresses []net.IP
}

func (service *runtimeService) RunPodSandbox(_ context.Context, request *cri.RunPodSandboxRequest) (*cri.RunPodSandboxResponse, error) {
	config := request.GetConfig()
	if request.GetRuntimeHandler() != "" {
		return nil, status.Errorf(codes.NotFound, "the test cluster has no runtime class %q", request.GetRuntimeHandler())
	}
	pod := &sandbox{id: newId(), config: config, created: time.Now(), ready: true}
	if err := writeFile(service.resolverFile(pod.id), resolverConfig(config.GetDnsConfig())); err != nil {
		return nil, err
	}
	namespaces := config.GetLinux().GetSecurityContext().GetNamespaceOptions()
	if namespaces.GetNetwork() != cri.NamespaceMode_NODE {
		if err := service.connect(pod); err != nil {
			service.disconnect(pod)
			return nil, err
		}
	}
	service.mutex.Lock()
	defer service.mutex.Unlock()
	service.sandboxes[pod.id] = pod
	return &cri.RunPodSandboxResponse{PodSandboxId: pod.id}, nil
}

func (service *runtimeService) connect(pod *sandbox) error {
	for _, mapping := range pod.config.GetPortMappings() {
		if mapping.GetHostPort() > 0 {
			return status.Error(codes.Unimplemented, "the test cluster has no hostPort: use a Service, or hostNetwork")
		}
	}
	service.mutex.Lock()
	number, addresses, err := service.pool.take()
	service.mutex.Unlock()
	if err != nil {
		return err
	}
	pod.number, pod.addresses = number, addresses
	pod.namespace, pod.link = filepath.Join("/run/netns", pod.id), "pod"+pod.id[:10]
	if err := createNamespace(pod.namespace); err != nil {
		return err
	}
	node := []net.IP{}
	for _, text := range service.config.Addresses {
		node = append(node, net.ParseIP(text))
	}
	if err := connectPod(pod.namespace, pod.link, node, addresses); err != nil {
		return err
	}
	err = inNamespace(pod.namespace, func() error {
		// As containerd sets it: low ports are for everybody in a pod.
		settings := map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}
		for name, value := range pod.config.GetLinux().GetSysctls() {
			settings[name] = value
		}
		for name, value := range settings {
			if err := setSysctl(strings.ReplaceAll(name, ".", "/"), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return service.runPlugins("ADD", pod)
}

func (service *runtimeService) disconnect(pod *sandbox) {
	if pod.namespace == "" {
		return
	}
	if err := service.runPlugins("DEL", pod); err != nil {
		fmt.Println(err)
	}
	if link, err := netlink.LinkByName(pod.link); err == nil {
		_ = netlink.LinkDel(link)
	}
	removeNamespace(pod.namespace)
	service.mutex.Lock()
	defer service.mutex.Unlock()
	delete(service.pool.taken, pod.number)
	pod.namespace = ""
}

func (service *runtimeService) StopPodSandbox(ctx context.Context, request *cri.StopPodSandboxRequest) (*cri.StopPodSandboxResponse, error) {
	pod, err := service.sandbox(request.GetPodSandboxId())
	if err != nil {
		return &cri.StopPodSandboxResponse{}, nil // it is gone, which is what was asked for
	}
	for _, each := range service.containersOf(pod.id) {
		each.stop(0)
	}
	service.disconnect(pod)
	service.mutex.Lock()
	defer service.mutex.Unlock()
	pod.ready = false
	return &cri.StopPodSandboxResponse{}, nil
}

func (service *runtimeService) RemovePodSandbox(ctx context.Context, request *cri.RemovePodSandboxRequest) (*cri.RemovePodSandboxResponse, error) {
	id := request.GetPodSandboxId()
	if _, err := service.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		return nil, err
	}
	for _, each := range service.containersOf(id) {
		service.remove(each)
	}
	service.mutex.Lock()
	defer service.mutex.Unlock()
	delete(service.sandboxes, id)
	return &cri.RemovePodSandboxResponse{}, nil
}

func (service *runtimeService) containersOf(pod string) []*container {
	service.mutex.Lock()
	defer service.mutex.Unlock()
	found := []*container{}
	for _, each := range service.containers {
		if each.pod.id == pod {
			found = append(found, each)
		}
	}
	return found
}

func (pod *sandbox) state() cri.PodSandboxState {
	if pod.ready {
		return cri.PodSandboxState_SANDBOX_READY
	}
	return cri.PodSandboxState_SANDBOX_NOTREADY
}

func (service *runtimeService) PodSandboxStatus(_ context.Context, request *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	pod, err := service.sandbox(request.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	network := &cri.PodSandboxNetworkStatus{}
	for index, address := range pod.addresses {
		if index == 0 {
			network.Ip = address.String()
			continue
		}
		network.AdditionalIps = append(network.AdditionalIps, &cri.PodIP{Ip: address.String()})
	}
	return &cri.PodSandboxStatusResponse{Status: &cri.PodSandboxStatus{
		Id: pod.id, Metadata: pod.config.GetMetadata(), State: pod.state(), CreatedAt: pod.created.UnixNano(), Network: network,
		Linux: &cri.LinuxPodSandboxStatus{Namespaces: &cri.Namespace{
			Options: pod.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
		Labels: pod.config.GetLabels(), Annotations: pod.config.GetAnnotations(),
	}}, nil
}

func (service *runtimeService) ListPodSandbox(_ context.Context, request *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	filter := request.GetFilter()
	service.mutex.Lock()
	defer service.mutex.Unlock()
	answer := &cri.ListPodSandboxResponse{}
	for _, pod := range service.sandboxes {
		isWanted := (filter.GetId() == "" || filter.GetId() == pod.id) &&
			(filter.GetState() == nil || filter.GetState().GetState() == pod.state()) &&
			hasLabels(pod.config.GetLabels(), filter.GetLabelSelector())
		if !isWanted {
			continue
		}
		answer.Items = append(answer.Items, &cri.PodSandbox{
			Id: pod.id, Metadata: pod.config.GetMetadata(), State: pod.state(), CreatedAt: pod.created.UnixNano(),
			Labels: pod.config.GetLabels(), Annotations: pod.config.GetAnnotations(),
		})
	}
	return answer, nil
}

func (service *runtimeService) resolverFile(pod string) string {
	return filepath.Join(service.config.Directory, "pods", pod, "resolv.conf")
}

func resolverConfig(config *cri.DNSConfig) string {
	lines := ""
	if len(config.GetSearches()) > 0 {
		lines += "search " + strings.Join(config.GetSearches(), " ") + "\n"
	}
	for _, server := range config.GetServers() {
		lines += "nameserver " + server + "\n"
	}
	if len(config.GetOptions()) > 0 {
		lines += "options " + strings.Join(config.GetOptions(), " ") + "\n"
	}
	return lines
}
