# Everything a person types. The work is in Go and in scripts/; this file names it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

GO       ?= go
BIN      := .cache/bin
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.buildVersion=$(VERSION)
IMAGE    ?= modfarm/modfarm:dev
FUZZTIME ?= 20s
SOAK     ?= 3m

# Tests, binary and image are compiled alike, without cgo and without paths of this machine: what is
# tested is what is shipped, and everything is compiled once. The version is stamped by LDFLAGS; Go's own
# stamping fails in a clone that another user owns.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false $(GOFLAGS)
export GO VERSION LDFLAGS IMAGE

# Packages without the end-to-end test, which has a line and a time limit of its own.
PACKAGES = $$($(GO) list ./... | grep -v -e '/e2e$$' -e '/e2e/')

##@ Help

.PHONY: help
help: ## Print this list
	@awk 'BEGIN {FS = ":[^#]*## "} /^##@ / {print "\n" substr($$0, 5) ":"} \
		/^[a-z0-9-]+:[^#]*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it

.PHONY: demo
demo: deps ## Build and publish two example modules on a farm of this machine, and run what came out
	$(GO) run ./e2e/demo

.PHONY: up
up: build ## Start a farm with its worker on this machine (stop it with Ctrl-C)
	$(BIN)/modfarm up

##@ Prove it

.PHONY: test
test: deps $(BIN)/act vet images ## Everything that must pass: vet, all tests, the examples', the end-to-end test
	$(GO) test -timeout 30m $(PACKAGES)
	scripts/examples-test
	$(GO) test -p 1 -timeout 40m -count=1 ./e2e/...

.PHONY: check
check: fmt lint drift test ## All that a merge needs: format, lint, generated code, then `make test`

.PHONY: e2e
e2e: deps $(BIN)/act images ## Only the end-to-end test: a tag of a real repository becomes archives that run
	$(GO) test -p 1 -timeout 40m -count=1 -v ./e2e/...

.PHONY: bench
bench: deps ## What the farm costs, each thing beside its baseline (over an hour; docs/bench.md)
	@$(GO) run ./e2e/bench $(BENCHFLAGS)

.PHONY: faults
faults: deps ## Kill, starve and cut off every part of a farm while it builds (half an hour, as root; docs/reliability.md)
	@$(GO) run ./e2e/faults $(FAULTFLAGS)

.PHONY: soak
soak: deps ## Publish, download, delete and collect at once for SOAK (3m), on both databases
	SOAK=$(SOAK) $(GO) test -timeout 60m -count=1 -run '^TestSoak$$' -v ./farm/registry

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (20s) each
	scripts/fuzz $(FUZZTIME)

.PHONY: lint
lint: $(BIN)/golangci-lint ## golangci-lint with the linters and reasons of .golangci.yml
	$(BIN)/golangci-lint run ./...

##@ Make it

.PHONY: build
build: ## The modfarm binary of this machine, in .cache/bin
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/modfarm ./cmd/modfarm

.PHONY: images
images: build ## The builder and run images (pulled, or made from Debian packages; a quarter of an hour at most, once)
	$(BIN)/modfarm images make

.PHONY: image
image: ## The product's container image, tagged IMAGE (BASE=… names another base image)
	scripts/image

.PHONY: release-dry
release-dry: $(BIN)/nfpm ## Rehearse a release into dist/: binaries of all platforms, deb and rpm, the image; nothing is published
	scripts/release-dry

.PHONY: generate
generate: $(BIN)/buf ## Write the code that is generated from proto/
	proto/generate.sh

.PHONY: pictures
pictures: ## The pictures of the documentation, from what the product shows now (needs Chromium)
	scripts/pictures

.PHONY: tools
tools: $(BIN)/act $(BIN)/buf $(BIN)/gofumpt $(BIN)/golangci-lint $(BIN)/govulncheck $(BIN)/nfpm ## The tools of tools/go.mod, into .cache/bin

.PHONY: clean
clean: ## Remove .cache, dist and the demo's folder (images of the Docker engine stay)
	rm -rf .cache dist .demo

# Parts of the above; they work on their own, too.

.PHONY: deps
deps:
	@scripts/deps

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: fmt
fmt: $(BIN)/gofumpt
	@scripts/fmt

.PHONY: drift
drift: $(BIN)/buf
	proto/generate.sh --check

.PHONY: vuln
vuln: $(BIN)/govulncheck
	$(BIN)/govulncheck ./...

# Tools have a module file of their own, so that their dependencies never reach the product's.
$(BIN)/act: PKG = github.com/nektos/act
$(BIN)/buf: PKG = github.com/bufbuild/buf/cmd/buf
$(BIN)/gofumpt: PKG = mvdan.cc/gofumpt
$(BIN)/golangci-lint: PKG = github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(BIN)/govulncheck: PKG = golang.org/x/vuln/cmd/govulncheck
$(BIN)/nfpm: PKG = github.com/goreleaser/nfpm/v2/cmd/nfpm
$(BIN)/act $(BIN)/buf $(BIN)/gofumpt $(BIN)/golangci-lint $(BIN)/govulncheck $(BIN)/nfpm: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	@echo "building $(@F) (once)"
	@$(GO) -C tools build -o '$(CURDIR)/$@' $(PKG)
