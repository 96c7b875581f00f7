package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/scaffold"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// TestGeneratedProjects: what `modfarm module generate` makes is tagged as it is, and the farm publishes it for
// both platforms.
func TestGeneratedProjects(t *testing.T) {
	t.Parallel()
	y := openYard(t)
	for language, foreign := range map[scaffold.Language]module.Strategy{
		scaffold.Go: module.StrategyCross, scaffold.Python: module.StrategyQEMU,
	} {
		t.Run(string(language), func(t *testing.T) {
			name := "new-" + string(language)
			y.newRepo(t, name, func(repo *gittest.Repo) {
				project := filepath.Join(t.TempDir(), name)
				y.modfarm(t, filepath.Dir(project), "module", "generate", "--name", name, "--language", string(language),
					"--public-namespace", road.Namespace, "--repository", y.open.URL+"/"+name+".git", "--register")
				if err := os.CopyFS(repo.Dir, os.DirFS(project)); err != nil {
					t.Fatal(err)
				}
				if _, err := repo.Commit(t.Context(), nil, "v0.1.0"); err != nil {
					t.Fatal(err)
				}
				y.modfarm(t, project, "module", "build", "start", "--version", "0.1.0", "--ref", "v0.1.0", "--wait")
			})
			id := module.ID{Namespace: road.Namespace, Name: name}
			builds, err := y.client.Builds(t.Context(), id, 1)
			if err != nil || len(builds) != 1 || len(builds[0].Jobs) != 2 {
				t.Fatalf("builds of %s: %+v, %v", id, builds, err)
			}
			for _, job := range builds[0].Jobs {
				want := module.StrategyNative
				if job.Platform != module.HostPlatform() {
					want = foreign
				}
				if job.State != client.JobPublished || job.Strategy != want || len(job.Release.Warnings) > 0 {
					t.Errorf("%s: %s %s (%s), warnings %q; want it published %s without a warning", job.Platform, job.State,
						job.Strategy, job.Reason, job.Release.Warnings, want)
				}
			}
		})
	}
	y.clean(t)
}

// modfarm runs the program as the farm's owner, in a folder.
func (y *yard) modfarm(t *testing.T, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	defer cancel()
	id, key := y.farm.Key()
	cmd := exec.CommandContext(ctx, y.binary, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
		"MODFARM_URL=" + y.farm.URL(), "MODFARM_KEY_ID=" + id, "MODFARM_KEY=" + key,
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("modfarm %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}
