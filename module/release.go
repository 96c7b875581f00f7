package module

import (
	"encoding/json"
	"time"
)

// Release is one published archive: what the registry stores and a machine installs.
// Nothing in it ever changes after publishing.
type Release struct {
	// ID is the module.
	ID ID `json:"id"`
	// Version is never the zero Version in a published Release.
	Version Version `json:"version"`
	// Platform is where the archive runs; wildcards are possible for uploads.
	Platform Platform `json:"platform"`
	// Tags narrow the machines the archive fits, as "distro:debian"; sorted.
	Tags []string `json:"tags,omitempty"`
	// Commit is the full git commit it was built from; empty for uploads.
	Commit string `json:"commit,omitempty"`
	// BuildID is the build that made it; empty for uploads.
	BuildID string `json:"build_id,omitempty"`
	// Strategy is how it was built; empty for uploads.
	Strategy Strategy `json:"strategy,omitempty"`
	// Size is the size of the compressed archive in bytes.
	Size int64 `json:"size"`
	// SHA256 is the digest of the compressed archive in lower-case hex.
	SHA256 string `json:"sha256"`
	// TarSHA256 is the digest of the uncompressed tar stream in lower-case hex.
	TarSHA256 string `json:"tar_sha256"`
	// CRC32C is the Castagnoli checksum of the compressed archive.
	CRC32C uint32 `json:"crc32c"`
	// Entrypoint is the program within the archive, relative and slash-separated.
	Entrypoint string `json:"entrypoint"`
	// Manifest is the meta.json that the release was published with, as JSON.
	Manifest json.RawMessage `json:"manifest,omitempty"`
	// Warnings are what the inspection found worth saying but not refusing.
	Warnings []string `json:"warnings,omitempty"`
	// PublishedAt is when the registry accepted it, in UTC.
	PublishedAt time.Time `json:"published_at"`
}
