package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"
)

// Where a node keeps the file system of the machine that it runs on, from which the roots of containers are made.
const machineRoot = "/.machine"

// layRoot mounts a root file system at directory/root: what is written to it goes to memory, and what lies under `lower` is seen
// through it, but for the hidden folders, which are empty. `directory` must be on a memory file system: what is written may not
// lie within what is seen.
func layRoot(directory string, lower string, hidden []string) (string, error) {
	root, upper, work := filepath.Join(directory, "root"), filepath.Join(directory, "upper"), filepath.Join(directory, "work")
	for _, path := range []string{root, upper, work} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(upper, 0o755); err != nil {
		return "", err
	}
	for _, path := range hidden {
		if err := hide(upper, path); err != nil {
			return "", err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work)
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return "", fmt.Errorf("overlay of %s: %w", lower, err)
	}
	return root, nil
}

func hide(upper string, path string) error {
	target := filepath.Join(upper, path)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if strings.HasSuffix(path, "tmp") {
		if err := os.Chmod(target, 0o777|os.ModeSticky); err != nil {
			return err
		}
	}
	return unix.Setxattr(target, "trusted.overlay.opaque", []byte("y"), 0)
}

// bindAt binds a file or folder to a path within a root; links on the way are followed as the root's own.
func bindAt(root string, source string, target string, readOnly bool) error {
	found, err := os.Stat(source)
	if err != nil {
		return err
	}
	path, err := placeIn(root, target, found.IsDir())
	if err != nil {
		return err
	}
	if err := unix.Mount(source, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	if !readOnly {
		return nil
	}
	if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", target, err)
	}
	return nil
}

// placeIn makes sure that a root has a folder or a file at the path.
func placeIn(root string, target string, isFolder bool) (string, error) {
	path, err := securejoin.SecureJoin(root, target)
	if err != nil {
		return "", err
	}
	if isFolder {
		return path, os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return "", err
	}
	return path, file.Close()
}

func mountAt(root string, kind string, target string, flags uintptr, options string) error {
	path, err := placeIn(root, target, true)
	if err != nil {
		return err
	}
	if err := unix.Mount(kind, path, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s at %s: %w", kind, target, err)
	}
	return nil
}

// enterRoot makes the folder the root of this process and of all in its mount namespace. The old root stays at `keep`, or goes
// away where that is empty.
func enterRoot(root string, keep string) error {
	if keep != "" {
		if err := os.MkdirAll(filepath.Join(root, keep), 0o755); err != nil {
			return err
		}
		if err := unix.PivotRoot(root, filepath.Join(root, keep)); err != nil {
			return fmt.Errorf("pivot_root: %w", err)
		}
		return unix.Chdir("/")
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Chdir("/")
}
