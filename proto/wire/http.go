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
	// HeaderStrategy is how the archive was built.
	HeaderStrategy = "Modfarm-Strategy"
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
	// PathJobs is where workers get source and send archives.
	PathJobs = "/api/v1/jobs/"
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

// ArchivePath is where the archive of a job is PUT.
func ArchivePath(jobID string) string {
	return PathJobs + url.PathEscape(jobID) + "/archive"
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
