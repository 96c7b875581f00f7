# The product's image: one static binary, git, CA certificates. `make image` builds the binary first
# and then this; it needs no BuildKit.
#
# BASE is any Debian-like image. Where no registry is reachable, `make image` names the builder image
# that modfarm made itself from Debian packages.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# One step for each thing that changes alone: the classic builder makes a container and a layer of every line.
#
# git is what fetches the repositories. A base that already has both is left as it is, so that the
# image can be built without a package mirror.
#
# The farm needs no root: run `modfarm serve` with `--user modfarm`. There is no USER line because two
# uses of this image do need root: GitHub lets a container action write its outputs only as root, and a
# worker has to reach the Docker socket and clean up what builds leave behind.
RUN set -eu; \
    if ! command -v git >/dev/null || ! test -s /etc/ssl/certs/ca-certificates.crt; then \
      apt-get update; \
      apt-get install -y --no-install-recommends git ca-certificates; \
      rm -rf /var/lib/apt/lists/*; \
    fi; \
    if ! grep -q '^modfarm:' /etc/passwd; then \
      echo 'modfarm:x:65532:' >> /etc/group; \
      echo 'modfarm:x:65532:65532:Modfarm:/var/lib/modfarm:/usr/sbin/nologin' >> /etc/passwd; \
    fi; \
    mkdir -p /var/lib/modfarm; \
    chown 65532:65532 /var/lib/modfarm

# The working directory stays what the caller sets: a container action starts in the workspace.
ENTRYPOINT ["/usr/local/bin/modfarm"]
COPY LICENSE /usr/share/doc/modfarm/LICENSE

# What changes with each build comes last.
# The first two are set by BuildKit; `make image` passes them, so that the classic builder has them too.
ARG TARGETARCH TARGETVARIANT VERSION=dev
COPY dist/linux-${TARGETARCH}${TARGETVARIANT}/modfarm /usr/local/bin/modfarm
LABEL org.opencontainers.image.title="modfarm" \
      org.opencontainers.image.description="Self-hosted build farm and registry for robot modules" \
      org.opencontainers.image.source="https://github.com/modfarm/modfarm" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
