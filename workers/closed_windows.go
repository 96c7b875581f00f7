package workers

// mayRead: who made the files of a build owns them here, so nothing is closed to it.
func mayRead(string) error { return nil }
