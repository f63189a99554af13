package main

import (
	"context"
	"path/filepath"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func (made *container) state() cri.ContainerState {
	made.mutex.Lock()
	defer made.mutex.Unlock()
	switch {
	case !made.finished.IsZero():
		return cri.ContainerState_CONTAINER_EXITED
	case made.pid != 0:
		return cri.ContainerState_CONTAINER_RUNNING
	}
	return cri.ContainerState_CONTAINER_CREATED
}

func (service *runtimeService) ListContainers(_ context.Context, request *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	filter := request.GetFilter()
	service.mutex.Lock()
	defer service.mutex.Unlock()
	answer := &cri.ListContainersResponse{}
	for _, each := range service.containers {
		isWanted := (filter.GetId() == "" || filter.GetId() == each.id) &&
			(filter.GetPodSandboxId() == "" || filter.GetPodSandboxId() == each.pod.id) &&
			(filter.GetState() == nil || filter.GetState().GetState() == each.state()) &&
			hasLabels(each.config.GetLabels(), filter.GetLabelSelector())
		if !isWanted {
			continue
		}
		answer.Containers = append(answer.Containers, &cri.Container{
			Id: each.id, PodSandboxId: each.pod.id, Metadata: each.config.GetMetadata(), Image: each.config.GetImage(),
			ImageRef: each.config.GetImage().GetImage(), ImageId: each.config.GetImage().GetImage(), State: each.state(),
			CreatedAt: each.created.UnixNano(), Labels: each.config.GetLabels(), Annotations: each.config.GetAnnotations(),
		})
	}
	return answer, nil
}

func (service *runtimeService) ContainerStatus(_ context.Context, request *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	made, err := service.container(request.GetContainerId())
	if err != nil {
		return nil, err
	}
	state := made.state()
	made.mutex.Lock()
	defer made.mutex.Unlock()
	told := &cri.ContainerStatus{
		Id: made.id, Metadata: made.config.GetMetadata(), State: state, CreatedAt: made.created.UnixNano(),
		StartedAt: sinceEpoch(made.started), FinishedAt: sinceEpoch(made.finished), ExitCode: int32(made.code),
		Image: made.config.GetImage(), ImageRef: made.config.GetImage().GetImage(), ImageId: made.config.GetImage().GetImage(),
		Labels: made.config.GetLabels(), Annotations: made.config.GetAnnotations(), Mounts: made.config.GetMounts(),
		LogPath: filepath.Join(made.pod.config.GetLogDirectory(), made.config.GetLogPath()),
		User: &cri.ContainerUser{Linux: &cri.LinuxContainerUser{
			Uid: int64(made.spec.Process.Uid), Gid: int64(made.spec.Process.Gid),
		}},
	}
	if state == cri.ContainerState_CONTAINER_EXITED {
		told.Reason = map[bool]string{true: "Completed", false: "Error"}[made.code == 0]
	}
	return &cri.ContainerStatusResponse{Status: told}, nil
}

func sinceEpoch(moment time.Time) int64 {
	if moment.IsZero() {
		return 0
	}
	return moment.UnixNano()
}

// Nobody counts what a container uses; kubelets ask all the same.
func (service *runtimeService) ListContainerStats(context.Context, *cri.ListContainerStatsRequest) (*cri.ListContainerStatsResponse, error) {
	return &cri.ListContainerStatsResponse{}, nil
}

func (service *runtimeService) ListPodSandboxStats(context.Context, *cri.ListPodSandboxStatsRequest) (*cri.ListPodSandboxStatsResponse, error) {
	return &cri.ListPodSandboxStatsResponse{}, nil
}
