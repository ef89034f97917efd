package tasks

import (
	"fmt"
	"runtime/debug"
)

// PanicError is a panic in the code of a kind, as an error.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the code of the kind panicked: %v", e.Value) }

// Guard calls what is a kind's own, and returns its error, or a *PanicError. Those who keep and tell of submissions call
// Decode, Event and the functions of [Rows] so: in their goroutines a panic would end the process, and again after
// every start, for the submission is still there.
func Guard(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	return call()
}
