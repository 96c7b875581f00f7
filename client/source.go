package client

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/modfarm/modfarm/module"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// GetSource writes the source that was uploaded for a job to w, under its lease, and verifies its digest,
// which is the commit of the job's build. It goes on where it was after the connection broke. Source that
// the farm does not keep any more wraps module.ErrNotFound.
func (c *Client) GetSource(ctx context.Context, l LeaseRef, digest string, w io.Writer) error {
	d := &download{
		c: c, w: w, hash: sha256.New(), lease: l.Token,
		pkg: Package{ID: "source of job " + l.JobID, URL: c.base.String() + wire.SourcePath(l.JobID), SHA256: digest},
	}
	return d.run(ctx)
}

// BuildSource writes the source that was uploaded for a build of the caller's to w, as GetSource does. A build of a
// repository wraps module.ErrInvalid.
func (c *Client) BuildSource(ctx context.Context, b Build, w io.Writer) error {
	if !b.Uploaded() {
		return fmt.Errorf("%w: build %s is of %s, and not of uploaded source", module.ErrInvalid, b.ID, b.Repo)
	}
	d := &download{
		c: c, w: w, hash: sha256.New(),
		pkg: Package{ID: "source of build " + b.ID, URL: c.base.String() + wire.BuildSourcePath(b.ID), SHA256: b.Commit},
	}
	return d.run(ctx)
}

// sourcePiece is how much source one message holds, in bytes.
const sourcePiece = 256 << 10

// StartSourceBuild sends source, a gzip tar with meta.json in r.Workdir, and starts a build of it. r names no
// repository, ref or token. It returns the build's id, that of the build that is active or done when the
// same source was sent for the same version before.
func (c *Client) StartSourceBuild(ctx context.Context, r BuildRequest, orgID string, source io.Reader) (string, error) {
	if r.Repo != "" || r.Ref != "" || r.Token != "" {
		return "", fmt.Errorf("%w: a build of uploaded source has no repository, ref or token", module.ErrInvalid)
	}
	ctx, cancel := context.WithCancel(ctx) // ends the stream when the source cannot be read
	defer cancel()
	stream, err := c.builds.StartSourceUploadBuild(ctx)
	if err != nil {
		return "", c.fromRPC(ctx, err)
	}
	err = stream.Send(&buildv1.StartSourceUploadBuildRequest{
		ModuleVersion: r.Version.String(), NoCache: r.NoCache, Publish: string(r.Publish), FailFast: r.FailFast,
		CloudBuild: &buildv1.StartSourceUploadBuildRequest_BuildInfo{BuildInfo: &buildv1.SourceUploadBuildInfo{
			ModuleId: r.Module.String(), Platforms: platformNames(r.Platforms), Workdir: optional(r.Workdir), Distro: optional(r.Distro),
		}},
	})
	if err == nil {
		err = stream.Send(sourceMessage(&packagesv1.CreatePackageRequest{Package: &packagesv1.CreatePackageRequest_Info{Info: &packagesv1.PackageInfo{
			OrganizationId: orgID, Name: r.Module.Name, Version: r.Version.String(), Type: packagesv1.PackageType_PACKAGE_TYPE_MODULE,
		}}}))
	}
	piece := make([]byte, sourcePiece)
	for err == nil {
		n, rerr := io.ReadFull(source, piece)
		if n > 0 {
			err = stream.Send(sourceMessage(&packagesv1.CreatePackageRequest{Package: &packagesv1.CreatePackageRequest_Contents{Contents: piece[:n]}}))
		}
		if rerr == io.EOF || rerr == io.ErrUnexpectedEOF {
			break
		}
		if rerr != nil {
			return "", fmt.Errorf("read the source: %w", rerr)
		}
	}
	// A failed Send means that the farm answered early; its answer says why.
	res, err := stream.CloseAndReceive()
	if err != nil {
		return "", c.fromRPC(ctx, err)
	}
	return res.GetBuildId(), nil
}

func sourceMessage(p *packagesv1.CreatePackageRequest) *buildv1.StartSourceUploadBuildRequest {
	return &buildv1.StartSourceUploadBuildRequest{CloudBuild: &buildv1.StartSourceUploadBuildRequest_Package{Package: p}}
}
