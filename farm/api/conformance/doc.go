// Package conformance holds no code, only tests: each flow of the stock command line and of a stock machine,
// in the order in which they call, by a foreign gRPC client and plain HTTP against a whole farm.
package conformance
