package client

import (
	"context"

	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
)

// BuildRequest asks for a build.
type BuildRequest struct {
	Module module.ID
	// Version is what to publish; zero builds and publishes nothing.
	Version module.Version
	// Repo is the https address of the repository, Ref a tag, branch or full commit id.
	Repo, Ref string
	// Token reads the repository when it is private; secret.
	Token string
	// Workdir is the folder of meta.json within the repository; empty for its root.
	Workdir string
	// Distro is the Debian release to build on; empty for the module's own choice.
	Distro    string
	Platforms []module.Platform
	// NoCache builds without what earlier builds kept.
	NoCache bool
	// Publish overrides what modfarm.yaml says; empty does not.
	Publish module.Publish
	// FailFast has the farm cancel the other platforms when one fails or is refused.
	FailFast bool
}

// StartBuild starts a build and returns its id. A request that repeats one which is active or done
// returns the id of that one. Errors wrap module.ErrInvalid, and module.ErrNotFound when the module
// does not exist.
func (c *Client) StartBuild(ctx context.Context, r BuildRequest) (string, error) {
	res, err := c.builds.StartBuild(ctx, &buildv1.StartBuildRequest{
		Repo: r.Repo, Ref: optional(r.Ref), Platforms: platformNames(r.Platforms),
		ModuleId: r.Module.String(), ModuleVersion: r.Version.String(),
		Token: optional(r.Token), Workdir: optional(r.Workdir), Distro: optional(r.Distro),
		NoCache: r.NoCache, Publish: string(r.Publish), FailFast: r.FailFast,
	})
	if err != nil {
		return "", c.fromRPC(ctx, err)
	}
	return res.GetBuildId(), nil
}

// Build returns a build with its jobs.
func (c *Client) Build(ctx context.Context, id string) (Build, error) {
	res, err := c.farm.GetBuild(ctx, &modfarmv1.GetBuildRequest{BuildId: id})
	if err != nil {
		return Build{}, c.fromRPC(ctx, err)
	}
	return buildFrom(res.GetBuild())
}

// Builds lists builds, newest first: of one module, or of the whole organization when id is zero;
// at most limit, or the farm's default for 0.
func (c *Client) Builds(ctx context.Context, id module.ID, limit int) ([]Build, error) {
	res, err := c.farm.ListBuilds(ctx, &modfarmv1.ListBuildsRequest{ModuleId: id.String(), Limit: int32(min(limit, 1<<20))}) //nolint:gosec // bounded
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	builds := make([]Build, 0, len(res.GetBuilds()))
	for _, p := range res.GetBuilds() {
		b, err := buildFrom(p)
		if err != nil {
			return nil, err
		}
		builds = append(builds, b)
	}
	return builds, nil
}

// CancelBuild ends every job of a build that has not ended, and returns the build. Jobs with a worker end soon after.
// When nothing is left to end it is module.ErrConflict.
func (c *Client) CancelBuild(ctx context.Context, id string) (Build, error) {
	return c.CancelPlatform(ctx, id, module.Platform{})
}

// CancelPlatform is CancelBuild for one platform of a build.
func (c *Client) CancelPlatform(ctx context.Context, id string, platform module.Platform) (Build, error) {
	res, err := c.farm.CancelBuild(ctx, &modfarmv1.CancelBuildRequest{BuildId: id, Platform: platform.String()})
	if err != nil {
		return Build{}, c.fromRPC(ctx, err)
	}
	return buildFrom(res.GetBuild())
}

// RetryBuild builds one platform of a build again from the same commit, or every one that did not succeed when
// platform is zero, and returns the build. token reads the repository; builds that were started with one need it
// again. A platform that is under way or succeeded is module.ErrConflict.
func (c *Client) RetryBuild(ctx context.Context, id string, platform module.Platform, token string) (Build, error) {
	res, err := c.farm.RetryJob(ctx, &modfarmv1.RetryJobRequest{BuildId: id, Platform: platform.String(), Token: token})
	if err != nil {
		return Build{}, c.fromRPC(ctx, err)
	}
	return buildFrom(res.GetBuild())
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
