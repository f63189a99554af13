package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// As whom, where and how a program runs in a container.
type processSpec struct {
	Arguments        []string
	Environment      []string
	WorkingDirectory string
	Uid, Gid         int
	Groups           []int
	// One bit each, by the kernel's numbers.
	Capabilities    uint64
	NoNewPrivileges bool
	Terminal        bool
}

// What a container is made of, for its first process.
type containerSpec struct {
	Process   processSpec
	HostName  string
	Directory string
	Lower     string
	Binds     []bind
	Mounts    []containerMount
	// Paths of /proc and /sys that a container may not see, or not write.
	Masked       []string
	ReadOnly     []string
	ReadOnlyRoot bool
	Privileged   bool
}

type containerMount struct {
	Source   string
	Target   string
	ReadOnly bool
}

const (
	specDescriptor   = 3
	reportDescriptor = 4
)

// What images of others do not have in these folders of this machine, a container does not see.
var hiddenFromContainers = []string{"run", "tmp", "var/tmp", "root", "home", "mnt", "media", "opt", "var/log", "var/lib/kubelet"}

// runContainer is the first process of a container: it makes the container's root, gives away what it may do, and becomes the
// program. What goes wrong before goes back to the runtime.
func runContainer() {
	runtime.LockOSThread()
	unix.CloseOnExec(reportDescriptor)
	report := os.NewFile(reportDescriptor, "report")
	var spec containerSpec
	err := json.NewDecoder(os.NewFile(specDescriptor, "spec")).Decode(&spec)
	unix.CloseOnExec(specDescriptor)
	if err == nil {
		err = enterContainer(spec)
	}
	if err == nil {
		err = becomeProgram(spec.Process)
	}
	_, _ = report.WriteString(err.Error())
	os.Exit(128)
}

func enterContainer(spec containerSpec) error {
	if err := unix.Sethostname([]byte(spec.HostName)); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	root, err := layRoot(spec.Directory, spec.Lower, hiddenFromContainers)
	if err != nil {
		return err
	}
	for _, each := range spec.Binds {
		if err := bindAt(root, filepath.Join(machineRoot, each.Source), each.Target, true); err != nil {
			return err
		}
	}
	if err := mountKernelFolders(root, spec); err != nil {
		return err
	}
	for _, each := range spec.Mounts {
		// As containers' runtimes do for a folder of the node that is not there.
		if _, err := os.Stat(each.Source); errors.Is(err, os.ErrNotExist) {
			if err := os.MkdirAll(each.Source, 0o755); err != nil {
				return err
			}
		}
		if err := bindAt(root, each.Source, each.Target, each.ReadOnly); err != nil {
			return err
		}
	}
	if _, err := placeIn(root, spec.Process.WorkingDirectory, true); err != nil {
		return err
	}
	for _, path := range spec.Masked {
		if err := mask(filepath.Join(root, path)); err != nil {
			return err
		}
	}
	if spec.ReadOnlyRoot {
		if err := unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("read-only root: %w", err)
		}
	}
	return enterRoot(root, "")
}

func mountKernelFolders(root string, spec containerSpec) error {
	sysFlags := uintptr(unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV | unix.MS_RDONLY)
	if spec.Privileged {
		sysFlags &^= unix.MS_RDONLY
	}
	for _, each := range []struct {
		kind, target string
		flags        uintptr
		options      string
	}{
		{"proc", "/proc", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
		{"sysfs", "/sys", sysFlags, ""},
		{"tmpfs", "/dev", unix.MS_NOSUID, "mode=755,size=64k"},
		{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"tmpfs", "/dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777,size=64m"},
	} {
		if err := mountAt(root, each.kind, each.target, each.flags, each.options); err != nil {
			return err
		}
	}
	dev := filepath.Join(root, "dev")
	unix.Umask(0)
	defer unix.Umask(0o022)
	for name, number := range map[string][2]uint32{
		"null": {1, 3}, "zero": {1, 5}, "full": {1, 7}, "random": {1, 8}, "urandom": {1, 9}, "tty": {5, 0},
	} {
		device := int(unix.Mkdev(number[0], number[1]))
		if err := unix.Mknod(filepath.Join(dev, name), unix.S_IFCHR|0o666, device); err != nil {
			return fmt.Errorf("/dev/%s: %w", name, err)
		}
	}
	for name, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	for _, path := range spec.ReadOnly {
		full := filepath.Join(root, path)
		if _, err := os.Lstat(full); err != nil {
			continue // this kernel has no such thing
		}
		if err := bindAt(root, full, path, true); err != nil {
			return err
		}
	}
	return nil
}

func mask(path string) error {
	found, err := os.Lstat(path)
	if err != nil {
		return nil // this kernel has no such thing
	}
	if found.IsDir() {
		return unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY, "size=0k")
	}
	return unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
}

// becomeProgram drops privileges and executes; it returns only where that fails. The thread must be locked.
func becomeProgram(spec processSpec) error {
	if err := unix.Chdir(spec.WorkingDirectory); err != nil {
		return fmt.Errorf("working directory %s: %w", spec.WorkingDirectory, err)
	}
	if spec.Terminal {
		if err := takeTerminal(); err != nil {
			return err
		}
	}
	path, err := findProgram(spec)
	if err != nil {
		return err
	}
	if err := becomeUser(spec); err != nil {
		return err
	}
	return fmt.Errorf("exec %s: %w", path, unix.Exec(path, spec.Arguments, spec.Environment))
}

func takeTerminal() error {
	if _, err := unix.Setsid(); err != nil {
		return err
	}
	return unix.IoctlSetInt(0, unix.TIOCSCTTY, 0)
}

func findProgram(spec processSpec) (string, error) {
	for _, variable := range spec.Environment {
		if value, is := strings.CutPrefix(variable, "PATH="); is {
			_ = os.Setenv("PATH", value)
		}
	}
	path, err := exec.LookPath(spec.Arguments[0])
	if err != nil {
		return "", fmt.Errorf("exec: %q: executable file not found in $PATH", spec.Arguments[0])
	}
	return path, nil
}

// becomeUser sets what this thread may do, and with it what it executes or starts.
func becomeUser(spec processSpec) error {
	for number := uintptr(0); number <= unix.CAP_LAST_CAP; number++ {
		if spec.Capabilities&(1<<number) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, number, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("capability %d: %w", number, err)
		}
	}
	if spec.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	if err := setUser(spec); err != nil {
		return fmt.Errorf("user %d:%d: %w", spec.Uid, spec.Gid, err)
	}
	if spec.Uid != 0 {
		return nil // the kernel took all capabilities away
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{}
	for index := range data {
		bits := uint32(spec.Capabilities >> (32 * index))
		data[index] = unix.CapUserData{Effective: bits, Permitted: bits}
	}
	return unix.Capset(&header, &data[0])
}

// setUser changes this thread alone, as the system calls themselves do: the others of a runtime must stay who they are.
func setUser(spec processSpec) error {
	groups := make([]uint32, 0, len(spec.Groups)+1)
	for _, group := range spec.Groups {
		groups = append(groups, uint32(group))
	}
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		return errno
	}
	gid, uid := uintptr(spec.Gid), uintptr(spec.Uid)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return errno
	}
	return nil
}
