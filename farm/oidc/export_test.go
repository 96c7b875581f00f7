package oidc

// HostOf is hostOf.
func HostOf(issuer string) string { return hostOf(issuer) }
