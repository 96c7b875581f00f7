package farm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// WaitCause is what a job waits for, in one word.
type WaitCause string

// The causes of waiting.
const (
	// WaitResolving: its ref is looked up.
	WaitResolving WaitCause = "resolving"
	// WaitNoWorker: no live worker builds its platform.
	WaitNoWorker WaitCause = "no_worker"
	// WaitStrategy: live workers build its platform only in ways that it may not be built.
	WaitStrategy WaitCause = "strategy"
	// WaitNative: it is kept for a native worker, for a time.
	WaitNative WaitCause = "native"
	// WaitMemory: no worker has enough memory, or not now.
	WaitMemory WaitCause = "memory"
	// WaitOther: the machine of a worker that may take it has just failed it, so others come first.
	WaitOther WaitCause = "other"
	// WaitSlot: every worker that may take it is busy.
	WaitSlot WaitCause = "slot"
	// WaitPlatforms: it is built, and the other platforms of its build are not.
	WaitPlatforms WaitCause = "platforms"
	// WaitRegistry: it is built, and is being published.
	WaitRegistry WaitCause = "registry"
)

// Wait says what a job that no worker has waits for.
type Wait struct {
	Cause WaitCause
	// Position is its place among the queued jobs of its platform, from 1; 0 when it is not queued.
	Position int
	// BuildsAhead are the builds of its own organization with a job before it, at most maxAhead; OthersAhead counts the
	// jobs of other organizations that are.
	BuildsAhead []string
	OthersAhead int
	// Until is what would have to be true for it to go on.
	Until string
	// HeldUntil is how long it is kept for a native worker; zero when it is not.
	HeldUntil time.Time
	// Workers are those that may take it.
	Workers []string
}

// maxAhead bounds how many builds before a job are named.
const maxAhead = 20

// view is the record as everybody may see it. What a queued job waits for is not stored but found out here.
func (f *Farm) view(ctx context.Context, r *Record) (Build, error) {
	f.setup()
	b := r.Build
	b.Jobs = make([]Job, 0, len(r.Jobs))
	failed, err := f.failedFor(ctx, r)
	if err != nil {
		return Build{}, err
	}
	for _, j := range r.Jobs {
		job := j.Job
		if job.State == Queued {
			job.Reason = f.whyQueued(j, failed).sentence(job.Reason)
		}
		b.Jobs = append(b.Jobs, job)
	}
	slices.SortFunc(b.Jobs, func(x, y Job) int { return strings.Compare(x.Platform.String(), y.Platform.String()) })
	return b, nil
}

// failedFor lists the strategies that cannot build the module, when one of its jobs is queued.
func (f *Farm) failedFor(ctx context.Context, r *Record) ([]FailedStrategy, error) {
	if len(r.in(Queued)) == 0 {
		return nil, nil
	}
	return f.Store.FailedStrategies(ctx, r.Build.Module)
}

// Explain returns a build with the Wait of its jobs, and with their places in the queue in their reasons.
func (f *Farm) Explain(ctx context.Context, b Build) (Build, error) {
	f.setup()
	if !slices.ContainsFunc(b.Jobs, func(j Job) bool { return !j.State.Terminal() && j.State != Running }) {
		return b, nil
	}
	r, err := f.Store.Record(ctx, b.ID)
	if err != nil {
		return Build{}, describeMissing(err, "build", b.ID)
	}
	if b, err = f.view(ctx, r); err != nil {
		return Build{}, err
	}
	failed, err := f.failedFor(ctx, r)
	if err != nil {
		return Build{}, err
	}
	for i := range b.Jobs {
		if err := f.explain(ctx, r, &b.Jobs[i], failed); err != nil {
			return Build{}, err
		}
	}
	return b, nil
}

