package images

import "context"

// The seams that the tests reach into.
var (
	Assemble      = assemble
	DebFiles      = debFiles
	ParsePackages = parsePackages
	UnzipGo       = unzipGo
	RebaseLinks   = rebaseLinks
	AptSources    = aptSources
	TarFolder     = tarFolder
)

// FileLayer is the layer that a bootstrap loads.
func FileLayer(file string, hex string, size int64) *fileLayer {
	l := &fileLayer{file: file, size: size}
	l.digest.Algorithm, l.digest.Hex = "sha256", hex
	return l
}

// FinishScript is the last script of every recipe.
func FinishScript() string { return finishScript }

// DownloadGo downloads the Go toolchain of the maker's machine.
var DownloadGo = (*Maker).downloadGo

// StartContainer starts a container to make an image in.
func StartContainer(ctx context.Context, m *Maker, base string, r Recipe) error {
	c, err := m.startContainer(ctx, base, r)
	if err == nil {
		c.remove(ctx)
	}
	return err
}

// Lock takes one of the maker's locks.
var Lock = (*Maker).lock

// WriteRecord keeps a record.
var WriteRecord = (*Maker).writeRecord
