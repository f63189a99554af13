package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
)

const (
	pluginConfigs  = "/etc/cni/net.d"
	pluginPrograms = "/opt/cni/bin"
	// The type by which the network of this runtime itself stands in its list of plugins.
	ownPlugin = "test-network"
)

type pluginList struct {
	CniVersion string           `json:"cniVersion"`
	Name       string           `json:"name"`
	Plugins    []map[string]any `json:"plugins"`
}

// writeOwnPluginList gives plugins that chain themselves to the network's a file to do it in.
func writeOwnPluginList() error {
	list := pluginList{CniVersion: "1.0.0", Name: "test", Plugins: []map[string]any{{"type": ownPlugin}}}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(pluginConfigs, "10-test.conflist"), string(text))
}

// runPlugins runs the CNI plugins that somebody put behind ours, in the order of the list, and backwards for DEL. As kubelets'
// runtimes do, it takes the first list by name.
func (service *runtimeService) runPlugins(command string, pod *sandbox) error {
	files, _ := filepath.Glob(filepath.Join(pluginConfigs, "*.conflist"))
	if len(files) == 0 {
		return nil
	}
	sort.Strings(files)
	content, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	var list pluginList
	if err := json.Unmarshal(content, &list); err != nil {
		return fmt.Errorf("%s: %w", files[0], err)
	}
	previous := json.RawMessage(pod.networkResult(list.CniVersion))
	for position := range list.Plugins {
		plugin := list.Plugins[position]
		if command == "DEL" {
			plugin = list.Plugins[len(list.Plugins)-1-position]
		}
		if plugin["type"] == ownPlugin {
			continue
		}
		plugin["cniVersion"], plugin["name"], plugin["prevResult"] = list.CniVersion, list.Name, previous
		answer, err := runPlugin(command, plugin, pod)
		if err != nil {
			return err
		}
		if command == "ADD" {
			previous = answer
		}
	}
	return nil
}

func runPlugin(command string, plugin map[string]any, pod *sandbox) (json.RawMessage, error) {
	input, err := json.Marshal(plugin)
	if err != nil {
		return nil, err
	}
	metadata := pod.config.GetMetadata()
	name := fmt.Sprint(plugin["type"])
	process := exec.Command(filepath.Join(pluginPrograms, filepath.Base(name)))
	process.Stdin = bytes.NewReader(input)
	process.Env = append(os.Environ(),
		"CNI_COMMAND="+command, "CNI_CONTAINERID="+pod.id, "CNI_NETNS="+pod.namespace, "CNI_IFNAME=eth0", "CNI_PATH="+pluginPrograms,
		fmt.Sprintf("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;K8S_POD_INFRA_CONTAINER_ID=%s;K8S_POD_UID=%s",
			metadata.GetNamespace(), metadata.GetName(), pod.id, metadata.GetUid()))
	var errors bytes.Buffer
	process.Stderr = &errors
	output, err := process.Output()
	if err != nil {
		return nil, fmt.Errorf("CNI plugin %s %s: %w: %s%s", name, command, err, output, errors.String())
	}
	return output, nil
}

func (pod *sandbox) networkResult(version string) string {
	addresses := []map[string]any{}
	for _, address := range pod.addresses {
		gateway := podGateway6
		if address.To4() != nil {
			gateway = podGateway4
		}
		addresses = append(addresses, map[string]any{
			"address": alone(address).String(), "gateway": gateway.String(), "interface": 1,
		})
	}
	text, _ := json.Marshal(map[string]any{
		"cniVersion": version,
		"interfaces": []map[string]any{{"name": pod.link}, {"name": "eth0", "sandbox": pod.namespace}},
		"ips":        addresses,
	})
	return string(text)
}