func (f *Farm) explain(ctx context.Context, r *Record, j *Job, failed []FailedStrategy) error {
	switch j.State {
	case Resolving:
		j.Wait = &Wait{Cause: WaitResolving, Until: "it is known what is in " + r.Build.from()}
	case Waiting:
		j.Wait = &Wait{Cause: WaitPlatforms, Until: "these platforms are ready too: " + unready(r)}
	case Publishing:
		j.Wait = &Wait{Cause: WaitRegistry, Until: "the registry has taken the archive"}
	case Queued:
		row := r.find(j.ID)
		w := f.whyQueued(row, failed)
		if err := f.place(ctx, row, &w); err != nil {
			return err
		}
		j.Wait, j.Reason = &w, w.sentence(row.Job.Reason)
	}
	return nil
}

// unready names the platforms that an archive of a build which publishes all together waits for.
func unready(r *Record) string {
	var names []string
	for _, j := range r.Jobs {
		if j.Job.State != Waiting && !j.Job.State.Done() {
			names = append(names, fmt.Sprintf("%s (%s)", j.Job.Platform, j.Job.State))
		}
	}
	return strings.Join(names, ", ")
}

// place finds a queued job's place, as if nothing ended meanwhile. Its level is how many jobs its organization has
// running when it starts: what others start on lower levels is before it. On its own level whoever got there first is,
// which is who has more running now, and of equals who waits longer.
func (f *Farm) place(ctx context.Context, j *JobRecord, w *Wait) error {
	shares, err := f.Store.Line(ctx, j.Job.Platform)
	if err != nil {
		return err
	}
	builds, own, err := f.Store.Ahead(ctx, j, maxAhead)
	if err != nil {
		return err
	}
	var mine Share
	for _, s := range shares {
		if s.OrgID == j.OrgID {
			mine = s
		}
	}
	level := mine.Running + own
	for _, s := range shares {
		if s.OrgID == j.OrgID {
			continue
		}
		before := level - s.Running
		if s.Running > mine.Running || s.Running == mine.Running && s.Served.Before(mine.Served) {
			before++
		}
		w.OthersAhead += min(s.Queued, max(0, before))
	}
	w.BuildsAhead, w.Position = builds, own+w.OthersAhead+1
	return nil
}

// sentence says it all in one sentence, behind what is noted of the job.
func (w Wait) sentence(noted string) string {
	text := "waiting until " + w.Until
	if w.Position > 0 {
		text = fmt.Sprintf("number %d in line, waiting until %s", w.Position, w.Until)
	}
	if noted != "" {
		return noted + "; " + text
	}
	return text
}

// whyQueued finds out why a queued job is not running, all but its place in the line.
func (f *Farm) whyQueued(j *JobRecord, failed []FailedStrategy) Wait {
	c := f.candidates(j, failed)
	need := sizeText(j.Job.Memory)
	switch {
	case c.avoided != "":
		return Wait{Cause: WaitOther, Workers: c.fitting, Until: f.waitAvoiding(j, c.fitting)}
	case len(c.able) == 0 && len(c.draining) > 0:
		return Wait{Cause: WaitNoWorker, Until: fmt.Sprintf("another worker that can build %s asks for work, as %s takes no more jobs "+
			"and is about to stop; start one with: modfarm worker", j.Job.Platform, strings.Join(c.draining, ", "))}
	case len(c.able) == 0 && len(c.other) == 0 && f.now().Sub(f.started) < workerAlive:
		return Wait{Cause: WaitNoWorker, Until: fmt.Sprintf("a worker that can build %s asks for work, as this farm has just started and "+
			"none has asked it yet; give running workers a minute, or start one with: modfarm worker", j.Job.Platform)}
	case len(c.able) == 0 && len(c.other) == 0:
		return Wait{Cause: WaitNoWorker, Until: fmt.Sprintf("a worker that can build %s asks for work, as none did in the last minute; "+
			"start one with: modfarm worker", j.Job.Platform)}
	case len(c.able) == 0 && j.Pin != module.StrategyAuto:
		return Wait{Cause: WaitStrategy, Until: fmt.Sprintf("there is a worker that builds %s by %s, as modfarm.yaml asks; live workers "+
			"offer only %s: start such a worker, or remove that line", j.Job.Platform, j.Pin, strings.Join(c.other, ", "))}
	case len(c.able) == 0:
		return Wait{Cause: WaitStrategy, Until: fmt.Sprintf("there is another worker: %s does not work for this module on %s, and no live "+
			"worker offers anything else; start a worker of that platform, or one with QEMU", strings.Join(c.other, ", "), j.Job.Platform)}
	case len(c.fitting) == 0:
		return Wait{Cause: WaitMemory, Workers: c.able, Until: fmt.Sprintf("a worker has %s for builds, as modfarm.yaml asks; the largest "+
			"live one has %s: start a larger one, or lower memory in modfarm.yaml", need, sizeText(c.largest))}
	case !c.heldUntil.IsZero():
		return Wait{Cause: WaitNative, Workers: c.fitting, HeldUntil: c.heldUntil, Until: fmt.Sprintf(
			"a native worker (%s) is free, or until %s UTC; then another one emulates the platform", strings.Join(c.native, ", "),
			c.heldUntil.Format(time.TimeOnly))}
	case len(c.roomy) == 0 && c.memoryKnown:
		return Wait{Cause: WaitMemory, Workers: c.fitting, Until: fmt.Sprintf("%s are free on one of these workers: %s",
			sizeText(c.need), strings.Join(c.fitting, ", "))}
	}
	return Wait{Cause: WaitSlot, Workers: c.fitting, Until: "one of these workers is free: " + strings.Join(c.fitting, ", ")}
}

