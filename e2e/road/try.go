package road

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	docker "github.com/moby/moby/client"
)

// Try is a small repository with a workflow of its own, for one thing that the
// Action does.
type Try struct {
	// Name is the repository's and the module's. The workflow is called "deploy NAME".
	Name string
	// Tag is pushed and runs the workflow.
	Tag string
	// Files are the repository's. REPOSITORY in them becomes its address, and FARM
	// the farm's.
	Files map[string]string
	// Clone is the address of a repository that has the tag already, instead of Files.
	Clone string
	// Act are further arguments of act.
	Act []string
}

// Farm is the one that the road's workflows talk to.
func (r *Road) Farm() *Farm { return r.farm }

// Try makes the module, pushes the tag to a git server that wants a token, runs
// the workflow and returns its log, also when it failed.
func (r *Road) Try(ctx context.Context, t Try) (log string, err error) {
	ex := Example{Name: t.Name}
	if err := r.createModule(ctx, ex); err != nil {
		return "", err
	}
	work := filepath.Join(r.cfg.Dir, "work", t.Name)
	if t.Clone != "" {
		err = r.git.clone(ctx, t.Clone, work, t.Name, t.Tag)
	} else {
		err = r.pushTry(ctx, t, work)
	}
	if err != nil {
		return "", err
	}
	err = r.runWorkflow(ctx, ex, work, t.Tag, t.Act...)
	text, readErr := os.ReadFile(filepath.Join(r.cfg.Dir, t.Name+".workflow.log"))
	if readErr != nil {
		return "", readErr
	}
	return string(text), err
}

// pushTry writes the files and pushes them with the tag.
func (r *Road) pushTry(ctx context.Context, t Try, work string) error {
	for name, text := range t.Files {
		file := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		text = strings.NewReplacer("REPOSITORY", r.git.url(t.Name), "FARM", r.farm.url).Replace(text)
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			return err
		}
	}
	if _, err := r.git.nextTag(ctx, filepath.Join(r.git.root, Namespace, t.Name+".git"), t.Tag); err != nil {
		return err
	}
	return r.git.push(ctx, work, t.Name, t.Tag)
}

// clone checks a tag of a repository out that may be read without a token, as if
// it came from GitHub.
func (g *gitHost) clone(ctx context.Context, address, work, name, tag string) error {
	for _, args := range [][]string{
		{"clone", "--quiet", "--branch", tag, address, work},
		{"-C", work, "remote", "set-url", "origin", "https://github.com/" + Namespace + "/" + name + ".git"},
	} {
		if err := g.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// Signal sends a signal to the Action's container in the workflow of a try: what
// GitHub's runner does when a workflow is cancelled. It reports whether there is
// such a container.
func (r *Road) Signal(ctx context.Context, name, signal string) (bool, error) {
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		return false, fmt.Errorf("reach the container engine: %w", err)
	}
	defer engine.Close()
	filters := make(docker.Filters).Add("name", workflowPrefix(Example{Name: name})).Add("ancestor", r.cfg.ActionImage).
		Add("label", labelRoad+"="+r.cfg.Dir)
	found, err := engine.ContainerList(ctx, docker.ContainerListOptions{Filters: filters})
	if err != nil || len(found.Items) == 0 {
		return false, err
	}
	for _, c := range found.Items {
		if _, err := engine.ContainerKill(ctx, c.ID, docker.ContainerKillOptions{Signal: signal}); err != nil {
			return false, fmt.Errorf("signal the Action: %w", err)
		}
	}
	return true, nil
}
