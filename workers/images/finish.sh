#!/bin/sh
# Runs as root inside the new root file system, after its packages are configured.
# $1: the Debian release. $2: the kind of image, builder or run.
set -eu

# Services have no business starting in a container.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

# What a build installs later is slimmed and sped up as the image itself was.
mkdir -p /etc/dpkg/dpkg.cfg.d
cat >/etc/dpkg/dpkg.cfg.d/modfarm <<EOF
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
force-unsafe-io
EOF

if [ "$2" = builder ]; then
	rm -f /etc/apt/sources.list.d/debian.sources
	key=/usr/share/keyrings/debian-archive-keyring.gpg
	cat >/etc/apt/sources.list <<EOF
deb [signed-by=$key] http://deb.debian.org/debian $1 main
deb [signed-by=$key] http://deb.debian.org/debian $1-updates main
deb [signed-by=$key] http://deb.debian.org/debian-security $1-security main
EOF
	mkdir -p /etc/apt/apt.conf.d
	cat >/etc/apt/apt.conf.d/90modfarm <<EOF
Acquire::Languages "none";
Acquire::Retries "3";
EOF
	# sudo resets PATH to a fixed list, which has /usr/local/bin but no Go.
	ln -sf ../go/bin/go /usr/local/bin/go
	ln -sf ../go/bin/gofmt /usr/local/bin/gofmt
fi

rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb \
	/var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/apt /tmp/* /var/tmp/*
find /var/log -type f -exec rm -f {} +
rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/info/* /usr/share/locale/* /usr/share/lintian
# Each container gets its own; the engine writes the others.
[ ! -e /etc/machine-id ] || : >/etc/machine-id
