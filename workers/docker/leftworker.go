package docker

import (
	"context"

	"github.com/moby/moby/client"
)

// RemoveWorker removes the containers, running ones too, and the network of a worker that is gone and will not come
// back under its name. Its caches stay, as they do for other workers.
func RemoveWorker(ctx context.Context, engine *client.Client, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r := &Runner{engine: engine, opts: Options{Name: name}}
	if err := r.removeContainers(ctx, nil); err != nil {
		return err
	}
	return r.removeNamed(ctx, "modfarm-"+safeName(name))
}
