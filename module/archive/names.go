package archive

import (
	"hash/maphash"
	"strings"
)

// kind is what a name in the archive is.
type kind uint64

const (
	kindNone    kind = iota
	kindImplied      // a folder that only occurs in longer names
	kindFolder       // a folder with an entry of its own
	kindFile         // a file that is not executable
	kindProgram      // an executable file that is neither of the next two
	kindScript       // an executable file that begins with #!
	kindNative       // an ELF, Mach-O or PE file; details are in the inspector
	kindLink         // a symbolic link
	kindMask    kind = 7
)

// names remembers every name of an archive in eight bytes each, whatever its length:
// an open hash table of [47 bits of the case-folded name][14 bits of the exact name]
// [3 bits kind]. The seeds are random, so nobody can prepare names that collide; for
// a million names the chance that two different ones are taken for the same is below
// one in a million.
type names struct {
	slots        []uint64
	count        int
	bits         int
	folded, self maphash.Seed
}

const (
	foldShift = 17
	kindBits  = 3
)

func newNames() *names {
	const bits = 10
	return &names{slots: make([]uint64, 1<<bits), bits: bits, folded: maphash.MakeSeed(), self: maphash.MakeSeed()}
}

// key is the slot of a name without its kind.
func (t *names) key(name string) uint64 {
	fold := maphash.String(t.folded, strings.ToLower(name))
	self := maphash.String(t.self, name)
	return fold>>foldShift<<foldShift | self>>(64-foldShift+kindBits)<<kindBits
}

// get returns what a name is; kindNone when it is not there.
func (t *names) get(name string) kind {
	slot, _ := t.find(t.key(name))
	return kind(t.slots[slot]) & kindMask
}

// set records what a name is. clash tells that it is new and differs from another
// one only in upper and lower case.
func (t *names) set(name string, k kind) (clash bool) {
	if (t.count+1)*4 > len(t.slots)*3 {
		t.grow()
	}
	key := t.key(name)
	slot, clash := t.find(key)
	isNew := t.slots[slot] == 0
	if isNew {
		t.count++
	}
	t.slots[slot] = key | uint64(k)
	return clash && isNew
}

// find returns the slot that holds the key or the free one where it belongs.
func (t *names) find(key uint64) (slot int, clash bool) {
	mask := len(t.slots) - 1
	for slot = int(key >> (64 - t.bits)); ; slot = (slot + 1) & mask {
		switch there := t.slots[slot]; {
		case there == 0, there>>kindBits == key>>kindBits:
			return slot, clash
		case there>>foldShift == key>>foldShift:
			clash = true
		}
	}
}

func (t *names) grow() {
	old := t.slots
	t.bits++
	t.slots = make([]uint64, 1<<t.bits)
	for _, value := range old {
		if value != 0 {
			slot, _ := t.find(value)
			t.slots[slot] = value
		}
	}
}
