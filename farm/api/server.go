package api

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns a server that speaks HTTP/1.1 and HTTP/2, in the clear with prior knowledge and
// over TLS, all on one port. Streams and transfers have no time limit; only a peer that is slow to say
// what it wants, or that says nothing any more, is cut off. The caller sets TLSConfig and BaseContext.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ConnContext:       boundUnsent,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// Stock clients open and close bare connections before every command; that is no error.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          1000,
			MaxReadFrameSize:              256 << 10,
			MaxReceiveBufferPerConnection: 4<<20 - 1,
			MaxReceiveBufferPerStream:     1 << 20,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
		},
	}
}
