package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What the harness tells about a node.
type nodeConfig struct {
	Name string `json:"name"`
	// Of this node alone, on a memory file system.
	Directory string `json:"directory"`
	// Files that all nodes and the harness see at the same path.
	Shared string `json:"shared"`
	// The folder of the built programs.
	Programs string `json:"programs"`
	Images   string `json:"images"`
	// The bridge that joins the nodes; empty for the node that lives in the namespace in which it is started.
	Lan       string   `json:"lan"`
	Addresses []string `json:"addresses"`
	PodRanges []string `json:"podRanges"`
	// Other nodes: by which address their pods are reached.
	Routes   []route             `json:"routes"`
	Services map[string][]string `json:"services"`
}

type route struct {
	To  string `json:"to"`
	Via string `json:"via"`
}

const programsOfNode = "/opt/kube"

// runNode is a machine of its own: processes, host name, mounts and root file system are apart from all else, and, but for the
// first node, so is the network. It ends with the process that started it, and everything on it ends with it.
func runNode(arguments []string) {
	if len(arguments) != 1 {
		fail("usage: machine node CONFIGURATION-FILE")
	}
	config := readNodeConfig(arguments[0])
	runtime.LockOSThread() // the thread's end is what ends the child
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC)
	if config.Lan != "" {
		flags |= unix.CLONE_NEWNET
	}
	goOnReader, goOn, err := os.Pipe()
	if err != nil {
		fail("machine node: %v", err)
	}
	inside := exec.Command("/proc/self/exe", "node-inside", arguments[0])
	inside.Stdout, inside.Stderr = os.Stdout, os.Stderr
	inside.ExtraFiles = []*os.File{goOnReader}
	inside.SysProcAttr = &unix.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL}
	if err := inside.Start(); err != nil {
		fail("machine node: %v", err)
	}
	if config.Lan != "" {
		if err := joinLan(config, inside.Process.Pid); err != nil {
			fail("machine node: %v", err)
		}
	}
	_, _ = goOn.Write([]byte{1})
	fail("machine node: %s ended: %v", config.Name, inside.Wait())
}

func readNodeConfig(path string) nodeConfig {
	content, err := os.ReadFile(path)
	if err != nil {
		fail("machine node: %v", err)
	}
	var config nodeConfig
	if err := json.Unmarshal(content, &config); err != nil {
		fail("machine node: %s: %v", path, err)
	}
	return config
}

func joinLan(config nodeConfig, pid int) error {
	bridge, err := netlink.LinkByName(config.Lan)
	if err != nil {
		return err
	}
	pair := &netlink.Veth{PeerName: "eth0", PeerNamespace: netlink.NsPid(pid)}
	pair.Name, pair.MasterIndex = config.Name, bridge.Attrs().Index
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("join %s: %w", config.Lan, err)
	}
	return netlink.LinkSetUp(pair)
}

func runNodeInside(arguments []string) {
	config := readNodeConfig(arguments[0])
	_, _ = os.NewFile(3, "go-on").Read(make([]byte, 1))
	must := func(what string, err error) {
		if err != nil {
			fail("machine node: %s: %s: %v", config.Name, what, err)
		}
	}
	must("host name", unix.Sethostname([]byte(config.Name)))
	must("root", enterNodeRoot(config))
	must("network", configureNode(config))
	must("network plugins", writeOwnPluginList())
	for name, command := range config.Services {
		go keepRunning(config, name, command)
	}
	must("container runtime", serveRuntime(config))
}

func enterNodeRoot(config nodeConfig) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	hidden := []string{"run", "tmp", "var/lib/kubelet", "var/log", "opt", "etc/cni"}
	root, err := layRoot(config.Directory, "/", hidden)
	if err != nil {
		return err
	}
	for _, target := range []string{"/dev", config.Shared} {
		if err := bindAt(root, target, target, false); err != nil {
			return err
		}
	}
	if err := bindAt(root, config.Programs, programsOfNode, true); err != nil {
		return err
	}
	if err := mountAt(root, "proc", "/proc", 0, ""); err != nil {
		return err
	}
	if err := mountAt(root, "sysfs", "/sys", 0, ""); err != nil {
		return err
	}
	if err := bindAt(root, "/sys/fs/cgroup", "/sys/fs/cgroup", false); err != nil {
		return err
	}
	return enterRoot(root, machineRoot)
}

func configureNode(config nodeConfig) error {
	for name, value := range map[string]string{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"} {
		if err := setSysctl(name, value); err != nil {
			return err
		}
	}
	if config.Lan != "" {
		if err := configureLanInterface(config); err != nil {
			return err
		}
	}
	for _, each := range config.Routes {
		_, to, err := net.ParseCIDR(each.To)
		if err != nil {
			return err
		}
		if err := netlink.RouteReplace(&netlink.Route{Dst: to, Gw: net.ParseIP(each.Via)}); err != nil {
			return fmt.Errorf("route to %s: %w", each.To, err)
		}
	}
	return nil
}

func configureLanInterface(config nodeConfig) error {
	for _, name := range []string{"lo", "eth0"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := setSysctl("net/ipv6/conf/"+name+"/accept_dad", "0"); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
		if name == "lo" {
			continue
		}
		for _, text := range config.Addresses {
			bits := map[bool]int{true: 24, false: 64}[net.ParseIP(text).To4() != nil]
			address, err := netlink.ParseAddr(fmt.Sprintf("%s/%d", text, bits))
			if err != nil {
				return err
			}
			address.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(link, address); err != nil {
				return fmt.Errorf("address %s: %w", text, err)
			}
		}
	}
	return nil
}

// keepRunning starts a program of the node whenever it ends, as a machine's service manager would.
func keepRunning(config nodeConfig, name string, command []string) {
	runtime.LockOSThread()
	log, err := os.OpenFile(filepath.Join(config.Directory, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fail("machine node: %v", err)
	}
	for {
		started := exec.Command(filepath.Join(programsOfNode, "kube"), append([]string{name}, command...)...)
		started.Stdout, started.Stderr = log, log
		started.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := started.Start(); err != nil {
			fail("machine node: %s: %v", name, err)
		}
		fmt.Printf("%s started as process %d\n", name, started.Process.Pid)
		fmt.Printf("%s ended: %v\n", name, started.Wait())
		time.Sleep(time.Second)
	}
}
