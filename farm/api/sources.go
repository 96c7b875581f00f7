package api

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// What streams are told that begin otherwise.
const (
	adviceFirst  = "send it as the first message"
	adviceSecond = "send it as the second message, before the contents"
)

// StartSourceUploadBuild builds source that the caller sends: first what to build, then what the package
// is, then its bytes. Both are judged before a byte is taken.
func (s buildService) StartSourceUploadBuild(ctx context.Context, stream *connect.ClientStream[buildv1.StartSourceUploadBuildRequest]) (*buildv1.StartSourceUploadBuildResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	if err := expect(stream, "build_info", adviceFirst); err != nil {
		return nil, err
	}
	info := stream.Msg().GetBuildInfo()
	if info == nil {
		return nil, outOfOrder("build_info", adviceFirst)
	}
	sub, err := s.submission(ctx, p, &buildv1.StartBuildRequest{
		ModuleId: info.GetModuleId(), ModuleVersion: stream.Msg().GetModuleVersion(), Platforms: info.GetPlatforms(),
		Workdir: info.Workdir, Distro: info.Distro, //nolint:protogetter // what is unset stays unset
		NoCache: stream.Msg().GetNoCache(), Publish: stream.Msg().GetPublish(), FailFast: stream.Msg().GetFailFast(),
	})
	if err != nil {
		return nil, err
	}
	if err := s.farm.Check(ctx, sub); err != nil {
		return nil, err
	}
	if err := expect(stream, "package.info", adviceSecond); err != nil {
		return nil, err
	}
	if err := checkSource(p, sub.Module, stream.Msg().GetPackage().GetInfo()); err != nil {
		return nil, err
	}
	sub.Source, err = s.receiveSource(ctx, func() ([]byte, error) {
		if err := next(stream); err != nil {
			return nil, err
		}
		return contents(stream.Msg().GetPackage())
	})
	if err != nil {
		return nil, err
	}
	build, err := s.farm.Submit(ctx, sub)
	if err != nil {
		return nil, err
	}
	return &buildv1.StartSourceUploadBuildResponse{BuildId: build.ID}, nil
}

// checkSource checks what a build's source is said to be. Its version means nothing: the build's counts.
func checkSource(p account.Principal, id module.ID, info *packagesv1.PackageInfo) error {
	if info == nil {
		return outOfOrder("package.info", adviceSecond)
	}
	if err := ownOrg(p, info.GetOrganizationId()); err != nil {
		return err
	}
	if name := info.GetName(); name != "" && name != id.Name {
		return module.Fault{Path: "package.info.name", Value: name, Problem: "not the module that is built", Advice: "send the source of " + id.Name}
	}
	return nil
}

// StartPackageBuild builds source that was uploaded before, as a package named like the module.
func (s buildService) StartPackageBuild(ctx context.Context, req *buildv1.StartPackageBuildRequest) (*buildv1.StartPackageBuildResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	sub, err := s.submission(ctx, p, &buildv1.StartBuildRequest{
		ModuleId: req.GetModuleId(), ModuleVersion: req.GetModuleVersion(), Platforms: req.GetPlatforms(),
		Distro: req.Distro, //nolint:protogetter // what is unset stays unset
	})
	if err != nil {
		return nil, err
	}
	source, err := s.registry.SourcePackage(ctx, p.Org.ID, sub.Module.Name, req.GetPackageVersion())
	if err != nil {
		return nil, err
	}
	sub.Source = source.SHA256
	build, err := s.farm.Submit(ctx, sub)
	if err != nil {
		return nil, err
	}
	return &buildv1.StartPackageBuildResponse{BuildId: build.ID}, nil
}

// CreatePackage keeps source under a name, for StartPackageBuild. Modules are not uploaded this way.
func (s packageService) CreatePackage(ctx context.Context, stream *connect.ClientStream[packagesv1.CreatePackageRequest]) (*packagesv1.CreatePackageResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	if err := expect(stream, "info", adviceFirst); err != nil {
		return nil, err
	}
	info := stream.Msg().GetInfo()
	if info == nil {
		return nil, outOfOrder("info", adviceFirst)
	}
	pkg, err := sourcePackage(p, info)
	if err != nil {
		return nil, err
	}
	pkg.SHA256, err = s.receiveSource(ctx, func() ([]byte, error) {
		if err := next(stream); err != nil {
			return nil, err
		}
		return contents(stream.Msg())
	})
	if err != nil {
		return nil, err
	}
	if pkg, err = s.registry.AddSourcePackage(ctx, pkg); err != nil {
		return nil, err
	}
	return &packagesv1.CreatePackageResponse{Id: p.Org.Prefix() + "/" + pkg.Name, Version: pkg.Version}, nil
}

