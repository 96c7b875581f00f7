package road

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// TravelAll takes several examples along the road at the same time; the farm
// decides what runs when. Artifacts come in the order of the examples.
func (r *Road) TravelAll(ctx context.Context, examples ...Example) ([]Artifact, error) {
	found := make([][]Artifact, len(examples))
	g, ctx := errgroup.WithContext(ctx)
	if _, err := r.actionRepository(ctx); err != nil {
		return nil, err
	}
	for i, ex := range examples {
		g.Go(func() (err error) {
			found[i], err = r.Travel(ctx, ex)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var all []Artifact
	for _, artifacts := range found {
		all = append(all, artifacts...)
	}
	return all, nil
}

// collect downloads what an example's build published, compares it with what
// the farm says of it, and starts it.
func (r *Road) collect(ctx context.Context, ex Example) ([]Artifact, error) {
	farm, err := r.farm.Client()
	if err != nil {
		return nil, err
	}
	builds, err := farm.Builds(ctx, module.ID{Namespace: Namespace, Name: ex.Name}, 1)
	if err != nil {
		return nil, err
	}
	if len(builds) == 0 {
		return nil, fmt.Errorf("%s: the workflow started no build", ex.Name)
	}
	var artifacts []Artifact
	for _, job := range builds[0].Jobs {
		a, err := r.collectJob(ctx, farm, ex, builds[0], job)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", ex.Name, job.Platform, err)
		}
		artifacts = append(artifacts, a)
	}
	if len(artifacts) != len(ex.Strategies) {
		return nil, fmt.Errorf("%s: %d platforms were built, %d expected", ex.Name, len(artifacts), len(ex.Strategies))
	}
	return artifacts, nil
}

func (r *Road) collectJob(ctx context.Context, farm *client.Client, ex Example, build client.Build, job client.Job) (Artifact, error) {
	if job.State != client.JobPublished || job.Release == nil {
		return Artifact{}, fmt.Errorf("it is %s, not published: %s", job.State, job.Reason)
	}
	if want := ex.Strategies[job.Platform]; job.Strategy != want {
		return Artifact{}, fmt.Errorf("built by the strategy %q, expected %q", job.Strategy, want)
	}
	file := filepath.Join(r.cfg.Dir, "downloads", ex.Name+"-"+job.Platform.Dashed()+".tar.gz")
	digest, size, err := r.download(ctx, farm, build, job.Platform, file)
	if err != nil {
		return Artifact{}, err
	}
	if digest != job.Release.SHA256 || size != job.Release.Size {
		return Artifact{}, fmt.Errorf("downloaded %d bytes sha256:%s, the farm published %d bytes sha256:%s", size, digest, job.Release.Size, job.Release.SHA256)
	}
	if err := r.unpackAndStart(ctx, ex, job.Platform, job.Release.Entrypoint, file); err != nil {
		return Artifact{}, err
	}
	r.say("%-13s %s downloaded, compared and started", ex.Name, job.Platform)
	return Artifact{
		Module: build.Module, Version: build.Version, Platform: job.Platform, Strategy: job.Strategy,
		Bytes: size, SHA256: digest, Took: job.EndedAt.Sub(job.StartedAt),
	}, nil
}

// download fetches an archive as a stock client does: the address from
// GetPackage, the key in two headers, one plain GET.
func (r *Road) download(ctx context.Context, farm *client.Client, build client.Build, p module.Platform, file string) (digest string, size int64, err error) {
	pkg, err := farm.Package(ctx, build.Module, build.Version, p)
	if err != nil {
		return "", 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, pkg.URL, nil)
	if err != nil {
		return "", 0, err
	}
	req.Header["key_id"] = []string{r.farm.key("MODFARM_KEY_ID")}
	req.Header["key"] = []string{r.farm.key("MODFARM_KEY")}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("download: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-gzip" {
		return "", 0, fmt.Errorf("download: %s, content type %q", resp.Status, resp.Header.Get("Content-Type"))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", 0, err
	}
	f, err := os.Create(file)
	if err != nil {
		return "", 0, err
	}
	hash := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, hash), resp.Body)
	return hex.EncodeToString(hash.Sum(nil)), size, errors.Join(err, f.Close())
}

func (r *Road) unpackAndStart(ctx context.Context, ex Example, p module.Platform, entrypoint, file string) error {
	image, err := r.runImage(p)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	dir := filepath.Join(r.cfg.Dir, "downloads", ex.Name+"-"+p.Dashed())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := archive.Extract(ctx, f, dir, archive.Limits{}); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return r.start(ctx, ex.Probe, image, dir, entrypoint)
}
