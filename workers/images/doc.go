// Package images makes the container images that builds run in: full builder images with
// compilers, Go and Python, and small run images that stand in for a machine. It owns
// their recipes, the two ways to make one (from a pulled Debian image, or bootstrapped
// from Debian packages where no registry can be reached), and the record of what was
// made. It never runs a build, and never publishes an image anywhere.
package images
