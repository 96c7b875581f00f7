package docker

// CountByHelper has the runner count files as one does that is not root.
func (r *Runner) CountByHelper() { r.byHelper = true }
