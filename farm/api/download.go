package api

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

// download serves an archive. Stock machines send HEAD twice and then GET, with a Range when part of it
// is on their disk; all they need is known without reading the archive.
func (s *server) download(w http.ResponseWriter, r *http.Request) error {
	id, _ := module.ParsePackageID(r.PathValue("namespace") + "/" + r.PathValue("name")) // what is no id is not found below
	p, err := s.httpCaller(r, account.RoleMachine, id)
	if err != nil {
		return err
	}
	rel, err := s.downloadable(r, viewer(p))
	if err != nil {
		return err
	}
	object, err := s.registry.Open(r.Context(), rel.SHA256)
	if err != nil {
		return err
	}
	defer object.Close()
	if r.Method == http.MethodGet {
		s.registry.Used(r.Context(), consumer(p), rel)
	}
	describe(w.Header(), rel)
	http.ServeContent(w, r, "", object.ModTime, object.Content)
	return nil
}

// downloadable finds the release that the address names. The address of a release never changes, and
// an address never comes to mean another release.
func (s *server) downloadable(r *http.Request, v registry.Viewer) (module.Release, error) {
	version, ok := strings.CutSuffix(r.PathValue("file"), wire.ArchiveSuffix)
	if !ok {
		return module.Release{}, fmt.Errorf("%w: downloads end with %s", module.ErrNotFound, wire.ArchiveSuffix)
	}
	id := r.PathValue("namespace") + "/" + r.PathValue("name")
	rel, err := s.registry.Lookup(r.Context(), v, registry.Query{Package: id, Version: version})
	if err != nil {
		return module.Release{}, err
	}
	if exact := registry.PackageVersion(rel); exact != version {
		return module.Release{}, fmt.Errorf("%w: a download has the full version in its address; use %s", module.ErrNotFound, wire.DownloadPath(id, exact))
	}
	return rel, nil
}

// describe sets the headers that machines rely on, on HEAD and GET alike.
func describe(h http.Header, rel module.Release) {
	crc := binary.BigEndian.AppendUint32(nil, rel.CRC32C)
	h.Set("Content-Type", wire.TypeArchive)
	h.Set(wire.HeaderHash, "crc32c="+base64.StdEncoding.EncodeToString(crc))
	h.Set(wire.HeaderSHA256, rel.SHA256)
	h.Set("ETag", `"`+rel.SHA256+`"`)
	h.Set("Cache-Control", "private, no-transform")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(rel)}))
}
