package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// What containerd lets a container keep where its pod says nothing.
var defaultCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE",
	"SYS_CHROOT", "KILL", "AUDIT_WRITE",
}

var capabilityNumbers = map[string]uint{
	"CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH,
	"FOWNER": unix.CAP_FOWNER, "FSETID": unix.CAP_FSETID, "KILL": unix.CAP_KILL, "SETGID": unix.CAP_SETGID,
	"SETUID": unix.CAP_SETUID, "SETPCAP": unix.CAP_SETPCAP, "NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
	"NET_ADMIN": unix.CAP_NET_ADMIN, "NET_RAW": unix.CAP_NET_RAW, "IPC_LOCK": unix.CAP_IPC_LOCK, "SYS_CHROOT": unix.CAP_SYS_CHROOT,
	"SYS_PTRACE": unix.CAP_SYS_PTRACE, "SYS_ADMIN": unix.CAP_SYS_ADMIN, "SYS_NICE": unix.CAP_SYS_NICE,
	"SYS_RESOURCE": unix.CAP_SYS_RESOURCE, "SYS_TIME": unix.CAP_SYS_TIME, "MKNOD": unix.CAP_MKNOD,
	"AUDIT_WRITE": unix.CAP_AUDIT_WRITE, "SETFCAP": unix.CAP_SETFCAP, "SYSLOG": unix.CAP_SYSLOG, "BPF": unix.CAP_BPF,
	"PERFMON": unix.CAP_PERFMON, "CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
}

func (service *runtimeService) containerSpec(id string, pod *sandbox, config *cri.ContainerConfig, used *image) (containerSpec, error) {
	security := config.GetLinux().GetSecurityContext()
	namespaces := security.GetNamespaceOptions()
	if mode := namespaces.GetPid(); mode == cri.NamespaceMode_POD || mode == cri.NamespaceMode_TARGET {
		return containerSpec{}, status.Error(codes.Unimplemented, "the test cluster has no shareProcessNamespace, and no debugging of a container by another")
	}
	process, err := processOf(config, used)
	if err != nil {
		return containerSpec{}, err
	}
	hostName := pod.config.GetHostname()
	if hostName == "" {
		hostName = service.config.Name // a pod in its node's network
	}
	process.Environment = append(process.Environment, "HOSTNAME="+hostName)
	mounts := []containerMount{{Source: service.resolverFile(pod.id), Target: "/etc/resolv.conf"}}
	for _, mount := range config.GetMounts() {
		mounts = append(mounts, containerMount{Source: mount.GetHostPath(), Target: mount.GetContainerPath(), ReadOnly: mount.GetReadonly()})
	}
	lower := used.Root
	if lower == "" {
		lower = "/"
	}
	return containerSpec{
		Process: process, HostName: hostName, Directory: service.containerDirectory(id), Lower: filepath.Join(machineRoot, lower),
		Binds: used.Binds, Mounts: mounts, Masked: security.GetMaskedPaths(), ReadOnly: security.GetReadonlyPaths(),
		ReadOnlyRoot: security.GetReadonlyRootfs(), Privileged: security.GetPrivileged(),
	}, nil
}

func processOf(config *cri.ContainerConfig, used *image) (processSpec, error) {
	arguments := append(append([]string{}, config.GetCommand()...), config.GetArgs()...)
	if len(config.GetCommand()) == 0 {
		arguments = append(append([]string{}, used.Entrypoint...), config.GetArgs()...)
		if len(config.GetArgs()) == 0 {
			arguments = append(arguments, used.Command...)
		}
	}
	if len(arguments) == 0 {
		return processSpec{}, status.Errorf(codes.InvalidArgument, "no command specified, and image %s has none", used.Name)
	}
	security := config.GetLinux().GetSecurityContext()
	uid := used.User
	if security.GetRunAsUser() != nil {
		uid = security.GetRunAsUser().GetValue()
	}
	capabilities, err := capabilitiesOf(security)
	if err != nil {
		return processSpec{}, err
	}
	directory := config.GetWorkingDir()
	if directory == "" {
		directory = used.WorkingDirectory
	}
	if directory == "" {
		directory = "/"
	}
	home := "HOME=/"
	if uid == 0 {
		home = "HOME=/root"
	}
	groups := []int{}
	for _, group := range security.GetSupplementalGroups() {
		groups = append(groups, int(group))
	}
	return processSpec{
		Arguments: arguments, Environment: environmentOf(append([]string{defaultPath, home}, used.Environment...), config.GetEnvs()),
		WorkingDirectory: directory, Uid: int(uid), Gid: int(security.GetRunAsGroup().GetValue()), Groups: groups,
		Capabilities: capabilities, NoNewPrivileges: security.GetNoNewPrivs(), Terminal: config.GetTty(),
	}, nil
}

// environmentOf lays the pod's variables over the image's.
func environmentOf(image []string, pod []*cri.KeyValue) []string {
	values := map[string]string{}
	names := []string{}
	set := func(name string, value string) {
		if _, has := values[name]; !has {
			names = append(names, name)
		}
		values[name] = value
	}
	for _, each := range image {
		name, value, _ := strings.Cut(each, "=")
		set(name, value)
	}
	for _, each := range pod {
		set(each.GetKey(), each.GetValue())
	}
	environment := []string{}
	for _, name := range names {
		environment = append(environment, name+"="+values[name])
	}
	return environment
}

func capabilitiesOf(security *cri.LinuxContainerSecurityContext) (uint64, error) {
	all := uint64(1)<<(unix.CAP_LAST_CAP+1) - 1
	if security.GetPrivileged() {
		return all, nil
	}
	var kept uint64
	change := func(names []string, apply func(bits uint64)) error {
		for _, name := range names {
			name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
			if name == "ALL" {
				apply(all)
				continue
			}
			number, isKnown := capabilityNumbers[name]
			if !isKnown {
				return fmt.Errorf("the test cluster knows no capability %q", name)
			}
			apply(1 << number)
		}
		return nil
	}
	add := func(bits uint64) { kept |= bits }
	drop := func(bits uint64) { kept &^= bits }
	if err := change(defaultCapabilities, add); err != nil {
		return 0, err
	}
	added, dropped := security.GetCapabilities().GetAddCapabilities(), security.GetCapabilities().GetDropCapabilities()
	// ALL comes before single ones, whichever list it is in.
	for _, step := range []struct {
		names []string
		apply func(bits uint64)
	}{{onlyAll(added, true), add}, {onlyAll(dropped, true), drop}, {onlyAll(added, false), add}, {onlyAll(dropped, false), drop}} {
		if err := change(step.names, step.apply); err != nil {
			return 0, err
		}
	}
	return kept, nil
}

func onlyAll(names []string, isAll bool) []string {
	found := []string{}
	for _, name := range names {
		if strings.EqualFold(name, "ALL") == isAll {
			found = append(found, name)
		}
	}
	return found
}
