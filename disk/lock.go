package disk

import "errors"

// ErrLocked says that another process, or this one, has locked the folder.
var ErrLocked = errors.New("in use by another process")

// lockName is the file in a folder that stands for its lock where the folder cannot be locked itself.
const lockName = "lock"
