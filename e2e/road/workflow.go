package road

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// runWorkflow runs the example's own deploy.yml as GitHub would after the push
// of the tag, and reports the builds as they go on. more are further arguments
// of act.
func (r *Road) runWorkflow(ctx context.Context, ex Example, work, tag string, more ...string) error {
	actionRepo, err := r.actionRepository(ctx)
	if err != nil {
		return err
	}
	files, err := r.workflowFiles(ex, tag)
	if err != nil {
		return err
	}
	image, err := r.runImage(linuxAMD64)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(r.cfg.Dir, ex.Name+".workflow.log"))
	if err != nil {
		return fmt.Errorf("open the workflow's log: %w", err)
	}
	defer log.Close()

	cmd := r.actCommand(ctx, work, append([]string{
		"push", "--rm", "--pull=false",
		"--platform", "ubuntu-latest=" + image,
		"--eventpath", files.event, "--secret-file", files.secrets, "--var", "MODFARM_URL=" + r.farm.url,
		"--local-repository", "modfarm/modfarm@v0=" + actionRepo, "--actor", "road",
	}, more...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start act: %w", err)
	}
	stopWatch := r.watch(ctx, ex)
	err = cmd.Wait()
	stopWatch()
	cleaned := r.cleanWorkflow(ctx, ex, err != nil)
	switch {
	case err != nil && ctx.Err() != nil:
		err = fmt.Errorf("the workflow of %s was stopped: %w", ex.Name, context.Cause(ctx))
	case err != nil:
		err = fmt.Errorf("the workflow of %s failed (%w); its log is %s and ends:\n%s", ex.Name, err, log.Name(), tailOf(log.Name()))
	}
	return errors.Join(err, cleaned)
}

func tailOf(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// actionRepository is a git repository with the project's action.yml and
// upload/action.yml as they stand, for act to resolve "uses: modfarm/modfarm@v0" to.
func (r *Road) actionRepository(ctx context.Context) (string, error) {
	dir := filepath.Join(r.cfg.Dir, "work", "action")
	if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
		return dir, nil
	}
	for _, name := range []string{"action.yml", "upload/action.yml"} {
		if err := r.copyAction(dir, name); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{
		{"-C", dir, "init", "--quiet", "--initial-branch=main"},
		{"-C", dir, "add", "--all"},
		{"-C", dir, "commit", "--quiet", "--message", "The action as it stands"},
		{"-C", dir, "tag", "v0"},
	} {
		if err := r.git.run(ctx, args...); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// copyAction puts the description of an action into a folder, with the road's own
// image in it, as a release puts the one that it made.
func (r *Road) copyAction(dir, name string) error {
	text, err := os.ReadFile(filepath.Join(r.cfg.Root, name))
	if err != nil {
		return fmt.Errorf("read the description of an action: %w", err)
	}
	pinned := strings.Replace(string(text), "image: docker://"+actionImage+"\n", "image: docker://"+r.cfg.ActionImage+"\n", 1)
	if pinned == string(text) {
		return fmt.Errorf("%s does not name the image %s", name, actionImage)
	}
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(pinned), 0o644)
}

type workflowFiles struct{ event, secrets string }

// workflowFiles writes the event and the secrets of the run. The secrets go
// through a file of mode 0600: in an argument every user of the machine could
// read them.
func (r *Road) workflowFiles(ex Example, tag string) (workflowFiles, error) {
	base := filepath.Join(r.cfg.Dir, "work", ex.Name)
	files := workflowFiles{event: base + ".event.json", secrets: base + ".secrets"}
	event, err := json.Marshal(map[string]any{
		"ref": "refs/tags/" + tag, "ref_type": "tag",
		"repository": map[string]any{
			"name": ex.Name, "full_name": Namespace + "/" + ex.Name,
			"owner": map[string]any{"login": Namespace}, "default_branch": "main",
		},
	})
	if err != nil {
		return files, err
	}
	if err := os.WriteFile(files.event, event, 0o644); err != nil {
		return files, fmt.Errorf("write the event of the push: %w", err)
	}
	secrets := fmt.Sprintf("VIAM_KEY_ID=%s\nVIAM_KEY_VALUE=%s\nGITHUB_TOKEN=%s\n",
		r.farm.key("MODFARM_KEY_ID"), r.farm.key("MODFARM_KEY"), gitToken)
	if err := os.WriteFile(files.secrets, []byte(secrets), 0o600); err != nil {
		return files, fmt.Errorf("write the secrets: %w", err)
	}
	return files, nil
}

// linuxAMD64 is the platform the workflow's own job runs on.
var linuxAMD64 = module.Platform{OS: "linux", Arch: "amd64"} //nolint:gochecknoglobals // a constant that Go cannot spell as one
