package api

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// UploadModuleFile publishes an archive that somebody built elsewhere. The first message is judged
// before a byte is taken, as clients send until they are stopped.
func (a appService) UploadModuleFile(ctx context.Context, stream *connect.ClientStream[appv1.UploadModuleFileRequest]) (*appv1.UploadModuleFileResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	rel, m, err := a.uploadTarget(ctx, p, stream)
	if err != nil {
		return nil, err
	}
	body := &bodyReader{from: newPieceReader(stream.Conn())}
	report, err := a.registry.Receive(ctx, body, archive.Expect{
		Entrypoint: m.Metadata.Entrypoint, Platform: rel.Platform, FirstRun: m.Metadata.FirstRun,
		LenientEntrypoint: true, // stock clients checked it, unless they were told not to
	})
	if body.broken != nil {
		return nil, body.broken
	}
	if err != nil {
		return nil, err
	}
	fillFrom(&rel, report)
	if err := a.registry.Publish(ctx, []module.Release{rel}); err != nil {
		return nil, err
	}
	path := wire.DownloadPath(rel.ID.PackageID(), registry.PackageVersion(rel))
	return &appv1.UploadModuleFileResponse{Url: a.address(ctx, path)}, nil
}

// uploadTarget reads the first message and says what would be published, and whether it may.
func (a appService) uploadTarget(ctx context.Context, p account.Principal, stream *connect.ClientStream[appv1.UploadModuleFileRequest]) (module.Release, registry.Module, error) {
	var none registry.Module
	if err := expect(stream, "module_file_info", adviceFirst); err != nil {
		return module.Release{}, none, err
	}
	info := stream.Msg().GetModuleFileInfo()
	if info == nil {
		return module.Release{}, none, outOfOrder("module_file_info", adviceFirst)
	}
	rel, err := releaseFrom(info)
	if err != nil {
		return module.Release{}, none, err
	}
	m, err := a.registry.OwnModule(ctx, p.Org.ID, rel.ID)
	if err != nil {
		return module.Release{}, none, err
	}
	rel.ID, rel.Entrypoint = m.ID(), m.Metadata.Entrypoint
	return rel, m, nil
}

// releaseFrom checks everything in the first message at once.
func releaseFrom(info *appv1.ModuleFileInfo) (module.Release, error) {
	var faults module.Faults
	collect := func(err error) {
		if fault, ok := errors.AsType[module.Fault](err); ok {
			faults = append(faults, fault)
		} else if err != nil {
			faults = append(faults, module.Fault{Problem: err.Error()})
		}
	}
	id, err := moduleID(info.GetModuleId())
	collect(err)
	version, err := module.ParseVersion(info.GetVersion())
	collect(at("version", err))
	platform, err := module.ParsePlatform(info.GetPlatform())
	collect(at("platform", err))
	if err == nil && platform.String() != info.GetPlatform() {
		collect(module.Fault{Path: "platform", Value: info.GetPlatform(), Problem: "not how the registry spells it", Advice: "write " + platform.String()})
	}
	faults = append(faults, registry.CheckTags("platform_tags", info.GetPlatformTags())...)
	return module.Release{ID: id, Version: version, Platform: platform, Tags: registry.SortedTags(info.GetPlatformTags())}, faults.Err()
}

// fillFrom puts on a release what the inspection found.
func fillFrom(rel *module.Release, r *archive.Report) {
	rel.Size, rel.SHA256, rel.TarSHA256, rel.CRC32C, rel.Warnings = r.Size, r.SHA256, r.TarSHA256, r.CRC32C, r.Warnings
}