func sourcePackage(p account.Principal, info *packagesv1.PackageInfo) (registry.SourcePackage, error) {
	switch t := info.GetType(); t {
	case packagesv1.PackageType_PACKAGE_TYPE_ARCHIVE:
	case packagesv1.PackageType_PACKAGE_TYPE_MODULE:
		return registry.SourcePackage{}, module.Fault{Path: "info.type", Value: t.String(), Problem: "not how modules are uploaded", Advice: "use UploadModuleFile, as: viam module upload"}
	default:
		return registry.SourcePackage{}, module.Fault{Path: "info.type", Value: t.String(), Problem: "not a kind of package that this farm keeps", Advice: "upload the source of a module as PACKAGE_TYPE_ARCHIVE"}
	}
	if err := ownOrg(p, info.GetOrganizationId()); err != nil {
		return registry.SourcePackage{}, err
	}
	pkg := registry.SourcePackage{OrgID: p.Org.ID, Name: info.GetName(), Version: info.GetVersion()}
	return pkg, registry.CheckSourcePackage(pkg)
}

// receiveSource stores the bytes of the messages to come.
func (s *server) receiveSource(ctx context.Context, next func() ([]byte, error)) (sha256 string, err error) {
	body := &bodyReader{from: &messageReader{next: next}}
	sha256, err = s.registry.ReceiveSource(ctx, body)
	if body.broken != nil {
		return "", body.broken
	}
	return sha256, err
}

// contents is the piece of source that a message holds.
func contents(msg *packagesv1.CreatePackageRequest) ([]byte, error) {
	if _, ok := msg.GetPackage().(*packagesv1.CreatePackageRequest_Contents); !ok {
		return nil, outOfOrder("contents", "send nothing but contents behind the package's info")
	}
	return msg.GetContents(), nil
}

// getSource sends the source of a job to the worker that holds it.
func (s *server) getSource(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkWorker(r.Header); err != nil {
		return err
	}
	_, build, err := s.farm.Held(r.Context(), farm.LeaseRef{JobID: r.PathValue("job"), Token: r.Header.Get(wire.HeaderLease)})
	if err != nil {
		return err
	}
	if !build.Uploaded() {
		return module.Fault{Path: "job", Value: r.PathValue("job"), Problem: "its build is of a repository", Advice: "fetch that"}
	}
	return s.serveSource(w, r, build.Commit)
}

// getBuildSource sends the source of a build to a caller who may read the build, to run it again elsewhere.
func (s *server) getBuildSource(w http.ResponseWriter, r *http.Request) error {
	p, err := s.authenticated(r)
	if err != nil {
		return err
	}
	if err := p.Require(account.RoleReader); err != nil {
		return err
	}
	build, err := s.ownBuild(r.Context(), p, r.PathValue("build"))
	if err != nil {
		return err
	}
	if !build.Uploaded() {
		return module.Fault{Path: "build", Value: build.ID, Problem: "not of uploaded source, but of " + build.Repo, Advice: "fetch commit " + build.Commit + " there"}
	}
	return s.serveSource(w, r, build.Commit)
}

// serveSource sends uploaded source by its digest.
func (s *server) serveSource(w http.ResponseWriter, r *http.Request, digest string) error {
	object, err := s.registry.OpenSource(r.Context(), digest)
	if err != nil {
		return err
	}
	defer object.Close()
	h := w.Header()
	h.Set("Content-Type", wire.TypeArchive)
	h.Set(wire.HeaderSHA256, digest)
	h.Set("ETag", `"`+digest+`"`)
	h.Set("Cache-Control", "no-store")
	http.ServeContent(w, r, "", object.ModTime, object.Content)
	return nil
}
