package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	docker "github.com/moby/moby/client"
)

// window is how long an idle farm is watched in a round.
const window = 5 * time.Second

// idleMemory is the resident memory of a farm that has nothing to do, with the
// containers that its worker keeps ready.
type idleMemory struct{}

// Name implements measure.
func (idleMemory) Name() string { return "idle-memory" }

// Run implements measure.
func (idleMemory) Run(ctx context.Context, l *lab) (result, error) {
	watched, err := l.watchIdle(ctx)
	if err != nil {
		return result{}, err
	}
	return result{
		value: median(watched.memory), bound: 100, unit: mebibytes(), samples: map[string][]float64{"MiB": watched.memory},
	}, nil
}

// idleCPU is the processor time that such a farm takes, its worker included.
type idleCPU struct{}

// Name implements measure.
func (idleCPU) Name() string { return "idle-cpu" }

// Run implements measure.
func (idleCPU) Run(ctx context.Context, l *lab) (result, error) {
	watched, err := l.watchIdle(ctx)
	if err != nil {
		return result{}, err
	}
	sum := 0.0
	for _, used := range watched.cpu {
		sum += used
	}
	percent := 100 * sum / (float64(len(watched.cpu)) * window.Seconds())
	return result{
		value: percent, bound: 1, unit: percents(), samples: map[string][]float64{"seconds of 5": watched.cpu},
	}, nil
}

// idleness is what an idle farm took, a number for each window.
type idleness struct {
	memory []float64 // MiB at the end of it
	cpu    []float64 // seconds in it
}

// watchIdle watches a farm of its own which has built once, so that everything
// that a first build brings into memory is there.
func (l *lab) watchIdle(ctx context.Context) (seen idleness, err error) {
	if l.idle != nil {
		return *l.idle, nil
	}
	f, err := l.openFarm(ctx, "idle")
	if err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, f.close(ctx, l.engine)) }()
	if _, err := f.publishSmall(ctx, l); err != nil {
		return seen, err
	}
	before := time.Duration(0)
	for round := range l.rounds + 1 {
		if err := sleep(ctx, window); err != nil {
			return seen, err
		}
		used, memory, err := l.taken(ctx, f)
		if err != nil {
			return seen, err
		}
		if round > 0 { // the first lets the build before it end
			seen.cpu = append(seen.cpu, (used - before).Seconds())
			seen.memory = append(seen.memory, memory)
		}
		before = used
	}
	l.idle = &seen
	return seen, nil
}

// taken is what a farm has taken so far: its process, and the containers that its
// worker keeps although nothing is built.
func (l *lab) taken(ctx context.Context, f *farm) (used time.Duration, memory float64, err error) {
	pids := []int{f.PID()}
	list, err := l.engine.ContainerList(ctx, docker.ContainerListOptions{
		Filters: make(docker.Filters).Add("label", "dev.modfarm.worker="+f.worker),
	})
	if err != nil {
		return 0, 0, err
	}
	for _, c := range list.Items {
		got, err := l.engine.ContainerInspect(ctx, c.ID, docker.ContainerInspectOptions{})
		if err != nil {
			return 0, 0, err
		}
		pids = append(pids, got.Container.State.Pid)
	}
	for _, pid := range pids {
		u, err := processorTime(pid)
		if err != nil {
			return 0, 0, err
		}
		m, err := residentMemory(pid)
		if err != nil {
			return 0, 0, err
		}
		used, memory = used+u, memory+m
	}
	return used, memory, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// processorTime is what a process has used so far, in the program and in the
// kernel, to a hundredth of a second.
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses, which may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, field := range []string{fields[utime], fields[stime]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}

// residentMemory of a process in MiB.
func residentMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status tells no VmRSS", pid)
}
