// Command prepare lays out Grafana's sources so that they can be built.
//
//	go run ./cmd/prepare DIRECTORY
//	cd DIRECTORY && go build -tags oss … github.com/grafana/grafana/pkg/cmd/grafana
//
// Grafana's server is put together by Wire, whose output, pkg/server/wire_gen.go, is not in the repository, and so not in
// the module. A file can't be added to the module cache, not even by the compiler's -overlay. The directory therefore
// becomes a copy of this module that takes Grafana from a copy of its Go sources, and Wire's output is put there. It
// refers to nothing outside by path: where it lies makes no difference to the program built from it.
//
// It must be run in the folder of this module's go.mod.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "github.com/grafana/grafana"

// sources is what the server is compiled from, schemas that it embeds included.
var sources = []string{"embed.go", "go.mod", "cue.mod", "kinds", "packages/grafana-schema/src/common", "pkg", "public/app/plugins"}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: prepare DIRECTORY")
		os.Exit(2)
	}
	if err := prepare(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}

// prepare fills a directory that is new or empty.
func prepare(directory string) error {
	if entries, err := os.ReadDir(directory); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty", directory)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	upstream, err := run(".", "go", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum", "sqlite3"} {
		if err := copyTree(name, filepath.Join(directory, name)); err != nil {
			return err
		}
	}
	for _, name := range sources {
		name = filepath.FromSlash(name)
		if err := copyTree(filepath.Join(strings.TrimSpace(upstream), name), filepath.Join(directory, "grafana", name)); err != nil {
			return err
		}
	}
	if _, err := run(directory, "go", "mod", "edit", "-replace", module+"=./grafana"); err != nil {
		return err
	}
	_, err = run(directory, "go", "tool", "wire", "gen", "-tags", "oss", module+"/pkg/server")
	return err
}

// run runs a program in a directory and returns what it prints; its messages become part of the error.
func run(directory, name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Dir = directory
	var messages strings.Builder
	command.Stderr = &messages
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, messages.String())
	}
	return string(out), nil
}

// copyTree copies a file or a folder. Copies are writable, as files of the module cache are not.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, below)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
}
