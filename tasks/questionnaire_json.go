package tasks

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"casepress/tasks/instrument"
)

// A response is encoded when it is accepted and again for its row, and decoded three times until it is scored: in a burst
// that was a good part of all work on it. So the usual one is written and read without reflection, and its result written.
// What is written is byte for byte what encoding/json writes, which is the format; what is read counts only if it is written
// as the same bytes again, and everything else encoding/json reads.

// appendResponse appends a response as encoding/json writes it.
func appendResponse(b []byte, r *QuestionnaireResponse) ([]byte, error) {
	b = appendText(append(b, `{"id":`...), r.ID)
	b = strconv.AppendInt(append(b, `,"revision":`...), int64(r.Revision), 10)
	var err error
	if r.Amends != nil {
		if b, err = appendMarshaled(b, "amends", r.Amends); err != nil {
			return nil, err
		}
	}
	b = appendMember(b, "study", r.Study)
	b = appendMember(b, "site", r.Site)
	b = appendText(append(b, `,"patientId":`...), r.PatientID)
	b = appendMember(b, "visitId", r.VisitID)
	b = appendIdentity(append(b, `,"rule":`...), r.Rule)
	if r.StudyFile != nil {
		b = strconv.AppendInt(append(b, `,"studyFile":{"version":`...), r.StudyFile.Version, 10)
		b = append(appendText(append(b, `,"sha256":`...), r.StudyFile.SHA256), '}')
	}
	b = appendText(append(b, `,"language":`...), r.Language)
	b = appendText(append(b, `,"authored":`...), r.Authored)
	b = appendMember(b, "started", r.Started)
	b = appendMember(b, "deviceTime", r.DeviceTime)
	if b, err = appendAnswers(b, r.Answers); err != nil {
		return nil, err
	}
	if b, err = appendClaims(b, r.Claims); err != nil {
		return nil, err
	}
	if len(r.Flags) > 0 {
		if b, err = appendMarshaled(b, "flags", r.Flags); err != nil {
			return nil, err
		}
	}
	if len(r.Warnings) > 0 {
		if b, err = appendMarshaled(b, "warnings", r.Warnings); err != nil {
			return nil, err
		}
	}
	b = appendMember(b, "crisisText", r.CrisisText)
	b = appendMember(b, "crisisTextLanguage", r.CrisisLanguage)
	if r.LimitHours != 0 {
		b = strconv.AppendInt(append(b, `,"limitHours":`...), r.LimitHours, 10)
	}
	b = appendText(append(b, `,"mediaType":`...), r.MediaType)
	b = appendText(append(b, `,"original":`...), r.Original)
	return append(b, '}'), nil
}

// appendAnswers appends the answers in the order of [instrument.Answers.MarshalJSON].
func appendAnswers(b []byte, answers instrument.Answers) ([]byte, error) {
	var room [32]string // most instruments have fewer items
	ids := slices.AppendSeq(room[:0], maps.Keys(answers))
	slices.Sort(ids)
	if !allPlain(ids) {
		return appendMarshaled(b, "answers", answers)
	}
	b = append(b, `,"answers":{`...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, id), ':')
		if answer := answers[id]; answer.NotAsked {
			b = append(b, `"`+instrument.NotAsked+`"`...)
		} else {
			b = strconv.AppendInt(b, answer.Value, 10)
		}
	}
	return append(b, '}'), nil
}

