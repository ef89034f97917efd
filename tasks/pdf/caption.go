package pdf

import (
	"math"
	"time"
)

// captionPlace says where a caption stands.
type captionPlace int

const (
	captionBelow  captionPlace = iota // below the picture, the facts side by side
	captionBeside                     // beside the picture, the facts under each other
	captionSmall                      // below the picture, in two or three small lines
)

const captionGap = 10.0

// caption lays out what is known of an image: what must be known of it, when it was taken, the size
// of the original, and its digest.
func (l *layout) caption(img Image, x, y, w float64, k captionPlace) {
	if s := l.captionRemarks(img); len(s) > 0 {
		y = l.remark(x, y, w, s...) + 8
	}
	facts := l.captionFacts(img)
	switch k {
	case captionSmall:
		y = l.addLines(x, y, styleSmall, l.lines(brief(img), styleSmall, w))
		l.addLines(x, y, styleHash, l.balanced(img.SHA256, styleHash, w))
		return
	case captionBeside:
		for _, f := range facts {
			l.fields(x, y, w, styleBody, []field{f})
			y += l.fieldsHeight([]field{f}, styleBody, w) + 6
		}
	case captionBelow:
		l.fields(x, y, w, styleBody, facts)
		y += l.fieldsHeight(facts, styleBody, w) + 6
	}
	l.addLine(x, y, styleLabel, l.words.digest)
	l.addLines(x, y+styleLabel.leading()+1, styleDigest, l.balanced(img.SHA256, styleDigest, w))
}

// captionHeight is the height of a caption.
func (l *layout) captionHeight(img Image, w float64, k captionPlace) float64 {
	height := 0.0
	if s := l.captionRemarks(img); len(s) > 0 {
		height += l.remarkHeight(w, s...) + 8
	}
	facts := l.captionFacts(img)
	switch k {
	case captionSmall:
		return height + float64(len(l.lines(brief(img), styleSmall, w)))*styleSmall.leading() +
			float64(len(l.balanced(img.SHA256, styleHash, w)))*styleHash.leading()
	case captionBeside:
		for _, f := range facts {
			height += l.fieldsHeight([]field{f}, styleBody, w) + 6
		}
	case captionBelow:
		height += l.fieldsHeight(facts, styleBody, w) + 6
	}
	return height + styleLabel.leading() + 1 + float64(len(l.balanced(img.SHA256, styleDigest, w)))*styleDigest.leading()
}

// captionRemarks are the sentences about a picture that is shown.
func (l *layout) captionRemarks(img Image) (sentences []string) {
	if img.Problem != "" {
		return nil // there is no picture of which to say them
	}
	if img.Damaged != "" {
		sentences = append(sentences, l.words.damaged+" · "+img.Damaged)
	}
	return append(sentences, img.Notes...)
}

func (l *layout) captionFacts(img Image) []field {
	shown := ""
	if img.Problem == "" {
		shown = inPixels(img.Width, img.Height)
	}
	return []field{
		{l.words.taken, orDash(l.taken(img))},
		{l.words.original, joined(" · ", inPixels(img.SourceWidth, img.SourceHeight), size(img.Bytes))},
		{l.words.shownAt, orDash(shown)},
	}
}

// taken says when a picture was taken, and whether the camera told no zone.
func (l *layout) taken(img Image) string {
	if _, err := time.Parse(localTime, img.CapturedAt); err == nil {
		return instant(img.CapturedAt) + l.words.noZone
	}
	return instant(img.CapturedAt)
}

// brief is the caption of an image that shares its page.
func brief(img Image) string {
	return joined(" · ", instant(img.CapturedAt), inPixels(img.SourceWidth, img.SourceHeight), size(img.Bytes))
}

func inPixels(w, h int) string {
	if s := pixels(w, h); s != "" {
		return s + " px"
	}
	return ""
}

// balanced breaks a digest into as few lines as possible, of about the same length.
func (l *layout) balanced(digest string, s style, limit float64) [][]letter {
	width := l.width(s, digest)
	n := math.Ceil(width / limit)
	if n < 2 {
		return l.lines(digest, s, limit)
	}
	return l.lines(digest, s, min(limit, width/n*1.06))
}
