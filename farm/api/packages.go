package api

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1/packagesv1connect"
	"github.com/modfarm/modfarm/proto/wire"
)

// packageService finds archives to download. What is not written here is Unimplemented.
type packageService struct {
	packagesv1connect.UnimplementedPackageServiceHandler
	*server
}

// GetPackage finds one archive and says where to download it.
func (s packageService) GetPackage(ctx context.Context, req *packagesv1.GetPackageRequest) (*packagesv1.GetPackageResponse, error) {
	p, err := caller(ctx, account.RoleMachine)
	if err != nil {
		return nil, err
	}
	query, err := queryFrom(p, req)
	if err != nil {
		return nil, err
	}
	rel, err := s.registry.Lookup(ctx, viewer(p), query)
	if err != nil {
		return nil, err
	}
	return &packagesv1.GetPackageResponse{Package: s.packageTo(ctx, rel, req.GetIncludeUrl())}, nil
}

// ListPackages lists the packages of the caller's organization: one for each upload of its modules.
func (s packageService) ListPackages(ctx context.Context, req *packagesv1.ListPackagesRequest) (*packagesv1.ListPackagesResponse, error) {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	if org := req.GetOrganizationId(); org != "" {
		if err := ownOrg(p, org); err != nil {
			return nil, err
		}
	}
	res := &packagesv1.ListPackagesResponse{}
	if !isModule(req.GetType()) {
		return res, nil
	}
	releases, err := s.registry.Packages(ctx, p.Org.ID, req.GetName())
	if err != nil {
		return nil, err
	}
	for _, rel := range releases {
		if v := req.GetVersion(); v == "" || v == rel.Version.String() || v == registry.PackageVersion(rel) {
			res.Packages = append(res.Packages, s.packageTo(ctx, rel, req.GetIncludeUrl()))
		}
	}
	return res, nil
}

// DeletePackage deletes one upload of a module, or a version when the version names no platform; or source
// that was uploaded as an archive, which goes by itself after a week.
func (s packageService) DeletePackage(ctx context.Context, req *packagesv1.DeletePackageRequest) (*packagesv1.DeletePackageResponse, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	switch t := req.GetType(); {
	case isModule(t):
		err = s.registry.DeletePackage(ctx, p.Org.ID, req.GetId(), req.GetVersion(), actor(p))
	case t == packagesv1.PackageType_PACKAGE_TYPE_ARCHIVE:
		err = s.deleteSource(ctx, p, req)
	default:
		err = module.Fault{Path: "type", Value: t.String(), Problem: "not a kind of package that this farm keeps", Advice: "name a module or an archive"}
	}
	if err != nil {
		return nil, err
	}
	return &packagesv1.DeletePackageResponse{}, nil
}

func (s packageService) deleteSource(ctx context.Context, p account.Principal, req *packagesv1.DeletePackageRequest) error {
	id, err := module.ParsePackageID(req.GetId())
	if err != nil {
		return at("id", err)
	}
	if id.Namespace != p.Org.Prefix() && id.Namespace != p.Org.ID {
		return fmt.Errorf("%w: package %q; your organization's begin with %s/", module.ErrNotFound, req.GetId(), p.Org.Prefix())
	}
	return s.registry.DeleteSourcePackage(ctx, p.Org.ID, id.Name, req.GetVersion())
}

func queryFrom(p account.Principal, req *packagesv1.GetPackageRequest) (registry.Query, error) {
	switch t := req.GetType(); t {
	case packagesv1.PackageType_PACKAGE_TYPE_UNSPECIFIED, packagesv1.PackageType_PACKAGE_TYPE_MODULE:
	default:
		return registry.Query{}, module.Fault{Path: "type", Value: t.String(), Problem: "not a kind of package that this farm keeps", Advice: "ask for modules"}
	}
	q := registry.Query{Package: req.GetId(), Version: req.GetVersion()}
	if strings.HasPrefix(q.Package, "/") { // some commands do not know their organization
		q.Package = p.Org.Prefix() + q.Package
	}
	if s := req.GetPlatform(); s != "" {
		platform, err := module.ParsePlatform(s)
		if err != nil {
			return registry.Query{}, at("platform", err)
		}
		q.Platform = platform
	}
	return q, nil
}

func (s packageService) packageTo(ctx context.Context, rel module.Release, withURL bool) *packagesv1.Package {
	version, platform := registry.PackageVersion(rel), rel.Platform.String()
	out := &packagesv1.Package{
		Id: rel.ID.PackageID(), Checksum: rel.SHA256, CreatedOn: timestamppb.New(rel.PublishedAt),
		Info: &packagesv1.PackageInfo{
			Name: rel.ID.Name, Version: version, Type: packagesv1.PackageType_PACKAGE_TYPE_MODULE, Platform: &platform,
			Files: []*packagesv1.FileInfo{{Name: fileName(rel), Size: uint64(max(rel.Size, 0))}}, //nolint:gosec // not negative
		},
	}
	if withURL {
		out.Url = s.address(ctx, wire.DownloadPath(rel.ID.PackageID(), version))
	}
	return out
}

// fileName is what a browser saves a download as.
func fileName(rel module.Release) string {
	return rel.ID.Namespace + "-" + rel.ID.Name + "-" + registry.PackageVersion(rel) + wire.ArchiveSuffix
}
