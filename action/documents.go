package action

import (
	"os"
	"path/filepath"

	"github.com/modfarm/modfarm/module"
)

// maxDocument is what the registry keeps of a text, in bytes.
const maxDocument = 500_000

// documents reads the texts that meta.json links to, by model and, under the empty name, the module's
// own. A link may end in the anchor of a heading, and then means its section. What cannot be read is
// left out with a warning.
func (s *step) documents(metaPath string, m *module.Manifest) map[string]string {
	docs, folder := map[string]string{}, filepath.Dir(metaPath)
	if m.MarkdownLink != "" {
		s.document(docs, folder, "", m.MarkdownLink)
	}
	for _, model := range m.Models {
		if model.MarkdownLink != "" {
			s.document(docs, folder, model.Model, model.MarkdownLink)
		}
	}
	return docs
}

// document reads one text. Links begin in the folder of meta.json; of a module in a folder they may also be meant from
// the root of the workspace, as the stock command line reads them.
func (s *step) document(docs map[string]string, folder, name, link string) {
	file, anchor := splitLink(link)
	if !filepath.IsLocal(file) {
		s.gh.Warningf("markdown_link %q is outside the repository; it is left out", link)
		return
	}
	text, err := os.ReadFile(s.inWorkspace(filepath.Join(folder, file)))
	if err != nil && folder != "." {
		text, err = os.ReadFile(s.inWorkspace(file))
	}
	if err != nil {
		s.gh.Warningf("markdown_link %q cannot be read and is left out: %v", link, err)
		return
	}
	body := string(text)
	if anchor != "" {
		var found bool
		if body, found = section(body, anchor); !found {
			s.gh.Warningf("markdown_link %q: the file has no heading of that name; it is left out", link)
			return
		}
	}
	if len(body) > maxDocument {
		s.gh.Warningf("markdown_link %q is longer than %d bytes; it is left out", link, maxDocument)
		return
	}
	docs[name] = body
}
