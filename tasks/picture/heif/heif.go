// Package heif implements the decoding of HEIC photos by libheif and libde265, compiled to
// WebAssembly, in a sandbox. The decoder never sees more memory than it is given, the
// file system, the network or a clock, and nothing it does can end the process.
//
// Both libraries are under the LGPL-3.0; see ORIGIN.md.
package heif

import "errors"

// ErrUnsupported says that this casepress was built without the decoder, or that there is none for
// the picture.
var ErrUnsupported = errors.New("heif: no decoder")

// ErrDamaged says that the decoder refused the file.
var ErrDamaged = errors.New("heif: damaged or of an unknown kind")

// ErrTooLarge says that the picture is not of the size that was promised.
var ErrTooLarge = errors.New("heif: too large")

// ErrMemory says that decoding the picture needs more memory than it was given.
var ErrMemory = errors.New("heif: more memory than the picture may have")

// ErrSandbox says that the sandbox could not be set up, for want of memory for instance, which the
// error then wraps. It is no fault of the picture's, and another time it may be there.
var ErrSandbox = errors.New("heif: no sandbox")
