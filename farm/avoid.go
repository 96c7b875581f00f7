package farm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// avoidFor is how long a job is kept from the worker whose machine just failed it, where there is another: longer than
// the pause that a worker makes after a fault, and than others need to ask.
const avoidFor = 10 * time.Second

// avoid marks the offers of a worker for platforms that others build, too: they are not for jobs which this worker has
// just failed.
func (f *Farm) avoid(worker string, offers []Offer) []Offer {
	now := f.now()
	for i, o := range offers {
		if len(f.others(o.Platform, worker, now)) > 0 {
			offers[i].AvoidAfter = now
		}
	}
	return offers
}

// others names the live workers, without this one, that build a platform in any way.
func (f *Farm) others(p module.Platform, worker string, now time.Time) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name, s := range f.workers {
		if name != worker && !s.worker.Draining && now.Sub(s.at) < LeaseTTL &&
			slices.ContainsFunc(s.offers, func(o Offer) bool { return o.Platform == p }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// avoids says which worker a queued job is kept from now, because its machine failed it; empty for none.
func (f *Farm) avoids(j *JobRecord) string {
	now := f.now()
	if !now.Before(j.AvoidUntil) || len(f.others(j.Job.Platform, j.Job.Worker, now)) == 0 {
		return ""
	}
	return j.Job.Worker
}

// waitAvoiding is what a job waits for that is kept from a worker.
func (f *Farm) waitAvoiding(j *JobRecord, others []string) string {
	who := ""
	if len(others) > 0 { // all of them may have too little memory
		who = " (" + strings.Join(others, ", ") + ")"
	}
	ago := f.now().Sub(j.AvoidUntil.Add(-avoidFor)).Round(time.Second)
	return fmt.Sprintf("another worker takes it%s, as %s failed it %s ago, or until %s UTC; then %s may, too",
		who, j.Job.Worker, ago, j.AvoidUntil.Format(time.TimeOnly), j.Job.Worker)
}
