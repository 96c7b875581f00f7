package wire

import "net/url"

// The limits of messages.
const (
	// MaxMessage is the largest message that either side accepts, in bytes. Stock clients accept as much.
	MaxMessage = 32 << 20
	// MaxLogMessage is the largest piece of a log in one message, in bytes.
	MaxLogMessage = 512 << 10
)

// The headers of the plain HTTP endpoints. The underscores are the wire contract's.
const (
	// HeaderKeyID and HeaderKey authenticate a download by an API key.
	HeaderKeyID = "key_id"
	HeaderKey   = "key"
	// HeaderLease is the token of the lease that a worker sends an archive under.
	HeaderLease = "Modfarm-Lease"
	// HeaderOffset is where the bytes of a request go, and where an upload goes on.
	HeaderOffset = "Upload-Offset"
	// HeaderLength is the size that was announced for an upload.
	HeaderLength = "Upload-Length"
	// HeaderHash carries "crc32c=" and the base64 of the big-endian CRC-32C of a download.
	HeaderHash = "X-Goog-Hash"
	// HeaderSHA256 carries the hex SHA-256 of a download.
	HeaderSHA256 = "Modfarm-Sha256"
)

// The paths of the plain HTTP endpoints.
const (
	// PathHealth answers 200 when the farm can serve.
	PathHealth = "/healthz"
	// PathPackages is where all downloads are.
	PathPackages = "/api/v1/packages/"
	// PathJobs is where workers get source.
	PathJobs = "/api/v1/jobs/"
	// PathBuilds is where people get the source of builds.
	PathBuilds = "/api/v1/builds/"
	// PathUploads is where uploads are begun.
	PathUploads = "/api/v1/uploads"
	// PathSchema is the JSON Schema of meta.json, for editors: everybody may read it.
	PathSchema = "/schemas/module.schema.json"
	// ArchiveSuffix ends the name of every download.
	ArchiveSuffix = ".tar.gz"
)

// TypeArchive is the content type of a download. Stock machines refuse any other spelling.
const TypeArchive = "application/x-gzip"

// DownloadPath is the stable path of one archive: packageID is "acme/widget", version
// "1.2.3-linux-amd64". It never changes, as machines resume by URL.
func DownloadPath(packageID, version string) string {
	return (&url.URL{Path: PathPackages + packageID + "/" + version + ArchiveSuffix}).EscapedPath()
}

// UploadPath is where the bytes of an upload are PUT, and what tells by HEAD where it goes on.
func UploadPath(id string) string { return PathUploads + "/" + url.PathEscape(id) }

// FinishPath is where an upload is finished.
func FinishPath(id string) string { return UploadPath(id) + "/finish" }

// BuildSourcePath is where a caller gets the source that was uploaded for a build of theirs.
func BuildSourcePath(buildID string) string {
	return PathBuilds + url.PathEscape(buildID) + "/source"
}

// SourcePath is where the worker that holds a job gets the source that was uploaded for it.
func SourcePath(jobID string) string {
	return PathJobs + url.PathEscape(jobID) + "/source"
}

// Fault is one thing wrong with an input, as plain HTTP endpoints spell it in JSON.
type Fault struct {
	Path    string `json:"path,omitempty"`
	Value   string `json:"value,omitempty"`
	Problem string `json:"problem"`
	Advice  string `json:"advice,omitempty"`
	Line    int    `json:"line,omitempty"`
}

// Failure is the JSON body of every answer of a plain HTTP endpoint that is not a success.
type Failure struct {
	// Error is for people: what is wrong and what to do.
	Error string `json:"error"`
	// Code is the name of the RPC code for the same error, as "not_found".
	Code string `json:"code"`
	// Faults lists what is wrong with an archive.
	Faults []Fault `json:"faults,omitempty"`
	// WrongPlatform says that an archive was built for another platform.
	WrongPlatform bool `json:"wrong_platform,omitempty"`
	// Reference finds the error in the farm's log.
	Reference string `json:"reference,omitempty"`
}

// Archive is the JSON body that answers an accepted archive.
type Archive struct {
	// SHA256 and TarSHA256 are hex digests of the file and of the tar inside it.
	SHA256    string `json:"sha256"`
	TarSHA256 string `json:"tar_sha256"`
	CRC32C    uint32 `json:"crc32c"`
	// Size is the size of the file in bytes, TarSize that of the tar inside it.
	Size     int64    `json:"size"`
	TarSize  int64    `json:"tar_size"`
	Entries  int      `json:"entries"`
	Warnings []string `json:"warnings,omitempty"`
}

// NewUpload is the JSON body that begins an upload: for a version of a module, or, from a worker that
// holds its lease, for a job.
type NewUpload struct {
	ModuleID     string   `json:"module_id,omitempty"`
	Version      string   `json:"version,omitempty"`
	Platform     string   `json:"platform,omitempty"`
	PlatformTags []string `json:"platform_tags,omitempty"`
	// Force accepts an entrypoint that is missing or not executable.
	Force bool   `json:"force,omitempty"`
	JobID string `json:"job_id,omitempty"`
	// Strategy is how the job's archive was built.
	Strategy string `json:"strategy,omitempty"`
	// Size is in bytes, SHA256 in hex. An archive of the same digest for the same purpose, whose
	// upload was interrupted, goes on with it.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Upload is the JSON body of answers about an upload.
type Upload struct {
	ID string `json:"id"`
	// Offset is how many bytes are there, of Size.
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
	// Inspected is how many bytes were looked at, while a finish waits for that.
	Inspected int64 `json:"inspected,omitempty"`
	// Archive is what was found, once the upload is finished.
	Archive *Archive `json:"archive,omitempty"`
	// URL is where the archive can be downloaded.
	URL string `json:"url,omitempty"`
}
