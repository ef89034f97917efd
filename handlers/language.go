package handlers

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// lang is a language that people get answers in.
type lang int

const (
	english lang = iota
	chinese
)

// tag is the language as Content-Language names it.
func (l lang) tag() string { return [...]string{"en", "zh-CN"}[l] }

var matcher = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese})

// acceptedLanguage picks the best of our languages for an Accept-Language header; English if it names none of
// them or cannot be read.
func acceptedLanguage(header string) lang {
	wanted := wantedLanguages(header)
	if len(wanted) == 0 {
		return english
	}
	_, i, _ := matcher.Match(wanted...)
	return lang(i)
}

// wantedLanguages are those of an Accept-Language header, the best first; none if it cannot be read.
func wantedLanguages(header string) []language.Tag {
	if header == "" || len(header) > 512 {
		return nil
	}
	wanted, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return nil
	}
	return wanted
}

// preferredLanguage is the best one of an Accept-Language header; "" if it names none.
func preferredLanguage(header string) string {
	wanted := wantedLanguages(header)
	if len(wanted) == 0 || wanted[0] == language.Make("mul") { // "*", which is any
		return ""
	}
	return wanted[0].String()
}

// text is one sentence in both languages, a format for fmt.
type text struct{ en, zh string }

func (t text) in(l lang, args ...any) string {
	format := t.en
	if l == chinese {
		format = t.zh
	}
	if len(args) == 0 {
		return format
	}
	local := make([]any, len(args))
	for i, arg := range args {
		if inner, ok := arg.(text); ok {
			arg = inner.in(l)
		}
		local[i] = arg
	}
	return fmt.Sprintf(format, local...)
}

// sentences joins details that each are a sentence without its full stop.
func sentences(l lang, details []string) string {
	if l == chinese {
		return strings.Join(details, "；") + "。"
	}
	return strings.Join(details, "; ") + "."
}

// grouped writes a number with its thousands apart, as both languages do.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// byteSize writes a limit the way it was set: 200 MiB, not 209715200.
func byteSize(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
	}
	return grouped(n) + " B"
}

// period writes a limit the way it was set: 30m, not 30m0s.
func period(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
