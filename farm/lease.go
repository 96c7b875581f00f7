package farm

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"

	"github.com/modfarm/modfarm/module"
)

// ErrLeaseLost means that another worker holds the job, or that it is over: stop, and publish nothing.
var ErrLeaseLost = fmt.Errorf("%w: the lease on this job is lost; stop working on it and claim another", module.ErrConflict)

// given marks the hash of a lease whose worker gave the job back: it is known, but holds nothing.
const given = "-"

// newToken makes a lease token of 128 random bits.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

// hashToken is how a token is stored: who reads the database holds no lease.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// hasLease says whether the token is of the lease that was given last for the job.
func (j *JobRecord) hasLease(ref LeaseRef) bool {
	return subtle.ConstantTimeCompare([]byte(j.LeaseHash), []byte(hashToken(ref.Token))) == 1
}

// hold checks that the lease holds the job and renews it. A lease that ran out is taken up again as long as nobody
// else claimed the job; otherwise the answer is ErrLeaseLost.
func (f *Farm) hold(j *JobRecord, ref LeaseRef) error {
	if !j.hasLease(ref) {
		return ErrLeaseLost
	}
	now := f.now()
	switch j.Job.State {
	case Running:
	case Queued:
		if err := j.move(Running, "", now); err != nil {
			return err
		}
	default:
		return ErrLeaseLost
	}
	j.LeaseUntil = now.Add(LeaseTTL)
	return nil
}

// Extend keeps a lease and tells the farm what the worker does. Workers call it every five seconds. Another holder,
// or a job that is over, is ErrLeaseLost.
func (f *Farm) Extend(ctx context.Context, ref LeaseRef, p Progress) (Directive, error) {
	f.setup()
	var answer Directive
	_, err := f.updateJob(ctx, ref.JobID, func(r *Record, j *JobRecord) error {
		if err := f.hold(j, ref); err != nil {
			return err
		}
		if p.Step != "" {
			j.Job.Step = oneLine(p.Step)
		}
		f.setStrategy(r, j, p.Strategy)
		j.report(p.Report)
		f.seeAgain(j.Job.Worker)
		answer = Directive{Cancel: j.Job.CancelRequested, TTL: LeaseTTL}
		return nil
	})
	if err != nil {
		f.unheard(ctx, err)
		return Directive{}, err
	}
	return answer, nil
}

// report keeps what a worker tells about how it builds.
func (j *JobRecord) report(told *module.BuildReport) {
	if told != nil {
		j.Job.Report = told
	}
}

// setStrategy notes what a job is built with. From cross to QEMU is the one fallback there is: it is remembered, so
// that the module's next build does not try again.
func (f *Farm) setStrategy(r *Record, j *JobRecord, s module.Strategy) {
	was := j.Job.Strategy
	if s == module.StrategyAuto || s == was {
		return
	}
	if was == module.StrategyCross && s == module.StrategyQEMU {
		f.remember(r, j, was)
	}
	j.Job.Strategy = s
}

// remember notes that a strategy cannot build the module for the job's platform.
func (f *Farm) remember(r *Record, j *JobRecord, s module.Strategy) {
	j.Job.FallbackFrom = s
	r.NewFailed = append(r.NewFailed, FailedStrategy{Platform: j.Job.Platform, Strategy: s, At: f.now()})
}

// Held returns the job and build that a lease holds, and renews it like Extend.
func (f *Farm) Held(ctx context.Context, ref LeaseRef) (Job, Build, error) {
	f.setup()
	rec, err := f.updateJob(ctx, ref.JobID, func(_ *Record, j *JobRecord) error { return f.hold(j, ref) })
	if err != nil {
		return Job{}, Build{}, err
	}
	b, err := f.view(ctx, rec)
	return rec.find(ref.JobID).Job, b, err
}
