// The DNS server of the test cluster: CoreDNS with the plugins that the cluster uses and no other, so that it is built in
// reasonable time. It is a module of its own because it needs other versions of what Kubernetes needs, too.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	// The order in which they are asked: what nobody answers the last one refuses.
	dnsserver.Directives = []string{"ready", "errors", "cache", "hosts", "kubernetes", "template"}
	coremain.Run()
}
