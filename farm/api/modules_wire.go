package api

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// moduleTo is a module as clients see it. Long texts are only sent when asked for.
func moduleTo(m registry.Module, versions []registry.Version, usage registry.Usage, docs bool) *appv1.Module {
	out := &appv1.Module{
		ModuleId: m.ID().String(), Name: m.Name, Visibility: visibilityTo(m.Visibility),
		Url: m.Metadata.URL, Description: m.Metadata.Description, Models: modelsTo(m.Metadata.Models, docs),
		OrganizationId: m.OrgID, Entrypoint: m.Metadata.Entrypoint, PublicNamespace: m.Namespace,
		FirstRun: optional(m.Metadata.FirstRun), Apps: appsTo(m.Metadata.Apps),
		TotalRobotUsage: int64(usage.Machines), TotalOrganizationUsage: int64(usage.Orgs),
		DeprecatedStatus: deprecatedTo(m.Deprecated),
	}
	if docs {
		out.MarkdownDescription = optional(m.Metadata.Markdown)
	}
	for _, v := range versions {
		out.Versions = append(out.Versions, versionTo(v, docs))
	}
	return out
}

func versionTo(v registry.Version, docs bool) *appv1.VersionHistory {
	out := &appv1.VersionHistory{
		Version: v.Version.String(), Models: modelsTo(v.Metadata.Models, docs), Entrypoint: v.Metadata.Entrypoint,
		FirstRun: optional(v.Metadata.FirstRun), Apps: appsTo(v.Metadata.Apps), Files: filesTo(v.Files),
		DeprecatedStatus: deprecatedTo(v.Deprecated),
	}
	if docs {
		out.MarkdownDescription = optional(v.Metadata.Markdown)
	}
	return out
}

func deprecatedTo(d registry.Deprecation) *appv1.DeprecatedStatus {
	if d.IsZero() {
		return nil
	}
	return &appv1.DeprecatedStatus{DeprecatedAt: timestamppb.New(d.At), Message: d.Why}
}

func filesTo(files []registry.File) []*appv1.Uploads {
	var out []*appv1.Uploads
	seen := map[module.Platform]bool{} // tagged uploads of one platform are one entry to clients
	for _, f := range files {
		if seen[f.Platform] {
			continue
		}
		seen[f.Platform] = true
		out = append(out, &appv1.Uploads{Platform: f.Platform.String(), UploadedAt: timestamppb.New(f.UploadedAt)})
	}
	return out
}

func modelsTo(models []registry.Model, docs bool) []*appv1.Model {
	var out []*appv1.Model
	for _, m := range models {
		p := &appv1.Model{Api: m.API, Model: m.Model, Description: optional(m.Description), SupportedHardware: m.SupportedHardware}
		if docs {
			p.MarkdownDocumentation = optional(m.Markdown)
		}
		out = append(out, p)
	}
	return out
}

func modelsFrom(models []*appv1.Model) []registry.Model {
	var out []registry.Model
	for _, p := range models {
		out = append(out, registry.Model{
			API: p.GetApi(), Model: p.GetModel(), Description: p.GetDescription(),
			Markdown: p.GetMarkdownDocumentation(), SupportedHardware: p.GetSupportedHardware(),
		})
	}
	return out
}

func appsTo(apps []registry.App) []*appv1.App {
	var out []*appv1.App
	for _, a := range apps {
		p := &appv1.App{
			Name: a.Name, Type: a.Type, Entrypoint: a.Entrypoint,
			FragmentIds: a.FragmentIDs, LogoPath: optional(a.LogoPath),
		}
		if a.AllowedOrgIDs != nil {
			p.AllowedOrgIds = &appv1.AllowedOrgIDs{Ids: a.AllowedOrgIDs}
		}
		if a.Heading != "" || a.Subheading != "" {
			p.Customizations = &appv1.AppCustomizations{MachinePicker: &appv1.MachinePickerCustomizations{
				Heading: optional(a.Heading), Subheading: optional(a.Subheading),
			}}
		}
		out = append(out, p)
	}
	return out
}

func appsFrom(apps []*appv1.App) []registry.App {
	var out []registry.App
	for _, p := range apps {
		picker := p.GetCustomizations().GetMachinePicker()
		out = append(out, registry.App{
			Name: p.GetName(), Type: p.GetType(), Entrypoint: p.GetEntrypoint(), LogoPath: p.GetLogoPath(),
			FragmentIDs: p.GetFragmentIds(), AllowedOrgIDs: p.GetAllowedOrgIds().GetIds(),
			Heading: picker.GetHeading(), Subheading: picker.GetSubheading(),
		})
	}
	return out
}

func visibilityTo(v module.Visibility) appv1.Visibility {
	switch v {
	case module.VisibilityPublic:
		return appv1.Visibility_VISIBILITY_PUBLIC
	case module.VisibilityPublicUnlisted:
		return appv1.Visibility_VISIBILITY_PUBLIC_UNLISTED
	case module.VisibilityPrivate:
		return appv1.Visibility_VISIBILITY_PRIVATE
	}
	return appv1.Visibility_VISIBILITY_PRIVATE
}

// visibilityFrom is empty, which changes nothing, for an unset visibility, and what nobody accepts
// for one from the future.
func visibilityFrom(v appv1.Visibility) module.Visibility {
	switch v {
	case appv1.Visibility_VISIBILITY_UNSPECIFIED:
		return ""
	case appv1.Visibility_VISIBILITY_PRIVATE:
		return module.VisibilityPrivate
	case appv1.Visibility_VISIBILITY_PUBLIC:
		return module.VisibilityPublic
	case appv1.Visibility_VISIBILITY_PUBLIC_UNLISTED:
		return module.VisibilityPublicUnlisted
	}
	return module.Visibility(v.String())
}

// optional leaves empty strings out.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
