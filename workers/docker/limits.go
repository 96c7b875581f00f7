package docker

import (
	"math"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/modfarm/modfarm/workers"
)

// Limits bound one build container. Zero values mean the defaults named at each field.
type Limits struct {
	// Memory in bytes, without swap on top; default three quarters of the machine's, shared by Options.Slots.
	Memory int64
	// CPUs, in fractions; default all of the machine's.
	CPUs float64
	// Processes and threads at a time; default 4096.
	Processes int64
	// OpenFiles of one process; default 65536, or the engine's own limit where that is lower.
	OpenFiles int64
	// FileSize is the largest file in bytes that may be written; default 50 GB.
	FileSize int64
	// Disk is what a build may take in bytes: its workspace, the container's layer, and what its cache grows;
	// default 40 GiB, or less where the disk of the work folder has not that much for each of Options.Slots.
	Disk int64
	// Grace is how long scripts that are to end have from being asked to (SIGTERM) until they are killed; zero kills
	// them at once.
	Grace time.Duration
}

// stopSeconds is the grace as an engine counts it that is itself told to stop: in whole seconds. Without it an engine
// gives each container ten, and a restart of the engine takes that much longer.
func (l Limits) stopSeconds() *int { return new(max(1, int(math.Ceil(l.Grace.Seconds())))) }

// DefaultDisk is Limits.Disk where the machine has plenty.
const DefaultDisk = 40 << 30

func (l Limits) orDefaults(memory int64, cpus, slots int, free int64) Limits {
	slots = max(1, slots)
	if l.Memory <= 0 {
		l.Memory = memory / 4 * 3 / int64(slots)
	}
	if l.Disk <= 0 {
		l.Disk = DefaultDisk
		if each := free / int64(slots+1); each > 0 {
			l.Disk = min(l.Disk, each)
		}
	}
	if l.CPUs <= 0 {
		l.CPUs = float64(cpus)
	}
	if l.Processes <= 0 {
		l.Processes = 4096
	}
	if l.OpenFiles <= 0 {
		l.OpenFiles = 65536
	}
	if l.FileSize <= 0 {
		l.FileSize = 50e9
	}
	return l
}

// sharedMemory is the size of /dev/shm in bytes. What is in it counts as memory of the build, as all of its
// temporary file systems do, so it only has to be smaller than that.
func (l Limits) sharedMemory() int64 {
	const most = 1 << 30
	return min(most, l.Memory/2)
}

// exit is an exit status with the limits that may explain it.
func (l Limits) exit(code int) workers.Exit {
	return workers.Exit{
		Code: code, MemoryLimit: l.Memory, SharedMemory: l.sharedMemory(), ProcessLimit: l.Processes,
		OpenFilesLimit: max(0, l.OpenFiles), FileSizeLimit: l.FileSize,
	}
}

// engineDefault leaves a limit to the engine.
const engineDefault = -1

func (l Limits) ulimits() []*container.Ulimit {
	list := []*container.Ulimit{
		{Name: "fsize", Soft: l.FileSize, Hard: l.FileSize},
		{Name: "core", Soft: 0, Hard: 0},
	}
	if l.OpenFiles != engineDefault {
		list = append(list, &container.Ulimit{Name: "nofile", Soft: l.OpenFiles, Hard: l.OpenFiles})
	}
	return list
}

// hostConfig shuts a build container in. Every value in it comes from this program or from the worker's owner:
// nothing that a module chose may ever be added here.
func (r *Runner) hostConfig(room workers.Room, apt string) *container.HostConfig {
	limits := r.limits
	yes := true
	mounts := []mount.Mount{{Type: mount.TypeBind, Source: room.Folder, Target: workers.WorkspacePath}}
	if room.Cache.Key != "" {
		mounts = append(mounts, mount.Mount{
			Type: mount.TypeVolume, Source: cacheVolume(room.Cache.Key), Target: workers.CachePath,
			VolumeOptions: &mount.VolumeOptions{Labels: r.cacheLabels(room.Cache)},
		})
	}
	mounts = append(mounts, r.opts.Env.mounts(r.envDir(), apt)...)
	return &container.HostConfig{
		CapDrop:     []string{"ALL"},
		CapAdd:      []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}, // what apt and sudo need
		SecurityOpt: []string{"no-new-privileges"},
		Init:        &yes,
		ShmSize:     limits.sharedMemory(),
		Mounts:      mounts,
		LogConfig:   container.LogConfig{Type: "none"}, // output goes to whoever runs a command
		Resources: container.Resources{
			Memory:     limits.Memory,
			MemorySwap: limits.Memory,
			NanoCPUs:   int64(limits.CPUs * 1e9),
			PidsLimit:  &limits.Processes,
			Ulimits:    limits.ulimits(),
		},
	}
}
