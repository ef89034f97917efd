package tasks

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// PanicError is a panic in the code of a kind, as an error. Its text goes to rows and timelines, and has nothing of the patient.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return "the code of the kind panicked with " + PanicText(e.Value) + "; the server's log says where"
}

// PanicText is what may be shown and logged of what somebody panicked with: the text of an error of Go's own runtime, such as an
// index out of range, and of anything else the type. Its text may be made of what is being worked on, and so of patient data. The
// stack, which has no texts, says where it was.
func PanicText(value any) string {
	if err, ok := value.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", value)
}

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
