package disk

import (
	"fmt"
	"syscall"
)

// Durable is a flag of OpenFile: each write returns only when what it wrote, and what is needed to
// read that back, is on stable storage, as if a Sync of just that range had followed. A write that
// returns an error is to be treated like a failed Sync.
const Durable = syscall.O_DSYNC

// Sync uses fdatasync: it spares the journal commit that a mere change of the modification time costs.
func (f osFile) Sync() error {
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			failed = syscall.Fdatasync(int(fd))
			if failed != syscall.EINTR {
				return
			}
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
	}
	return nil
}
