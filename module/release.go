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
	// Report is what its worker told about how it was built; nil for uploads.
	Report *BuildReport `json:"report,omitempty"`
	// PublishedAt is when the registry accepted it, in UTC.
	PublishedAt time.Time `json:"published_at"`
}

// BuildReport is what a worker tells about how it built an archive: enough to do it again, and what came out. The
// farm keeps it as it was told.
type BuildReport struct {
	// Image is the builder image, with its digest.
	Image string `json:"image,omitempty"`
	// Environment is what the scripts saw, without secrets.
	Environment map[string]string `json:"environment,omitempty"`
	// Glibc is the newest glibc symbol version that the archive needs; nil when it needs none, or none is known.
	Glibc *GlibcNeed `json:"glibc,omitempty"`
	// Smoke is how the entrypoint did when it was started once; nil when it was not.
	Smoke *SmokeRun `json:"smoke,omitempty"`
}

// GlibcNeed is a glibc symbol version that something in an archive needs.
type GlibcNeed struct {
	// Version is the symbol version, as "2.34".
	Version string `json:"version"`
	// Symbol needs it, and is needed by File, a path within the archive.
	Symbol string `json:"symbol"`
	File   string `json:"file"`
}

// SmokeRun is how an entrypoint did when it was started once.
type SmokeRun struct {
	// Verdict is "passed", "failed" or "skipped".
	Verdict string `json:"verdict"`
	// Detail is what was seen, in one sentence.
	Detail string `json:"detail,omitempty"`
}
