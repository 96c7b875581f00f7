package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

func items(c *foreign, req *appv1.ListRegistryItemsRequest) []string {
	c.t.Helper()
	var res appv1.ListRegistryItemsResponse
	c.must(appService+"ListRegistryItems", req, &res)
	var ids []string
	for _, item := range res.GetItems() {
		ids = append(ids, item.GetItemId())
	}
	return ids
}

func TestRegistryItems(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	if _, _, err := c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.0.0", Platform: "linux/amd64"}, bigArchive(t, 1000)); err != nil {
		t.Fatal(err)
	}
	_, keyID, key := f.AddOrg(t, "Other", "other", account.RoleOwner)
	o := loggedIn(t, f, keyID, key)
	wantCode(t, o.call(appService+"GetRegistryItem", &appv1.GetRegistryItemRequest{ItemId: "acme:widget"}, &appv1.GetRegistryItemResponse{}), codes.NotFound)
	if got := items(o, &appv1.ListRegistryItemsRequest{}); len(got) != 0 {
		t.Errorf("others list %q", got)
	}

	// What the request does not carry stays.
	c.must(appService+"UpdateRegistryItem", &appv1.UpdateRegistryItemRequest{
		ItemId: "acme:widget", Type: packagesv1.PackageType_PACKAGE_TYPE_MODULE, Description: "Reads a gauge", Visibility: appv1.Visibility_VISIBILITY_PUBLIC,
		MarkdownDescription: new("# Widget"),
	}, &appv1.UpdateRegistryItemResponse{})
	var got appv1.GetRegistryItemResponse
	o.must(appService+"GetRegistryItem", &appv1.GetRegistryItemRequest{ItemId: "acme:widget", IncludeMarkdownDocumentation: new(true)}, &got)
	item := got.GetItem()
	meta := item.GetModuleMetadata()
	said := []string{
		item.GetItemId(), item.GetOrganizationId(), item.GetPublicNamespace(), item.GetName(), item.GetType().String(), item.GetVisibility().String(),
		item.GetDescription(), meta.GetEntrypoint(), meta.GetMarkdownDescription(), meta.GetModels()[0].GetModel(),
		meta.GetVersions()[0].GetVersion(), meta.GetVersions()[0].GetFiles()[0].GetPlatform(),
	}
	want := []string{
		"acme:widget", f.Org.ID, "acme", "widget", "PACKAGE_TYPE_MODULE", "VISIBILITY_PUBLIC", "Reads a gauge", "run.sh", "# Widget", "acme:weather:indoor",
		"1.0.0", "linux/amd64",
	}
	if diff := cmp.Diff(want, said); diff != "" || item.GetCreatedAt() == nil || item.GetUpdatedAt() == nil {
		t.Errorf("item (-want +got):\n%s", diff)
	}
	c.must(appService+"UpdateRegistryItem", &appv1.UpdateRegistryItemRequest{
		ItemId: "acme:widget", Description: "Reads a gauge",
		Metadata: &appv1.UpdateRegistryItemRequest_UpdateModuleMetadata{UpdateModuleMetadata: &appv1.UpdateModuleMetadata{
			Entrypoint: "bin/run", Language: appv1.ModuleLanguage_MODULE_LANGUAGE_GOLANG.Enum(), MinViamServerVersion: new("0.50.0"),
		}},
	}, &appv1.UpdateRegistryItemResponse{})

	one, public := []string{"acme:widget"}, []appv1.Visibility{appv1.Visibility_VISIBILITY_PUBLIC}
	for name, tt := range map[string]struct {
		req  *appv1.ListRegistryItemsRequest
		want []string
	}{
		"a word":                {&appv1.ListRegistryItemsRequest{SearchTerm: new("gauge")}, one},
		"a word that is not":    {&appv1.ListRegistryItemsRequest{SearchTerm: new("weather")}, nil}, // its models went
		"modules":               {&appv1.ListRegistryItemsRequest{Types: []packagesv1.PackageType{packagesv1.PackageType_PACKAGE_TYPE_MODULE}}, one},
		"other things":          {&appv1.ListRegistryItemsRequest{Types: []packagesv1.PackageType{packagesv1.PackageType_PACKAGE_TYPE_ML_MODEL}}, nil},
		"public":                {&appv1.ListRegistryItemsRequest{Visibilities: public, PublicNamespaces: []string{"acme"}}, one},
		"platform":              {&appv1.ListRegistryItemsRequest{Platforms: []string{"linux/amd64"}}, one},
		"another platform":      {&appv1.ListRegistryItemsRequest{Platforms: []string{"linux/arm64"}}, nil},
		"published":             {&appv1.ListRegistryItemsRequest{Statuses: []appv1.RegistryItemStatus{appv1.RegistryItemStatus_REGISTRY_ITEM_STATUS_PUBLISHED}}, one},
		"in development":        {&appv1.ListRegistryItemsRequest{Statuses: []appv1.RegistryItemStatus{appv1.RegistryItemStatus_REGISTRY_ITEM_STATUS_IN_DEVELOPMENT}}, nil},
		"language":              {&appv1.ListRegistryItemsRequest{ModuleLanguages: []appv1.ModuleLanguage{appv1.ModuleLanguage_MODULE_LANGUAGE_GOLANG}}, one},
		"behind the last":       {&appv1.ListRegistryItemsRequest{PageToken: new("acme:widget")}, nil},
		"organization":          {&appv1.ListRegistryItemsRequest{OrganizationId: new(f.Org.ID)}, one},
		"unknown organization":  {&appv1.ListRegistryItemsRequest{OrganizationId: new("nobody")}, nil},
		"everything, unlimited": {&appv1.ListRegistryItemsRequest{}, one},
	} {
		if diff := cmp.Diff(tt.want, items(o, tt.req)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	// An update by meta.json leaves what meta.json has no words for.
	c.must(appService+"UpdateModule", &appv1.UpdateModuleRequest{ModuleId: "acme:widget", Entrypoint: "run.sh", Description: "Reads"}, &appv1.UpdateModuleResponse{})
	c.must(registryService+"DeprecateModule", &modfarmv1.DeprecateModuleRequest{ModuleId: "acme:widget", Message: "use acme:gadget"}, &modfarmv1.DeprecateModuleResponse{})
	c.must(appService+"GetRegistryItem", &appv1.GetRegistryItemRequest{ItemId: "acme:widget"}, &got)
	meta = got.GetItem().GetModuleMetadata()
	if meta.GetLanguage() != appv1.ModuleLanguage_MODULE_LANGUAGE_GOLANG || meta.GetMinViamServerVersion() != "0.50.0" || meta.MarkdownDescription != nil {
		t.Errorf("metadata %v", meta)
	}
	if got.GetItem().GetDeprecatedStatus().GetMessage() != "use acme:gadget" {
		t.Errorf("status %v", got.GetItem().GetDeprecatedStatus())
	}
	if got := items(c, &appv1.ListRegistryItemsRequest{}); len(got) != 0 {
		t.Errorf("a deprecated module is listed: %q", got)
	}
	if got := items(c, &appv1.ListRegistryItemsRequest{ShowOwnedDeprecated: new(true)}); len(got) != 1 {
		t.Errorf("its owner does not list it: %q", got)
	}
}

func TestRegistryItemsRefuse(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	_, keyID, key := f.AddOrg(t, "Plain", "", account.RoleOwner)
	o := loggedIn(t, f, keyID, key)
	readerID, readerKey := f.AddKey(t, f.Org.ID, account.RoleReader)
	reader := loggedIn(t, f, readerID, readerKey)
	for name, tt := range map[string]struct {
		c    *foreign
		call string
		req  proto.Message
		code codes.Code
		says []string
	}{
		"a platform that does not exist": {c, "ListRegistryItems", &appv1.ListRegistryItemsRequest{Platforms: []string{"linux/amd64", "linux/x86_64"}}, codes.InvalidArgument, []string{"platforms[1]", "linux/x86_64", "write linux/amd64"}},
		"a page that is none":            {c, "ListRegistryItems", &appv1.ListRegistryItemsRequest{PageToken: new("3")}, codes.InvalidArgument, []string{"page_token", `"3"`, "item_id of the last item"}},
		"a term without words":           {c, "ListRegistryItems", &appv1.ListRegistryItemsRequest{SearchTerm: new("***")}, codes.InvalidArgument, []string{"search_term", "***", "search for words"}},
		"an id without a colon":          {c, "GetRegistryItem", &appv1.GetRegistryItemRequest{ItemId: "widget"}, codes.InvalidArgument, []string{"item_id", "widget", "acme:widget"}},
		"an id with look-alikes":         {c, "GetRegistryItem", &appv1.GetRegistryItemRequest{ItemId: "аcme:widget"}, codes.InvalidArgument, []string{"item_id", "letters, digits"}},
		"another kind":                   {c, "UpdateRegistryItem", &appv1.UpdateRegistryItemRequest{ItemId: "acme:widget", Type: packagesv1.PackageType_PACKAGE_TYPE_ML_MODEL}, codes.InvalidArgument, []string{"type", "PACKAGE_TYPE_ML_MODEL", "PACKAGE_TYPE_MODULE"}},
		"another kind of metadata":       {c, "UpdateRegistryItem", &appv1.UpdateRegistryItemRequest{ItemId: "acme:widget", Metadata: &appv1.UpdateRegistryItemRequest_UpdateMlModelMetadata{}}, codes.InvalidArgument, []string{"metadata", "update_module_metadata"}},
		"another organization's":         {o, "UpdateRegistryItem", &appv1.UpdateRegistryItemRequest{ItemId: "acme:widget"}, codes.NotFound, []string{"acme:widget", "check the id"}},
		"a reader":                       {reader, "UpdateRegistryItem", &appv1.UpdateRegistryItemRequest{ItemId: "acme:widget"}, codes.PermissionDenied, []string{"reader", "publisher"}},
	} {
		err := tt.c.call(appService+tt.call, tt.req, &appv1.UpdateRegistryItemResponse{})
		wantCode(t, err, tt.code)
		for _, text := range tt.says {
			if !strings.Contains(fmt.Sprint(err), text) {
				t.Errorf("%s: %v does not say %q", name, err, text)
			}
		}
	}
}
