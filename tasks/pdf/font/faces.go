package font

import (
	_ "embed" // the typefaces
	"sync"
)

// Face names one of the typefaces.
type Face uint8

// The typefaces. Text is set in Sans, headings in SemiBold; the others have the characters that these
// lack.
const (
	Sans      Face = iota // Latin, Greek, Cyrillic, Vietnamese, raised and lowered digits
	SemiBold              // the same, heavier
	Chinese               // Chinese, Japanese
	Korean                // Hangul
	Thai                  //
	Operators             // arrows and mathematics
	Symbols               // technical and medical signs
	Emoji                 // in one colour

	Faces // how many there are
)

//go:embed NotoSans-Regular.ttf
var notoSans []byte

//go:embed NotoSans-SemiBold.ttf
var notoSansSemiBold []byte

//go:embed NotoSansSC-Regular.ttf
var notoSansSC []byte

//go:embed NotoSansKR-Hangul.ttf
var notoSansKR []byte

//go:embed NotoSansThai-Regular.ttf
var notoSansThai []byte

//go:embed NotoSansMath-Operators.ttf
var notoSansMath []byte

//go:embed NotoSansSymbols-Regular.ttf
var notoSansSymbols []byte

//go:embed NotoEmoji-Regular.ttf
var notoEmoji []byte

type face struct {
	name string // for the PDF
	file []byte
	font func() *Font
}

var faces = func() (all [Faces]face) {
	all = [Faces]face{
		Sans:      {name: "NotoSans", file: notoSans},
		SemiBold:  {name: "NotoSans-SemiBold", file: notoSansSemiBold},
		Chinese:   {name: "NotoSansSC", file: notoSansSC},
		Korean:    {name: "NotoSansKR", file: notoSansKR},
		Thai:      {name: "NotoSansThai", file: notoSansThai},
		Operators: {name: "NotoSansMath", file: notoSansMath},
		Symbols:   {name: "NotoSansSymbols", file: notoSansSymbols},
		Emoji:     {name: "NotoEmoji", file: notoEmoji},
	}
	for i := range all {
		all[i].font = sync.OnceValue(func() *Font {
			f, err := Parse(all[i].file)
			if err != nil {
				panic(err) // the file is part of the build, and a test reads it
			}
			return f
		})
	}
	return all
}()

// Name returns the typeface's PostScript name.
func (f Face) Name() string { return faces[f].name }

// Font returns the typeface, read at its first use.
func (f Face) Font() *Font { return faces[f].font() }
