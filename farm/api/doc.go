// Package api owns how the farm is reached: the wire services over gRPC, gRPC-Web and JSON, downloads
// and archives over plain HTTP, who may call what, and how errors read on the wire. It translates and
// checks rights, and never decides about builds or releases itself.
package api
