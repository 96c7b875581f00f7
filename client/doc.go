// Package client is the client of a farm's API for the command line, the Action, workers and device
// agents: plain Go types in and out, errors that wrap the sentinels of package module. It owns how
// calls are authenticated, bounded, retried and resumed, and links no server code. It never decides
// what to build or install.
package client
