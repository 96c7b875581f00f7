// Package proto holds the .proto files of the wire contract, written from its tables, and under gen/
// the code generated from them. It owns names and numbers on the wire and never holds behaviour.
package proto
