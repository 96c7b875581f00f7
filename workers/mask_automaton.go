package workers

// automaton finds many texts in one pass over bytes, as Aho and Corasick taught: a state is the longest end of what
// was read that begins one of the texts.
type automaton struct {
	class   [256]uint8 // bytes that occur in no text share class 0
	classes int32
	table   []int32 // state and class to state; state 0 is the beginning
	depth   []int32 // length of what a state stands for
	match   []int32 // length of the longest text that ends in a state; 0 when none does
	rest    []int32 // where to go on from a state that no text goes on from: the longest end of it that begins one
	longest int32
}

// newAutomaton makes one for texts of at least one byte each; nil when there are none.
func newAutomaton(texts []string) *automaton {
	if len(texts) == 0 {
		return nil
	}
	a := &automaton{classes: 1}
	for _, text := range texts {
		a.longest = max(a.longest, int32(len(text))) //nolint:gosec // secrets are short
		for i := range len(text) {
			if a.class[text[i]] == 0 && a.classes < 256 {
				a.class[text[i]] = uint8(a.classes) //nolint:gosec // below 256
				a.classes++
			}
		}
	}
	a.grow()
	for _, text := range texts {
		a.plant(text)
	}
	a.link()
	return a
}

// grow adds a state and returns it.
func (a *automaton) grow() int32 {
	a.table = append(a.table, make([]int32, a.classes)...)
	a.depth, a.match = append(a.depth, 0), append(a.match, 0)
	return int32(len(a.depth) - 1) //nolint:gosec // secrets are few and short
}

// plant adds a text to the tree.
func (a *automaton) plant(text string) {
	state := int32(0)
	for i := range len(text) {
		edge := state*a.classes + int32(a.class[text[i]])
		if a.table[edge] == 0 {
			next := a.grow()
			a.table[edge], a.depth[next] = next, a.depth[state]+1
		}
		state = a.table[edge]
	}
	a.match[state] = a.depth[state]
}

// link fills in where a state goes on when its text does not, breadth first.
func (a *automaton) link() {
	fail := make([]int32, len(a.depth))
	a.rest = make([]int32, len(a.depth))
	queue := []int32{0}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		a.match[state] = max(a.match[state], a.match[fail[state]])
		if a.rest[state] = state; state != 0 && !a.goesOn(state) {
			a.rest[state] = a.rest[fail[state]] // which is shorter, so it is known
		}
		for class := range a.classes {
			edge := state*a.classes + class
			next, other := a.table[edge], a.table[fail[state]*a.classes+class]
			switch {
			case next == 0:
				a.table[edge] = other
			case state != 0:
				fail[next] = other
				fallthrough
			default:
				queue = append(queue, next)
			}
		}
	}
}

// goesOn reports whether a text goes on from a state. It is asked before the state's edges lead anywhere else.
func (a *automaton) goesOn(state int32) bool {
	for _, next := range a.table[state*a.classes : (state+1)*a.classes] {
		if next != 0 {
			return true
		}
	}
	return false
}

// next is the state after one more byte.
func (a *automaton) next(state int32, b byte) int32 {
	return a.table[state*a.classes+int32(a.class[b])]
}
