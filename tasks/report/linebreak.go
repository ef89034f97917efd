package report

import "unicode"

// breakLines splits one paragraph into lines no wider than limit, where width is
// that of a rune. The lines joined are the paragraph: nothing is added and nothing
// is lost; blanks stay at the end of the line they end, beyond the limit if need
// be. A line breaks
//
//   - after blanks,
//   - before and after Chinese and Japanese characters,
//   - but never before closing punctuation or a combining mark, nor after opening
//     punctuation (kinsoku), nor within a Latin word, nor within a pair of dashes
//     or dots,
//   - unless one unbreakable stretch is wider than the whole line: it breaks where
//     the line is full.
//
// Every line has at least one rune, so it ends whatever the limit.
func breakLines(s string, limit float64, width func(rune) float64) []string {
	runes := []rune(s)
	var lines []string
	for start := 0; start < len(runes); {
		end := lineEnd(runes, start, limit, width)
		lines = append(lines, string(runes[start:end]))
		start = end
	}
	if lines == nil {
		lines = []string{""}
	}
	return lines
}

// lineEnd returns where the line that begins at start ends.
func lineEnd(runes []rune, start int, limit float64, width func(rune) float64) int {
	used, last, lenient := 0.0, 0, 0
	for i := start; i < len(runes); i++ {
		r := runes[i]
		if i > start {
			if canBreak(runes[i-1], r) {
				last = i
			}
			if !forbidden(runes[i-1], r) {
				lenient = i
			}
		}
		if r == ' ' || r == '\u3000' {
			used += width(r)
			continue // blanks hang over the edge
		}
		used += width(r)
		if used > limit && i > start {
			switch {
			case last > start:
				return last
			case lenient > start:
				return lenient
			default:
				return i
			}
		}
	}
	return len(runes)
}

// canBreak reports whether a line may end between two neighbours.
func canBreak(before, after rune) bool {
	if forbidden(before, after) {
		return false
	}
	return isBlank(before) || ideographic(before) || ideographic(after)
}

// forbidden reports whether a break between two neighbours would be wrong even in
// a stretch that has no better one.
func forbidden(before, after rune) bool {
	if isBlank(after) || closing[after] || unicode.In(after, unicode.Mn, unicode.Mc, unicode.Me) {
		return true
	}
	return opening[before] || before == after && paired[before]
}

func isBlank(r rune) bool { return r == ' ' || r == '\u3000' }

// ideographic reports whether lines may break on both sides of r as a rule.
func ideographic(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Hangul) ||
		r >= 0x3000 && r <= 0x303f || r >= 0xff00 && r <= 0xffef || paired[r]
}

func set(s string) map[rune]bool {
	m := map[rune]bool{}
	for _, r := range s {
		m[r] = true
	}
	return m
}

var (
	// closing must not begin a line.
	closing = set("!%),.:;?]}¢°·ˇˉ―‖’”…‰′″›»℃∶、。〃々〆〉》」』】〕〗〙〛〞〟ーゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ" +
		"︰︱︳﹐﹑﹒﹔﹕﹖﹗﹚﹜﹞！＂％＇），．：；？］｜｝～￠—–")
	// opening must not end a line.
	opening = set("$([{£¥‘“‹«№〈《「『【〔〖〘〚〝﹙﹛﹝＄（．［｛￡￥#＃")
	// paired come in twos that stay together.
	paired = set("—…―‥")
)
