// Package wire owns what the farm and its clients must agree on beside the generated messages: the
// paths, headers and JSON bodies of the plain HTTP endpoints, the limits, and the one table of error
// codes. It never sends or receives anything.
package wire
