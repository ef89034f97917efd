package picture

import "fmt"

// The codes of a [Problem]. They appear in rows and in the API: never rename one.
const (
	// CodeUndecodable: truncated, damaged or not what its header says.
	CodeUndecodable = "image-undecodable"
	// CodeTooLarge: more pixels or bytes, or a longer side, than is decoded.
	CodeTooLarge = "image-too-large"
	// CodeUnsupported: a known picture format, or a kind of it, without a decoder
	// here.
	CodeUnsupported = "image-format-unsupported"
	// CodeTooSlow: decoding took more of a processor's time than one picture may. Only Linux tells that time; elsewhere it is the
	// clock's, and trying again may help if the machine was very busy.
	CodeTooSlow = "image-too-slow"
	// CodeNotImage: no picture format that is known here.
	CodeNotImage = "image-format-unknown"
)

// The codes of the notes in a [Result], whose picture is shown all the same.
const (
	// CodeDamaged: a part of the picture could not be read.
	CodeDamaged = "image-damaged"
	// CodeFirstPage: the file has more pages.
	CodeFirstPage = "image-first-page"
	// CodeFirstFrame: the file is an animation.
	CodeFirstFrame = "image-first-frame"
	// CodeColours: the colours are of a kind that could not be brought to sRGB.
	CodeColours = "image-colours-unconverted"
	// CodeTransparency: the transparency could not be read.
	CodeTransparency = "image-transparency-unread"
	// CodeDetails: the file has more metadata than is read, so that its orientation or its
	// colours may be unknown.
	CodeDetails = "image-details-unread"
)

// Problem says why a picture cannot be shown, or what must be known of one that is.
// Trying again does not help.
type Problem struct {
	// Code is stable and machine-readable.
	Code string
	// Detail is English for people.
	Detail string
	// Err is what the decoder said, if it said anything.
	Err error
	// Stack is where a decoder panicked; nil if none did. It is a bug, ours or theirs,
	// that somebody should hear of.
	Stack []byte
}

func problem(code, format string, args ...any) *Problem {
	return &Problem{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// tooMuchMemory is the problem of a picture that needs more memory than is given to one. Whoever reads the PDF can do nothing
// with the figures: they are in err.
func tooMuchMemory(err error) *Problem {
	p := problem(CodeTooLarge, "The picture is too large to be shown; the original is kept.")
	p.Err = err
	return p
}

func (p *Problem) Error() string {
	if p.Err == nil {
		return p.Code + ": " + p.Detail
	}
	return p.Code + ": " + p.Detail + ": " + p.Err.Error()
}

func (p *Problem) Unwrap() error { return p.Err }
