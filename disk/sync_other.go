//go:build !linux

package disk

import "os"

// Durable is a flag of OpenFile: each write returns only when what it wrote, and what is needed to
// read that back, is on stable storage, as if a Sync of just that range had followed. A write that
// returns an error is to be treated like a failed Sync.
const Durable = os.O_SYNC

// Sync is os.File's, which on macOS asks the drive itself to flush (F_FULLFSYNC).
func (f osFile) Sync() error { return f.File.Sync() }
