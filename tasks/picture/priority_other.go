//go:build !linux

package picture

import (
	"errors"
	"time"
)

// lowerPriority does nothing: threads have no priority of their own here that could be lowered without more.
func lowerPriority() {}

func threadID() int { return 0 }

// threadTime is not known here without more.
func threadTime(int) (time.Duration, error) { return 0, errors.ErrUnsupported }
