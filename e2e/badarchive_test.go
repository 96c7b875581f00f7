package e2e_test

import (
	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// archived has a build's archive at the default build.path.
func archived(m *module.Manifest) { m.Build.Path = "module.tar.gz" }

// archiveCases are builds that end well and leave something wrong, or nothing.
func archiveCases() []badCase {
	return []badCase{
		{
			name: "path-empty", build: "mkdir out && touch out/other.tar.gz", want: client.JobFailed,
			says: []string{"left nothing at build.path dist", "out/other.tar.gz", "correct build.path in meta.json"},
		},
		{
			name: "path-leads-out", build: "ln -s /etc dist", want: client.JobFailed,
			says: []string{"build.path dist", "inside the module's folder"},
		},
		{
			name: "path-leads-to-the-host", build: "ln -s /proc/1/environ module.tar.gz", meta: archived, want: client.JobFailed,
			says: []string{"build.path module.tar.gz", "inside the module's folder"},
		},
		{
			name: "arch-wrong", want: client.JobRefused,
			build: "mkdir dist && echo 'int main(){return 0;}' > m.c && aarch64-linux-gnu-gcc -o dist/main m.c",
			says:  []string{"main", "arm64", "linux/amd64"},
		},
		{
			name: "entrypoint-absent", build: "mkdir dist && touch dist/readme.txt", want: client.JobRefused,
			says: []string{"entrypoint", "main"},
		},
		{
			name: "entrypoint-without-exec", build: "mkdir dist && printf '#!/bin/sh\\n' > dist/main", want: client.JobRefused,
			says: []string{"main", "exec"},
		},
		{
			name: "archive-climbs", meta: archived, want: client.JobRefused,
			build: goodBuild + " && tar -czPf module.tar.gz --transform 's,^dist/evil,../../evil,' -C dist main -C .. dist/main --add-file /etc/hostname",
			says:  []string{"/etc/hostname"},
		},
		{
			name: "archive-link-climbs", meta: archived, want: client.JobRefused,
			build: goodBuild + " && ln -s ../../.. dist/up && tar -czf module.tar.gz -C dist main up", says: []string{"up", "../../.."},
		},
		{
			name: "archive-is-text", meta: archived, build: "echo not an archive > module.tar.gz", want: client.JobRefused,
			says: []string{"gzip", "tar -czf module.tar.gz"},
		},
		{
			name: "archive-cut-off", meta: archived, want: client.JobRefused,
			build: goodBuild + " && tar -cz -C dist main | head -c 60 > module.tar.gz", says: []string{"too early", "pack it again"},
		},
		{
			name: "venv-linked", build: "mkdir dist && python3 -m venv --without-pip dist/venv", want: client.JobRefused,
			says: []string{"venv/bin/python", "/usr/bin/python3", "--copies"},
		},
		{
			name: "venv-fine", want: client.JobPublished, // with the Windows programs that pip brings
			build: "mkdir dist && python3 -m venv --copies dist/venv && " +
				`printf '#!/bin/sh\nexec "$(dirname "$0")/venv/bin/python" -c "print(1)"\n' > dist/main && chmod 755 dist/main`,
		},
	}
}

// leavingsCases leave things behind that are hard to read, to end or to remove.
func leavingsCases() []badCase {
	return []badCase{
		{
			name: "leaves-all-kinds", build: "bash leave.sh && " + goodBuild, want: client.JobPublished,
			files: map[string]string{"leave.sh": `set -e
sleep 1000 &
setsid nohup sleep 1000 >/dev/null 2>&1 &
(trap '' TERM HUP INT; while :; do sleep 1; done) &
mkdir -p left/deep left/closed
mkfifo left/pipe
python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("left/socket")'
echo secret > left/closed/unreadable
chmod 000 left/closed/unreadable left/closed
chown 12345:12345 left/deep
chmod 4755 left/deep
touch "left/$(printf 'new\nline')" left/-rf 'left/ space'
ln -s / left/root
ln -s loop left/loop
`},
		},
		{
			name: "pipe-in-the-folder", build: goodBuild + " && mkfifo dist/pipe", want: client.JobRefused,
			says: []string{"the folder dist cannot be packed", "pipe", "neither a file, a folder nor a link", "leave it out"},
		},
		{
			name: "pipe-as-archive", build: "mkfifo module.tar.gz", meta: archived, want: client.JobFailed,
			says: []string{"build.path module.tar.gz", "neither a file nor a folder", "let the build leave"},
		},
	}
}
