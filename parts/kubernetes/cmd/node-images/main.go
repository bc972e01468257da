// Command node-images tells containerd about the images that the node image carries.
//
// An OCI layout holds their manifests and configurations; each layer lies unpacked in the node's own file system, at
// LAYERS/<diff id>. A snapshot is made of each layer by pointing the snapshotter's empty directory at it, so nothing is
// unpacked, copied or hashed. The layers' archives are absent, as after discard_unpacked_layers.
//
//	node-images LAYOUT LAYERS
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	content "github.com/containerd/containerd/api/services/content/v1"
	images "github.com/containerd/containerd/api/services/images/v1"
	leases "github.com/containerd/containerd/api/services/leases/v1"
	snapshots "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const snapshotter = "overlayfs"

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

type manifest struct {
	MediaType string       `json:"mediaType"`
	Config    descriptor   `json:"config"`
	Manifests []descriptor `json:"manifests"`
}

type config struct {
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

type seeder struct {
	layout, layers string
	content        content.ContentClient
	images         images.ImagesClient
	snapshots      snapshots.SnapshotsClient
	done           map[string]bool
}

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal("node-images: ", err)
	}
}

func run(layout, layers string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "containerd-namespace", "k8s.io")
	conn, err := grpc.NewClient("unix:///run/containerd/containerd.sock", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return err
	}
	s := &seeder{layout, layers, content.NewContentClient(conn), images.NewImagesClient(conn), snapshots.NewSnapshotsClient(conn), map[string]bool{}}
	// A lease keeps what is not yet referred to from the garbage collector, which may run at any time.
	lease := leases.NewLeasesClient(conn)
	if _, err := lease.Create(ctx, &leases.CreateRequest{ID: "node-images"}); present(err) != nil {
		return err
	}
	defer lease.Delete(ctx, &leases.DeleteRequest{ID: "node-images"})
	ctx = metadata.AppendToOutgoingContext(ctx, "containerd-lease", "node-images")
	var index manifest
	if _, err := s.read(filepath.Join(layout, "index.json"), &index); err != nil {
		return err
	}
	for _, d := range index.Manifests {
		if err := s.image(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", d.Annotations["io.containerd.image.name"], err)
		}
	}
	return nil
}

func (s *seeder) read(path string, into any) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return b, json.Unmarshal(b, into)
}

func (s *seeder) blob(digest string, into any) ([]byte, error) {
	return s.read(filepath.Join(s.layout, "blobs", strings.Replace(digest, ":", "/", 1)), into)
}

func (s *seeder) image(ctx context.Context, d descriptor) error {
	var m manifest
	mb, err := s.blob(d.Digest, &m)
	if err != nil {
		return err
	}
	var c config
	cb, err := s.blob(m.Config.Digest, &c)
	if err != nil {
		return err
	}
	chain, err := s.chain(ctx, c.RootFS.DiffIDs)
	if err != nil {
		return err
	}
	if err := s.write(ctx, m.Config.Digest, cb, map[string]string{"containerd.io/gc.ref.snapshot." + snapshotter: chain}); err != nil {
		return err
	}
	if err := s.write(ctx, d.Digest, mb, map[string]string{"containerd.io/gc.ref.content.config": m.Config.Digest}); err != nil {
		return err
	}
	im := &images.Image{Name: d.Annotations["io.containerd.image.name"], Target: &types.Descriptor{MediaType: m.MediaType, Digest: d.Digest, Size: int64(len(mb))}}
	_, err = s.images.Create(ctx, &images.CreateImageRequest{Image: im})
	return present(err)
}

// chain makes the committed snapshots of a stack of layers and returns the topmost one's name.
func (s *seeder) chain(ctx context.Context, diffs []string) (string, error) {
	parent := ""
	for _, diff := range diffs {
		name := diff
		if parent != "" {
			name = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(parent+" "+diff)))
		}
		if !s.done[name] {
			if err := s.snapshot(ctx, name, parent, diff); err != nil {
				return "", err
			}
			s.done[name] = true
		}
		parent = name
	}
	return parent, nil
}

func (s *seeder) snapshot(ctx context.Context, name, parent, diff string) error {
	if _, err := s.snapshots.Stat(ctx, &snapshots.StatSnapshotRequest{Snapshotter: snapshotter, Key: name}); err == nil {
		return nil
	}
	key := "node-images-" + name
	p, err := s.snapshots.Prepare(ctx, &snapshots.PrepareSnapshotRequest{Snapshotter: snapshotter, Key: key, Parent: parent})
	if err != nil {
		return err
	}
	dir := upper(p.Mounts[0])
	if err := os.Remove(dir); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(s.layers, strings.TrimPrefix(diff, "sha256:")), dir); err != nil {
		return err
	}
	_, err = s.snapshots.Commit(ctx, &snapshots.CommitSnapshotRequest{Snapshotter: snapshotter, Name: name, Key: key})
	return present(err)
}

// upper is the directory that a prepared snapshot writes to.
func upper(m *types.Mount) string {
	for _, o := range m.Options {
		if d, ok := strings.CutPrefix(o, "upperdir="); ok {
			return d
		}
	}
	return m.Source
}

func (s *seeder) write(ctx context.Context, digest string, b []byte, labels map[string]string) error {
	w, err := s.content.Write(ctx)
	if err != nil {
		return err
	}
	if err := w.Send(&content.WriteContentRequest{Action: content.WriteAction_COMMIT, Ref: "node-images-" + digest, Total: int64(len(b)),
		Expected: digest, Data: b, Labels: labels}); err != nil {
		return err
	}
	_, err = w.Recv()
	return present(err)
}

func present(err error) error {
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	return err
}
