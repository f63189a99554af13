package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Pods are joined to their node by a pair of interfaces each, without a bridge: all that they send is routed, so that the node's
// rules see every packet. They reach the node at an address that nobody has, whose hardware address they are told.
var (
	podGateway4 = net.IPv4(169, 254, 1, 1)
	podGateway6 = net.ParseIP("fe80::1")
	everywhere4 = &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	everywhere6 = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
)

// inNamespace runs a function on a thread in the network namespace of the file; processes that it starts are in it, too.
func inNamespace(path string, run func() error) error {
	outcome := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		namespace, err := os.Open(path)
		if err != nil {
			outcome <- err
			return
		}
		defer namespace.Close()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			outcome <- fmt.Errorf("enter network namespace %s: %w", path, err)
			return
		}
		outcome <- run()
	}()
	return <-outcome
}

// createNamespace makes a network namespace that lasts as long as the file does.
func createNamespace(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return err
	}
	outcome := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			outcome <- fmt.Errorf("network namespace: %w", err)
			return
		}
		outcome <- unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	}()
	return <-outcome
}

func removeNamespace(path string) {
	_ = unix.Unmount(path, unix.MNT_DETACH)
	_ = os.Remove(path)
}

func setSysctl(name string, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644)
}

// connectPod gives a namespace its eth0, and the node the way to it.
func connectPod(namespace string, hostName string, node []net.IP, pod []net.IP) error {
	file, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer file.Close()
	pair := &netlink.Veth{PeerName: "eth0", PeerNamespace: netlink.NsFd(int(file.Fd()))}
	pair.Name, pair.MTU = hostName, 1500
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("interface of the pod: %w", err)
	}
	hostLink, err := netlink.LinkByName(hostName)
	if err != nil {
		return err
	}
	var podMac net.HardwareAddr
	err = inNamespace(namespace, func() error {
		podMac, err = configurePod(hostLink.Attrs().HardwareAddr, pod)
		return err
	})
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(hostLink); err != nil {
		return err
	}
	for family, address := range pod {
		route := &netlink.Route{LinkIndex: hostLink.Attrs().Index, Dst: alone(address), Src: node[family], Scope: netlink.SCOPE_LINK}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route to %s: %w", address, err)
		}
		if err := netlink.NeighSet(neighbour(hostLink, address, podMac)); err != nil {
			return fmt.Errorf("neighbour %s: %w", address, err)
		}
	}
	return nil
}

func configurePod(hostMac net.HardwareAddr, addresses []net.IP) (net.HardwareAddr, error) {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	// Duplicates cannot be here, and who waits for the check to end cannot listen on the address.
	if err := setSysctl("net/ipv6/conf/eth0/accept_dad", "0"); err != nil {
		return nil, err
	}
	for _, one := range []netlink.Link{loopback, link} {
		if err := netlink.LinkSetUp(one); err != nil {
			return nil, err
		}
	}
	for _, address := range addresses {
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: alone(address), Flags: unix.IFA_F_NODAD}); err != nil {
			return nil, fmt.Errorf("address %s: %w", address, err)
		}
	}
	index := link.Attrs().Index
	for _, way := range []struct {
		gateway net.IP
		to      *net.IPNet
	}{{podGateway4, everywhere4}, {podGateway6, everywhere6}} {
		if err := netlink.NeighSet(neighbour(link, way.gateway, hostMac)); err != nil {
			return nil, fmt.Errorf("neighbour %s: %w", way.gateway, err)
		}
		route := &netlink.Route{LinkIndex: index, Dst: way.to, Gw: way.gateway, Flags: int(netlink.FLAG_ONLINK)}
		if err := netlink.RouteAdd(route); err != nil {
			return nil, fmt.Errorf("route by %s: %w", way.gateway, err)
		}
	}
	return link.Attrs().HardwareAddr, nil
}

func alone(address net.IP) *net.IPNet {
	if four := address.To4(); four != nil {
		return &net.IPNet{IP: four, Mask: net.CIDRMask(32, 32)}
	}
	return &net.IPNet{IP: address, Mask: net.CIDRMask(128, 128)}
}

func neighbour(link netlink.Link, address net.IP, mac net.HardwareAddr) *netlink.Neigh {
	family := netlink.FAMILY_V6
	if address.To4() != nil {
		family = netlink.FAMILY_V4
	}
	return &netlink.Neigh{
		LinkIndex: link.Attrs().Index, Family: family, State: netlink.NUD_PERMANENT, IP: address, HardwareAddr: mac,
	}
}

// addressPool hands out the addresses of a node's ranges, both families in step; one that was given back comes round last.
type addressPool struct {
	ranges []*net.IPNet
	last   int
	taken  map[int]bool
}

func newAddressPool(ranges []string) (*addressPool, error) {
	pool := &addressPool{last: 1, taken: map[int]bool{}}
	for _, text := range ranges {
		_, parsed, err := net.ParseCIDR(text)
		if err != nil {
			return nil, err
		}
		pool.ranges = append(pool.ranges, parsed)
	}
	return pool, nil
}

func (pool *addressPool) take() (int, []net.IP, error) {
	for range 253 {
		pool.last = 2 + (pool.last-1)%253
		if pool.taken[pool.last] {
			continue
		}
		pool.taken[pool.last] = true
		addresses := []net.IP{}
		for _, each := range pool.ranges {
			address := append(net.IP{}, each.IP...)
			address[len(address)-1] += byte(pool.last)
			addresses = append(addresses, address)
		}
		return pool.last, addresses, nil
	}
	return 0, nil, fmt.Errorf("no address is left in %v", pool.ranges)
}
