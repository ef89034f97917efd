//go:build !linux

package picture

// lowerPriority does nothing: threads have no priority of their own here that could be lowered without more.
func lowerPriority() {}
