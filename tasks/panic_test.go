package tasks_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

// The runtime's own errors say what is wrong, and nothing of a patient; anything else might.
func TestPanicText(t *testing.T) {
	name := "Li"
	for want, wild := range map[string]func(){
		"runtime error: index out of range [2] with length 2":              func() { _ = name[len(name)] },
		"interface conversion: interface {} is string, not int":            func() { _ = any(name).(int) },
		"runtime error: invalid memory address or nil pointer dereference": func() { _ = *(*int)(nil) },
		"a value of type string":                                           func() { panic("no room for " + name) },
		"a value of type *errors.errorString":                              func() { panic(errors.New(name)) },
	} {
		err := tasks.Guard(func() error { wild(); return nil })
		var p *tasks.PanicError
		require.ErrorAs(t, err, &p)
		require.Equal(t, want, tasks.PanicText(p.Value))
		require.EqualError(t, err, "the code of the kind panicked with "+want+"; the server's log says where")
	}
}
