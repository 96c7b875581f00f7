package workers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// CachePath is where a container sees the cache of its job.
const CachePath = "/cache"

// Cache names what a build keeps for the next one of the same module and platform.
type Cache struct {
	// Key is the same for builds that share a cache, and fit for a name.
	Key string
	// Module, Platform and Scope ("release" or "other") say to people whose it is.
	Module, Platform, Scope string
}

// cache keeps builds apart: by repository, module and platform, and releases from all else. A release is built from the
// tag of its version; what a branch, a commit or a folder of somebody's machine leaves behind must never be found by
// one. A build may ask for none.
func (j *job) cache() Cache {
	b := j.a.Build
	if b.NoCache {
		return Cache{}
	}
	c := Cache{Module: b.Module.String(), Platform: j.a.Job.Platform.String(), Scope: "other"}
	if tag := strings.TrimPrefix(b.Ref, "refs/tags/"); !b.Version.IsZero() && strings.TrimPrefix(tag, "v") == b.Version.String() {
		c.Scope = "release"
	}
	sum := sha256.New()
	for _, part := range []string{b.OrgID, b.Repo, c.Module, c.Platform, c.Scope} {
		fmt.Fprintf(sum, "%d:%s\n", len(part), part)
	}
	c.Key = hex.EncodeToString(sum.Sum(nil)[:10]) + "-" + j.a.Job.Platform.Dashed() + "-" + c.Scope
	return c
}

// Archives of packages are copied, since two containers cannot share apt's own folder, which it locks.
const (
	restorePackages = `cp -an ` + CachePath + `/apt/. /var/cache/apt/archives/ 2>/dev/null`
	savePackages    = `mkdir -p ` + CachePath + `/apt; cp -an /var/cache/apt/archives/*.deb ` + CachePath + `/apt/ 2>/dev/null`
)

// restoreCaches brings back what an earlier build left in the folders that the module names, without touching what the
// commit has there, and the archives of packages.
func (j *job) restoreCaches(ctx context.Context, box Container, c checkout) error {
	if !j.copiesCaches(c) {
		return nil
	}
	var script strings.Builder
	script.WriteString(restorePackages)
	for _, folder := range c.settings.Caches {
		from, to := keptFolder(folder), quoted(folder)
		script.WriteString("\nif [ -d " + from + " ]; then mkdir -p " + to + " && cp -an " + from + "/. " + to + "/; fi")
	}
	return j.copyCaches(ctx, box, c, script.String())
}

// saveCaches keeps them for the next build.
func (j *job) saveCaches(ctx context.Context, box Container, c checkout) error {
	if !j.copiesCaches(c) {
		return nil
	}
	var script strings.Builder
	script.WriteString(savePackages)
	for _, folder := range c.settings.Caches {
		kept, from := keptFolder(folder), quoted(folder)
		script.WriteString("\nif [ -d " + from + " ]; then mkdir -p " + CachePath + "/folders && cp -a " + from + " " + kept + ".$$ && " +
			"rm -rf " + kept + " && mv -T " + kept + ".$$ " + kept + "; fi")
	}
	return j.copyCaches(ctx, box, c, script.String())
}

// copiesCaches reports whether there may be anything to copy: packages are installed by set-ups.
func (j *job) copiesCaches(c checkout) bool {
	return j.cache().Key != "" && (len(c.settings.Caches) > 0 || strings.TrimSpace(c.manifest.Build.Setup) != "")
}

// copyCaches runs a script that copies. A cache that cannot be copied costs time, and no build.
func (j *job) copyCaches(ctx context.Context, box Container, c checkout, script string) error {
	ctx, cancel := j.within(ctx, c.settings)
	defer cancel()
	out := boundedBuffer{most: maxTail}
	exit, err := box.Run(ctx, Command{Script: script + "\ntrue", Dir: c.inside, Output: &out})
	if err != nil {
		return causeOf(ctx, err)
	}
	if exit.Code != 0 || len(out.data) > 0 {
		j.log.say("caches: %s", lastLine(out.String()))
	}
	return nil
}

// keptFolder is where in the cache a folder of the module is kept.
func keptFolder(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return CachePath + "/folders/" + hex.EncodeToString(sum[:8])
}

// quoted is a text as one word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
