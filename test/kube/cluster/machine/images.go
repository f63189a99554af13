package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// An image of the test cluster: nothing that was pulled, but folders of this machine laid together.
type image struct {
	// The name by which the table has it.
	Name string `json:"-"`
	// Folder of this machine that is the lowest layer of the root; / where none is given.
	Root string `json:"root"`
	// Folders or files of this machine that are laid over it, read-only.
	Binds      []bind   `json:"binds"`
	Entrypoint []string `json:"entrypoint"`
	Command    []string `json:"command"`
	// NAME=VALUE
	Environment      []string `json:"environment"`
	WorkingDirectory string   `json:"workingDirectory"`
	// The number of the user; root where none is given.
	User int64 `json:"user"`
}

type bind struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// findImage looks a reference up in the table, which is read each time so that a test can add to it. A name of the table without
// a tag, or with the tag *, stands for all of them. It returns nil where there is none.
func findImage(table string, reference string) (*image, error) {
	content, err := os.ReadFile(table)
	if err != nil {
		return nil, err
	}
	var images map[string]image
	if err := json.Unmarshal(content, &images); err != nil {
		return nil, fmt.Errorf("%s: %w", table, err)
	}
	reference = strings.TrimPrefix(strings.TrimPrefix(reference, "docker.io/"), "library/")
	name := reference
	if at := strings.LastIndex(reference, ":"); at > strings.LastIndex(reference, "/") {
		name = reference[:at]
	}
	for _, key := range []string{reference, name + ":*", name} {
		if found, has := images[key]; has {
			found.Name = reference
			return &found, nil
		}
	}
	return nil, nil
}