func appendClaims(b []byte, claims instrument.Claims) ([]byte, error) {
	if len(claims) == 0 {
		return b, nil
	}
	var room [32]string
	ids := slices.AppendSeq(room[:0], maps.Keys(claims))
	slices.Sort(ids)
	b = append(b, `,"claims":{`...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendDecimal(append(appendText(b, id), ':'), claims[id]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendResult appends what scoring made as encoding/json writes it.
func appendResult(b []byte, r *QuestionnaireResult) ([]byte, error) {
	if r.Scores == nil {
		return appendJSON(b, r)
	}
	b = append(b, `{"scores":[`...)
	var err error
	for i := range r.Scores {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendScore(b, &r.Scores[i]); err != nil {
			return nil, err
		}
	}
	if b, err = appendJSON(append(b, `],"flags":`...), r.Flags); err != nil {
		return nil, err
	}
	if len(r.Mismatches) > 0 {
		if b, err = appendMarshaled(b, "mismatches", r.Mismatches); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendScore(b []byte, r *instrument.Result) ([]byte, error) {
	b = appendText(append(b, `{"id":`...), r.ID)
	b, err := appendDecimal(append(b, `,"value":`...), r.Value)
	if err != nil {
		return nil, err
	}
	b = appendMember(b, "exact", r.Exact)
	b = appendMember(b, "raw", r.Raw)
	b = appendMember(b, "band", r.Band)
	b = strconv.AppendInt(append(b, `,"answered":`...), int64(r.Answered), 10)
	b = strconv.AppendInt(append(b, `,"missing":`...), int64(r.Missing), 10)
	for _, list := range []struct {
		name string
		ids  []string
	}{{"notAsked", r.NotAsked}, {"imputed", r.Imputed}} {
		if len(list.ids) > 0 {
			if b, err = appendMarshaled(b, list.name, list.ids); err != nil {
				return nil, err
			}
		}
	}
	b = appendMember(b, "reason", r.Reason)
	return append(appendIdentity(append(b, `,"rule":`...), r.Rule), '}'), nil
}

func appendIdentity(b []byte, rule instrument.Identity) []byte {
	b = appendText(append(b, `{"id":`...), rule.ID)
	b = appendText(append(b, `,"version":`...), rule.Version)
	b = appendText(append(b, `,"sha256":`...), rule.SHA256)
	return append(b, '}')
}

func appendDecimal(b []byte, d instrument.Decimal) ([]byte, error) {
	if isPlainNumber(string(d)) {
		return append(b, d...), nil
	}
	return appendJSON(b, d)
}

// isPlainNumber reports whether s is a number as [instrument.Decimal] has nearly all: up to 15 digits and nothing else.
func isPlainNumber(s string) bool {
	return len(s) >= 1 && len(s) <= 15 && strings.Trim(s, "0123456789") == "" && (s[0] != '0' || len(s) == 1)
}

// appendMember appends a member whose text is left out if it is empty.
func appendMember(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return appendText(b, text)
}

// appendMarshaled appends a member that few responses have.
func appendMarshaled(b []byte, name string, value any) ([]byte, error) {
	return appendJSON(append(append(append(b, `,"`...), name...), `":`...), value)
}

func appendJSON(b []byte, value any) ([]byte, error) {
	encoded, err := json.Marshal(value)
	return append(b, encoded...), err
}

// plain says which bytes stand in JSON as they are: of ASCII all but control characters, quotes, the backslash, and those
// that encoding/json escapes because of HTML.
var plain = func() (plain [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return plain
}()

func allPlain(texts []string) bool {
	for _, text := range texts {
		for i := range len(text) {
			if !plain[text[i]] {
				return false
			}
		}
	}
	return true
}

// appendText appends a string as encoding/json writes it.
func appendText(b []byte, text string) []byte {
	begin := len(b)
	b = append(b, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if plain[c] {
			continue
		}
		b = append(b, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			encoded, err := json.Marshal(text)
			if err != nil {
				panic(err) // a string always marshals
			}
			return append(b[:begin], encoded...)
		}
	}
	return append(append(b, text[from:]...), '"')
}

// decodeResponse reads a response as [Kind.Decode] does.
func decodeResponse(content []byte) (Content, error) {
	if r, ok := readUsualResponse(string(content)); ok {
		return r, nil
	}
	return decodeAs[QuestionnaireResponse](content)
}

// responseOf reads a response from its row.
func responseOf(content string) (QuestionnaireResponse, error) {
	r, ok := readUsualResponse(content)
	if ok {
		return r, nil
	}
	err := json.Unmarshal([]byte(content), &r)
	return r, err
}

// maxScratch is the largest buffer that is kept: one long document must not cost its memory for good.
const maxScratch = 16 << 10

// scratch holds buffers in which what was read is written again.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// readUsualResponse reads a response without amendment, flags or warnings that is byte for byte as appendResponse writes it.
func readUsualResponse(content string) (QuestionnaireResponse, bool) {
	r, ok := scanResponse(content)
	if !ok {
		return QuestionnaireResponse{}, false
	}
	buffer := scratch.Get().(*[]byte)
	again, err := appendResponse((*buffer)[:0], &r)
	if err != nil {
		return QuestionnaireResponse{}, false
	}
	if cap(again) <= maxScratch {
		*buffer = again // it may have grown
		defer scratch.Put(buffer)
	}
	if string(again) != content {
		return QuestionnaireResponse{}, false
	}
	return r, true
}

// scanResponse takes a response apart. What it returns must be compared with the text: it checks little.
func scanResponse(text string) (r QuestionnaireResponse, ok bool) {
	s := scanner{rest: text}
	r.ID = s.text(`{"id":`)
	r.Revision = int(s.integer(`,"revision":`))
	r.Study = s.optionalText(`,"study":`)
	r.Site = s.optionalText(`,"site":`)
	r.PatientID = s.text(`,"patientId":`)
	r.VisitID = s.optionalText(`,"visitId":`)
	r.Rule.ID = s.text(`,"rule":{"id":`)
	r.Rule.Version = s.text(`,"version":`)
	r.Rule.SHA256 = s.text(`,"sha256":`)
	s.take("}")
	if s.has(`,"studyFile":`) {
		r.StudyFile = &StudyFile{Version: s.integer(`{"version":`), SHA256: s.text(`,"sha256":`)}
		s.take("}")
	}
	r.Language = s.text(`,"language":`)
	r.Authored = s.text(`,"authored":`)
	r.Started = s.optionalText(`,"started":`)
	r.DeviceTime = s.optionalText(`,"deviceTime":`)
	s.take(`,"answers":`)
	r.Answers = make(instrument.Answers, strings.Count(s.rest[:strings.IndexByte(s.rest, '}')+1], ":")) // about as many
	s.members(func(id string) {
		if s.has(`"` + instrument.NotAsked + `"`) {
			r.Answers[id] = instrument.Answer{NotAsked: true}
		} else {
			r.Answers[id] = instrument.Answer{Value: s.integer("")}
		}
	})
	if s.has(`,"claims":`) {
		r.Claims = instrument.Claims{}
		s.members(func(id string) {
			if s.has("null") {
				r.Claims[id] = ""
			} else {
				r.Claims[id] = instrument.Decimal(s.digits())
			}
		})
	}
	r.MediaType = s.text(`,"mediaType":`)
	r.Original = s.text(`,"original":`)
	s.take("}")
	return r, !s.failed && s.rest == ""
}

// scanner takes what it expects off the front of a text. After the first surprise it has failed, and gives nothing more.
type scanner struct {
	rest   string
	failed bool
}

func (s *scanner) fail() { s.rest, s.failed = "", true }

// has takes a prefix off if it is there.
func (s *scanner) has(prefix string) (there bool) {
	s.rest, there = strings.CutPrefix(s.rest, prefix)
	return there
}

func (s *scanner) take(prefix string) {
	if !s.has(prefix) {
		s.fail()
	}
}

func (s *scanner) optionalText(prefix string) string {
	if !strings.HasPrefix(s.rest, prefix) {
		return ""
	}
	return s.text(prefix)
}

// text takes a string with no escapes but those that appendText writes itself.
func (s *scanner) text(prefix string) string {
	s.take(prefix)
	s.take(`"`)
	end := s.special()
	if !s.failed && s.rest[end] == '"' {
		text := s.rest[:end]
		s.rest = s.rest[end+1:]
		return text
	}
	text := make([]byte, 0, len(s.rest))
	for !s.failed {
		text = append(text, s.rest[:end]...)
		if s.rest[end] == '"' {
			s.rest = s.rest[end+1:]
			return string(text)
		}
		escaped := -1
		if end+1 < len(s.rest) {
			escaped = strings.IndexByte(`"\nrt`, s.rest[end+1])
		}
		if escaped < 0 {
			s.fail()
			break
		}
		text = append(text, "\"\\\n\r\t"[escaped])
		s.rest = s.rest[end+2:]
		end = s.special()
	}
	return ""
}

// special is where the next quote or backslash is.
func (s *scanner) special() int {
	for i := range len(s.rest) {
		if s.rest[i] == '"' || s.rest[i] == '\\' {
			return i
		}
	}
	s.fail()
	return 0
}

func (s *scanner) digits() string {
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	digits := s.rest[:n]
	s.rest = s.rest[n:]
	return digits
}

func (s *scanner) integer(prefix string) int64 {
	s.take(prefix)
	minus := s.has("-")
	n, err := strconv.ParseInt(s.digits(), 10, 64)
	if err != nil {
		s.fail()
	}
	if minus {
		return -n
	}
	return n
}

// members takes an object, whose values take does.
func (s *scanner) members(take func(name string)) {
	s.take("{")
	for first := true; !s.failed && !s.has("}"); first = false {
		if !first {
			s.take(",")
		}
		name := s.text("")
		s.take(":")
		take(name)
	}
}
