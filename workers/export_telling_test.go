package workers

// TellingLine exports tellingLine.
func TellingLine(output string) string { return tellingLine(output) }
