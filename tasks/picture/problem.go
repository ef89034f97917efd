package picture

import "fmt"

// The codes of a [Problem]. They appear in rows and in the API: never rename one.
const (
	// CodeUndecodable: truncated, damaged or not what its header says.
	CodeUndecodable = "image-undecodable"
	// CodeTooLarge: more pixels, or a longer side, than is decoded.
	CodeTooLarge = "image-too-large"
	// CodeUnsupported: a known picture format without a decoder here.
	CodeUnsupported = "image-format-unsupported"
	// CodeNotImage: no picture format that is known here.
	CodeNotImage = "image-format-unknown"
)

// Problem says why a picture cannot be shown. Trying again does not help.
type Problem struct {
	// Code is stable and machine-readable.
	Code string
	// Detail is one English sentence for people.
	Detail string
	// Err is what the decoder said, if it said anything.
	Err error
}

func problem(code, format string, args ...any) *Problem {
	return &Problem{Code: code, Detail: fmt.Sprintf(format, args...)}
}

func (p *Problem) Error() string {
	if p.Err == nil {
		return p.Code + ": " + p.Detail
	}
	return p.Code + ": " + p.Detail + ": " + p.Err.Error()
}

func (p *Problem) Unwrap() error { return p.Err }
