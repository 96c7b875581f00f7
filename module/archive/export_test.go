package archive

import "io"

// Native is what identify found out about a file, for tests against other readers.
type Native struct {
	Format, Built, Interp string
	Library, Unread       bool
	Needed, Runpath       []string
}

// Identify runs the header reader alone.
func Identify(r io.Reader) (*Native, error) {
	n, err := identify(&window{r: r})
	if n == nil || err != nil {
		return nil, err
	}
	return &Native{n.format, n.String(), n.interp, n.library, n.unread, n.needed, n.runpath}, nil
}