// candidates are the live workers for a queued job, by what keeps each from it.
type candidates struct {
	able     []string // may build it
	fitting  []string // and have the memory, when nothing else runs
	roomy    []string // and have it now
	native   []string // and build it natively
	draining []string // may build it, but are about to stop
	avoided  string   // would be among them, but its machine has just failed it
	other    []string // strategies for its platform that it may not be built with
	largest  int64    // the most memory that an able one has
	need     int64    // what it takes on the last of the fitting
	// memoryKnown says that all of the fitting told their memory.
	memoryKnown bool
	// heldUntil is set when it is kept from all that are not native, which there are.
	heldUntil time.Time
}

func (f *Farm) candidates(j *JobRecord, failed []FailedStrategy) candidates {
	c := candidates{memoryKnown: true}
	emulating, otherwise := false, false
	avoided := f.avoids(j)
	for _, s := range f.seen() {
		best := module.StrategyAuto
		for _, o := range s.offers {
			switch {
			case o.Platform != j.Job.Platform:
			case !j.allows(o.Strategy, failed):
				c.other = append(c.other, string(o.Strategy))
			case best == module.StrategyAuto:
				best = o.Strategy // offers are ranked
			}
		}
		if best == module.StrategyAuto {
			continue
		}
		if s.worker.Draining {
			c.draining = append(c.draining, s.worker.Name)
			continue
		}
		if s.worker.Name == avoided {
			c.avoided = avoided
			continue
		}
		c.able = append(c.able, s.worker.Name)
		c.largest = max(c.largest, s.worker.Memory)
		need := s.worker.need(j.Job.Memory)
		if s.worker.Memory > 0 && need > s.worker.Memory {
			continue
		}
		c.need = need
		c.fitting = append(c.fitting, s.worker.Name)
		c.memoryKnown = c.memoryKnown && s.worker.Memory > 0
		if s.worker.Memory == 0 || need <= s.worker.MemoryFree {
			c.roomy = append(c.roomy, s.worker.Name)
		}
		switch best {
		case module.StrategyNative:
			c.native = append(c.native, s.worker.Name)
		case module.StrategyQEMU:
			emulating = true
		default:
			otherwise = true
		}
	}
	slices.Sort(c.other)
	c.other = slices.Compact(c.other)
	until := j.Job.QueuedAt.Add(heldFor)
	if len(c.native) > 0 && emulating && !otherwise && j.Pin == module.StrategyAuto && f.now().Before(until) {
		c.heldUntil = until
	}
	return c
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	if n >= 1<<30 && n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
