package api_test

import (
	"bytes"
	"net/http"
	"testing"

	"connectrpc.com/connect"

	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"
	"github.com/modfarm/modfarm/proto/wire"
)

// An archive comes whole in messages of any size, in every protocol and encoding, compressed or not.
func TestUploadInPiecesOfAnySize(t *testing.T) {
	t.Parallel()
	u := newUploader(t)
	token := loggedIn(t, u.farm, u.keyID, u.key).token
	file := bigArchive(t, 2_000_000)
	for version, tt := range map[string]struct {
		options []connect.ClientOption
		sizes   []int
	}{
		"1.0.0": {[]connect.ClientOption{connect.WithGRPC()}, []int{0, 1, 32 << 10, 100_003, 300_000, 700_000}},
		"1.0.1": {[]connect.ClientOption{connect.WithGRPC(), connect.WithSendGzip()}, []int{65_537, 0, 262_145}},
		"1.0.2": {[]connect.ClientOption{connect.WithGRPCWeb()}, []int{50_000}},
		"1.0.3": {nil, []int{300_000, 1, 77_777}},
		"1.0.4": {[]connect.ClientOption{connect.WithProtoJSON()}, []int{400_000, 0, 33_333}},
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ctx, call := connect.NewClientContext(t.Context())
			call.RequestHeader().Set("Authorization", "Bearer "+token)
			stream, err := appv1connect.NewAppServiceClient(http.DefaultClient, u.farm.URL, tt.options...).UploadModuleFile(ctx)
			if err != nil {
				t.Fatal(err)
			}
			info := &appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: version, Platform: "linux/amd64"}
			err = stream.Send(&appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_ModuleFileInfo{ModuleFileInfo: info}})
			for i, rest := 0, file; err == nil && len(rest) > 0; i++ {
				n := min(len(rest), tt.sizes[i%len(tt.sizes)])
				msg := &appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_File{File: rest[:n]}}
				if i%7 == 6 {
					msg, n = &appv1.UploadModuleFileRequest{}, 0 // nothing at all
				}
				err = stream.Send(msg)
				rest = rest[n:]
			}
			if _, rerr := stream.CloseAndReceive(); err != nil || rerr != nil {
				t.Fatal(err, rerr)
			}
			_, got := u.do(http.MethodGet, wire.DownloadPath("acme/widget", version+"-linux-amd64"), nil)
			if !bytes.Equal([]byte(got), file) {
				t.Errorf("downloaded %d bytes of %d, or others", len(got), len(file))
			}
		})
	}
}
