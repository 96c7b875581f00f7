package wire_test

import (
	"net/http"
	"testing"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/proto/wire"
)

// TestKindsComeBack holds that the other end reads the kind that was sent, by both roads.
func TestKindsComeBack(t *testing.T) {
	t.Parallel()
	for kind := wire.KindInternal; kind <= wire.KindTimeout; kind++ {
		if got := wire.KindOfCode(kind.Code()); got != kind {
			t.Errorf("kind %d by code %s is %d", kind, kind.Code(), got)
		}
		if got := wire.KindOfStatus(kind.Status()); got != kind {
			t.Errorf("kind %d by status %d is %d", kind, kind.Status(), got)
		}
	}
}

// TestForeignCodes are those that only libraries and proxies send.
func TestForeignCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[connect.Code]wire.Kind{
		connect.CodeUnknown: wire.KindInternal, connect.CodeDataLoss: wire.KindInternal,
		connect.CodeResourceExhausted: wire.KindInvalid, connect.CodeFailedPrecondition: wire.KindConflict,
	} {
		if got := wire.KindOfCode(code); got != want {
			t.Errorf("%s is %d, want %d", code, got, want)
		}
	}
	for status, want := range map[int]wire.Kind{
		http.StatusBadGateway: wire.KindUnavailable, http.StatusTooManyRequests: wire.KindUnavailable,
		http.StatusRequestEntityTooLarge: wire.KindInvalid, http.StatusInsufficientStorage: wire.KindInternal,
	} {
		if got := wire.KindOfStatus(status); got != want {
			t.Errorf("status %d is %d, want %d", status, got, want)
		}
	}
}

// TestPaths holds that addresses are stable: machines resume by them.
func TestPaths(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		wire.DownloadPath("acme/widget", "1.2.3+a.b-linux-amd64"): "/api/v1/packages/acme/widget/1.2.3+a.b-linux-amd64.tar.gz",
		wire.FinishPath("a/b"): "/api/v1/uploads/a%2Fb/finish", wire.BuildSourcePath("a/b"): "/api/v1/builds/a%2Fb/source",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
