package road

import (
	"context"
	"fmt"

	docker "github.com/moby/moby/client"
)

// LeftoversOf lists containers and networks of a worker's builds that are still
// in the engine. Caches and images stay on purpose and are not listed.
func LeftoversOf(ctx context.Context, worker string) ([]string, error) {
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("reach the container engine: %w", err)
	}
	defer engine.Close()
	ours := make(docker.Filters).Add("label", "dev.modfarm.worker="+worker)
	containers, err := engine.ContainerList(ctx, docker.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	networks, err := engine.NetworkList(ctx, docker.NetworkListOptions{Filters: ours})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	var left []string
	for _, c := range containers.Items {
		left = append(left, fmt.Sprintf("container %v (%s)", c.Names, c.State))
	}
	for _, n := range networks.Items {
		left = append(left, "network "+n.Name)
	}
	return left, nil
}

// UpArgs passes on to builds what a machine behind a proxy or with a
// certificate authority of its own has in its environment. Values stay in the
// environment; only the names are arguments.
func UpArgs(lookup func(string) (string, bool)) []string {
	var args []string
	for _, name := range []string{
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
		"GOPROXY", "GONOSUMDB", "GOSUMDB", "GOPRIVATE", "PIP_INDEX_URL",
	} {
		if value, ok := lookup(name); ok && value != "" {
			args = append(args, "--build-env", name)
		}
	}
	if file, ok := lookup("SSL_CERT_FILE"); ok && file != "" {
		args = append(args, "--build-ca", file)
	}
	return args
}
