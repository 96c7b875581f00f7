package api

import (
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// itemTo is a module as people look at it. Long texts are only sent when asked for.
func itemTo(f registry.Found, docs bool) *appv1.RegistryItem {
	meta := f.Metadata
	out := &appv1.ModuleMetadata{
		Models: modelsTo(meta.Models, docs), Entrypoint: meta.Entrypoint, FirstRun: optional(meta.FirstRun), Apps: appsTo(meta.Apps),
		MinViamServerVersion: optional(meta.MinServerVersion),
	}
	if docs {
		out.MarkdownDescription = optional(meta.Markdown)
	}
	if l := languageTo(meta.Language); l != appv1.ModuleLanguage_MODULE_LANGUAGE_UNSPECIFIED {
		out.Language = &l
	}
	if t := sourceTypeTo(meta.SourceType); t != appv1.ModuleSourceType_MODULE_SOURCE_TYPE_UNSPECIFIED {
		out.SourceType = &t
	}
	for _, v := range f.Versions {
		out.Versions = append(out.Versions, itemVersionTo(v, docs))
	}
	return &appv1.RegistryItem{
		ItemId: f.ID().String(), OrganizationId: f.OrgID, PublicNamespace: f.Namespace, Name: f.Name,
		Type: packagesv1.PackageType_PACKAGE_TYPE_MODULE, Visibility: visibilityTo(f.Visibility), Url: meta.URL, Description: meta.Description,
		TotalRobotUsage: int64(f.Usage.Machines), TotalExternalRobotUsage: int64(f.Usage.OtherMachines),
		TotalOrganizationUsage: int64(f.Usage.Orgs), TotalExternalOrganizationUsage: int64(f.Usage.OtherOrgs),
		Metadata:  &appv1.RegistryItem_ModuleMetadata{ModuleMetadata: out},
		CreatedAt: timestamppb.New(f.CreatedAt), UpdatedAt: timestamppb.New(f.UpdatedAt), DeprecatedStatus: deprecatedTo(f.Deprecated),
	}
}

func itemVersionTo(v registry.Version, docs bool) *appv1.ModuleVersion {
	h := versionTo(v, docs)
	return &appv1.ModuleVersion{
		Version: h.GetVersion(), Files: h.GetFiles(), Models: h.GetModels(), Entrypoint: h.GetEntrypoint(), FirstRun: h.FirstRun,
		MarkdownDescription: h.MarkdownDescription, Apps: h.GetApps(), DeprecatedStatus: h.GetDeprecatedStatus(),
		MinViamServerVersion: optional(v.Metadata.MinServerVersion),
	}
}

// languageTo and languageFrom know the same languages; what they do not know is unset.
func languageTo(s string) appv1.ModuleLanguage {
	for _, l := range []appv1.ModuleLanguage{
		appv1.ModuleLanguage_MODULE_LANGUAGE_GOLANG, appv1.ModuleLanguage_MODULE_LANGUAGE_PYTHON, appv1.ModuleLanguage_MODULE_LANGUAGE_CPP,
	} {
		if languageFrom(l) == s {
			return l
		}
	}
	return appv1.ModuleLanguage_MODULE_LANGUAGE_UNSPECIFIED
}

func languageFrom(l appv1.ModuleLanguage) string {
	switch l {
	case appv1.ModuleLanguage_MODULE_LANGUAGE_GOLANG:
		return "golang"
	case appv1.ModuleLanguage_MODULE_LANGUAGE_PYTHON:
		return "python"
	case appv1.ModuleLanguage_MODULE_LANGUAGE_CPP:
		return "cpp"
	case appv1.ModuleLanguage_MODULE_LANGUAGE_UNSPECIFIED:
	}
	return ""
}

func sourceTypeTo(s string) appv1.ModuleSourceType {
	for _, t := range []appv1.ModuleSourceType{
		appv1.ModuleSourceType_MODULE_SOURCE_TYPE_EXTERNAL, appv1.ModuleSourceType_MODULE_SOURCE_TYPE_VIAM_HOSTED,
	} {
		if sourceTypeFrom(t) == s {
			return t
		}
	}
	return appv1.ModuleSourceType_MODULE_SOURCE_TYPE_UNSPECIFIED
}

func sourceTypeFrom(t appv1.ModuleSourceType) string {
	switch t {
	case appv1.ModuleSourceType_MODULE_SOURCE_TYPE_EXTERNAL:
		return "external"
	case appv1.ModuleSourceType_MODULE_SOURCE_TYPE_VIAM_HOSTED:
		return "viam_hosted"
	case appv1.ModuleSourceType_MODULE_SOURCE_TYPE_UNSPECIFIED:
	}
	return ""
}

// faultList collects what several parsers say.
type faultList struct{ module.Faults }

// add adds a parser's error; nil adds nothing.
func (l *faultList) add(err error) {
	if err == nil {
		return
	}
	fault, ok := err.(module.Fault) //nolint:errorlint // parsers return the bare Fault
	if !ok {
		fault = module.Fault{Problem: err.Error()}
	}
	l.Faults = append(l.Faults, fault)
}

func indexed(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
