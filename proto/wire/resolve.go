package wire

import (
	"net/url"
	"time"
)

// PathResolve is where machines ask which upload they get.
const PathResolve = "/api/v1/resolve/"

// The query of PathResolve. ParamTag may be there several times.
const (
	ParamSelector = "version"
	ParamPlatform = "platform"
	ParamTag      = "tag"
	ParamExplain  = "explain"
)

// ResolvePath is what to GET: packageID is "acme/widget".
func ResolvePath(packageID string, query url.Values) string {
	return (&url.URL{Path: PathResolve + packageID, RawQuery: query.Encode()}).String()
}

// Resolution is the JSON body that answers PathResolve. Names are added, and never change.
type Resolution struct {
	Module string `json:"module"`
	// Selector, Platform and Tags are what was asked for.
	Selector string   `json:"selector"`
	Platform string   `json:"platform"`
	Tags     []string `json:"tags"`
	// Upload is nil when nothing fits, which only an answer with Candidates says this way.
	Upload *ResolvedUpload `json:"upload"`
	// Reason is why nothing fits.
	Reason string `json:"reason,omitempty"`
	// Warnings are what to know before using the upload.
	Warnings []string `json:"warnings,omitempty"`
	// Candidates are there when an explanation was asked for.
	Candidates []ResolveCandidate `json:"candidates,omitempty"`
}

// ResolvedUpload is what a machine gets.
type ResolvedUpload struct {
	Version  string   `json:"version"`
	Platform string   `json:"platform"`
	Tags     []string `json:"tags"`
	// PackageID and PackageVersion are what the packages of a machine's configuration call it.
	PackageID      string `json:"package_id"`
	PackageVersion string `json:"package_version"`
	// URL is where it downloads.
	URL string `json:"url"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is the hex digest of the file.
	SHA256      string    `json:"sha256"`
	Entrypoint  string    `json:"entrypoint"`
	Commit      string    `json:"commit,omitempty"`
	PublishedAt time.Time `json:"published_at"`
}

// ResolveCandidate is an upload of the module with the verdict on it.
type ResolveCandidate struct {
	Version  string   `json:"version"`
	Platform string   `json:"platform"`
	Tags     []string `json:"tags"`
	// Refused is version, prerelease, deprecated, platform, tags or outranked, and
	// empty for the one that was taken.
	Refused string `json:"refused,omitempty"`
	// Reason is one sentence.
	Reason string `json:"reason,omitempty"`
}
