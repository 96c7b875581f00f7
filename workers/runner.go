package workers

import (
	"context"
	"encoding/json"
	"io"

	"github.com/modfarm/modfarm/module"
)

// WorkspacePath is where a build container sees its job's work folder.
const WorkspacePath = "/workspace"

// Runner starts the containers that builds run in. Implementations are safe for concurrent use.
type Runner interface {
	// Ready says why this machine cannot build now, in a sentence that wraps module.ErrUnavailable; nil when it can. It
	// is asked before each claim, so that a machine in trouble takes no job only to give it back.
	Ready(ctx context.Context) error
	// Start starts an idle container and returns when it can run commands. The error wraps
	// module.ErrUnavailable when the machine is at fault and another attempt may succeed.
	Start(ctx context.Context, room Room) (Container, error)
	// Reap removes what earlier processes of the same worker left behind, but for what is held.
	Reap(ctx context.Context, held ...Held) error
	// RemoveFolder removes a folder on the worker's disk, also where a container's root owns what is in it.
	RemoveFolder(ctx context.Context, dir string) error
	// OpenFolder makes everything in a folder on the worker's disk readable to this process, also where a
	// container's root keeps it closed. No container may be running on the folder.
	OpenFolder(ctx context.Context, dir string) error
}

// Container is one running container. Its commands run one after the other.
type Container interface {
	// Run runs a command to its end. When ctx ends first the container is killed, and the error is the context's
	// cause. A container that uses more than it may is killed, too, and the error is an *Exceeded. A command that
	// fails is no error: see Exit.
	Run(ctx context.Context, c Command) (Exit, error)
	// Image is what it was made from, by name and digest.
	Image() string
	// Kill ends everything that runs in the container, and returns when it has ended. Close still has to follow.
	Kill(ctx context.Context) error
	// Close kills and removes the container. It works after ctx of Start ended, and twice.
	Close(ctx context.Context) error
}

// Held is what a Keeper needs to take up a container, and the command that runs in it. It is JSON.
type Held = json.RawMessage

// Keeper is what a Runner may be whose containers go on without this process, for some time.
type Keeper interface {
	// TakeUp gives a container again that an earlier process of the same worker has left. The error says why that
	// cannot be; then it is to be dropped.
	TakeUp(ctx context.Context, room Room, h Held) (KeptContainer, error)
	// Drop removes a container that is not taken up. One that is gone is fine.
	Drop(ctx context.Context, h Held) error
}

// KeptContainer is a container that was taken up.
type KeptContainer interface {
	Container
	// Resume is Run for the command that it was held by: that may run still, or have ended meanwhile. Of what c asks
	// for only the Output counts, which goes on behind the first bytes that the command wrote, from in number.
	Resume(ctx context.Context, from int64, c Command) (Exit, error)
}

// Settler is an Output that does not hold for good what it took at once.
type Settler interface {
	// Settled is how many bytes of the command's output need not come again should this process end now.
	Settled() int64
}

// Shell is what a Container may be for people who look into it.
type Shell interface {
	// Shell runs an interactive shell where and as the command would run, until it ends.
	Shell(ctx context.Context, c Command, t Terminal) error
}

// Terminal is a person's.
type Terminal struct {
	In            io.Reader
	Out           io.Writer
	Height, Width uint
}

// Room says what container a job needs. None of it is chosen by a module, except through checked values.
type Room struct {
	// Platform is what the container itself runs.
	Platform module.Platform
	// Distro is the release of the builder image; empty for the default.
	Distro string
	// Folder on the worker's disk is seen at WorkspacePath.
	Folder string
	// Cache is what compilers and package managers keep; without a Key there is none.
	Cache Cache
	// Job, Attempt and Lease identify the container to people and to the clean-up. Lease is a digest, no secret.
	Job, Lease string
	Attempt    int
	// Say is told, in a sentence, what a start waits for; nil drops it.
	Say func(string)
}

// Command is one bash command line in a container.
type Command struct {
	// Script is passed to bash -c.
	Script string
	// Dir is the folder in the container to run in.
	Dir string
	// Env is added to the environment of the container, as name=value.
	Env []string
	// Network is what the command may reach; empty for what the command before it might, or nothing.
	Network module.NetworkPolicy
	// Output gets standard output and standard error as they come; never concurrently.
	Output io.Writer
	// Held is called just before the command begins, with what another process needs to take it up; nil when it has to
	// end with this one.
	Held func(Held)
}

// Exit is how a command ended.
type Exit struct {
	// Code is the exit status; 128 and more for a signal.
	Code int
	// OutOfMemory says that the kernel ended a process of the container for want of memory.
	OutOfMemory bool
	// EndedContainer says that the command ended the container it ran in.
	EndedContainer bool
	// Killed is the name of the process that the kernel ended then; empty when unknown.
	Killed string
	// ForksRefused is how often the command was refused a process for the limit of processes.
	ForksRefused int64
	// Refused are the hosts that the network policy registries refused a failed command, and Blocked the private
	// addresses that any policy but none kept it from; host:port each.
	Refused, Blocked []string
	// The limits of the container, to explain the end of a command; zero when unknown. Memory, file size and shared
	// memory (the size of /dev/shm) are bytes; processes count threads, too; open files are those of one process.
	MemoryLimit, SharedMemory, ProcessLimit, OpenFilesLimit, FileSizeLimit int64
}
