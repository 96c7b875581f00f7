// Package workers is the pool that builds: it claims jobs of a farm and holds their leases, fetches the commit,
// chooses a strategy, has the steps run in a container, checks what came out and uploads it. It owns the order of
// these and what is told to the author at each. It never publishes, holds no credential of the registry, and
// never lets a build see its lease, its token or the checkout token.
package workers
