package pdf

import (
	"unicode"
	"unicode/utf8"
)

// breakLines splits one paragraph into lines no wider than limit, in thousandths
// of an em. The lines joined are the paragraph: nothing is added and nothing is
// lost; blanks stay at the end of the line they end, beyond the limit if need be. A
// line breaks
//
//   - after blanks,
//   - before and after Chinese and Japanese characters and emoji,
//   - but never before closing punctuation or a combining mark, nor after opening
//     punctuation (kinsoku), nor within a Latin word, nor within a pair of dashes
//     or dots,
//   - unless one unbreakable stretch is wider than the whole line: it breaks where
//     the line is full.
//
// Every line has at least one letter, so that breaking ends whatever the limit is.
func breakLines(paragraph []letter, limit int) [][]letter {
	if len(paragraph) == 0 {
		return [][]letter{nil}
	}
	var lines [][]letter
	for len(paragraph) > 0 {
		end := lineEnd(paragraph, limit)
		lines = append(lines, paragraph[:end:end])
		paragraph = paragraph[end:]
	}
	return lines
}

// lineEnd returns where the first line ends.
func lineEnd(letters []letter, limit int) int {
	used, last, lenient := 0, 0, 0
	for i, l := range letters {
		after := first(l.text)
		if i > 0 {
			before, _ := utf8.DecodeLastRuneInString(letters[i-1].text)
			if canBreak(before, after) {
				last = i
			}
			if !forbidden(before, after) {
				lenient = i
			}
		}
		used += l.width
		if isBlank(after) || used <= limit || i == 0 {
			continue // blanks may stand beyond the limit
		}
		switch {
		case last > 0:
			return last
		case lenient > 0:
			return lenient
		default:
			return i
		}
	}
	return len(letters)
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
	if isBlank(after) || closing[after] || unicode.Is(unicode.M, after) || before == '\u200d' {
		return true
	}
	return opening[before] || before == after && paired[before]
}

func isBlank(r rune) bool { return r == ' ' || r == '\u3000' }

// ideographic reports whether lines may break on both sides of r as a rule.
func ideographic(r rune) bool {
	switch {
	case r < 0x1100:
		return false
	case r >= 0x3000 && r <= 0x303f, r >= 0xff00 && r <= 0xffef, r >= 0x1f000 && r <= 0x1faff, paired[r]:
		return true
	}
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Hangul)
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
