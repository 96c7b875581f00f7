package module

// Visibility says who may see a module.
type Visibility string

// The visibilities of the wire.
const (
	// VisibilityPrivate shows the module to its organization only.
	VisibilityPrivate Visibility = "private"
	// VisibilityPublic shows and lists it to everybody.
	VisibilityPublic Visibility = "public"
	// VisibilityPublicUnlisted shows it to everybody who knows its id.
	VisibilityPublicUnlisted Visibility = "public_unlisted"
)

// ParseVisibility reads a visibility; nothing is not one. The error is a Fault
// without a Path.
func ParseVisibility(s string) (Visibility, error) {
	switch v := Visibility(s); v {
	case VisibilityPrivate, VisibilityPublic, VisibilityPublicUnlisted:
		return v, nil
	}
	return "", Fault{
		Value: s, Problem: "not a visibility",
		Advice: choose(s, "private", "public", "public_unlisted"),
	}
}
