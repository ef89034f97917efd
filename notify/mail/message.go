package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"casepress/notify"
	"casepress/study"
	"casepress/tasks"
)

const (
	// maxWho is how much of a name is shown, in letters.
	maxWho = 200
	// maxFailing is how many channels that do not work are named in one mail.
	maxFailing = 20
	// headerAlertID has the id of the alert as the timeline knows it, for programs that read mail.
	headerAlertID = "Casepress-Alert-Id"
)

// message is a mail as it is sent.
type message struct {
	from, to string // the envelope
	content  []byte
}

// compose writes the mail of an alert. What comes from others stands on one line and can begin no header:
//
//	From, To, Date, Subject
//	Message-ID          the same for the same alert to the same address
//	References          one for each case, so that programs show the mails of a case together
//	Casepress-Alert-Id  the id of the alert
//	Auto-Submitted      auto-generated (RFC 3834), so that nobody's machine answers
//	Content-Language    en or zh-CN
func (s *Sender) compose(to study.Rung, a notify.Alert, now time.Time) (*message, error) {
	if !study.IsMailAddress(to.Mail) {
		return nil, errors.New("there is no mail address, or it is none")
	}
	l := languageOf(to.Language)
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(&mail.Address{Name: displayName(s.from.Name), Address: s.from.Address})
	m.ToMailAddress(&mail.Address{Name: displayName(to.Who), Address: to.Mail})
	m.SetDateWithValue(now.UTC())
	m.SetMessageIDWithValue(s.messageID(a, a.ID, to.Mail))
	if a.Header.ID != "" {
		m.SetGenHeader("References", "<"+s.messageID(a, "case")+">")
	}
	m.SetGenHeader(headerAlertID, notify.OneLine(a.ID, maxWho))
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "All") // the same for Exchange
	m.SetGenHeader(gomail.HeaderContentLang, l.tag)
	m.SetImportance(gomail.ImportanceHigh)
	m.Subject(encodedWords(l.subject(a, now)))
	m.SetBodyString(gomail.TypeTextPlain, l.body(a, s.link(a), now))
	var content bytes.Buffer
	if _, err := m.WriteTo(&content); err != nil {
		return nil, err
	}
	return &message{from: s.from.Address, to: to.Mail, content: content.Bytes()}, nil
}

// messageID is made of what the mail is about. Two casepresses may have cases of one id and send from one address: programs
// that drop mails whose id they know must not take one for the other's.
func (s *Sender) messageID(a notify.Alert, of ...string) string {
	parts := append([]string{s.cfg.PublicURL, a.Study, a.Header.ID, a.Clock.From.UTC().Format(time.RFC3339Nano)}, of...)
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	_, domain, _ := strings.Cut(s.from.Address, "@")
	return hex.EncodeToString(sum[:12]) + "@" + domain
}

// link is the address of the case on the page; "" if nobody said where the page is.
func (s *Sender) link(a notify.Alert) string {
	if s.cfg.PublicURL == "" {
		return ""
	}
	desk := strings.TrimSuffix(s.cfg.PublicURL, "/") + "/desk.html"
	if !study.ValidID(a.Header.ID) { // ids of cases are of the same form
		return desk
	}
	return desk + "#/" + a.Header.ID
}

// subject says what is asked for, and until when.
func (l *language) subject(a notify.Alert, now time.Time) string {
	var text string
	switch due := a.Clock.DueAt(); {
	case a.Header.ID == "":
		text = fmt.Sprintf(l.subjectFailing, l.of(a), len(a.Failing))
	case now.After(due):
		text = fmt.Sprintf(l.subjectOverdue, a.Header.ID, l.of(a), timeText(due))
	default:
		text = fmt.Sprintf(l.subjectDue, a.Header.ID, l.of(a), timeText(due))
	}
	if a.Exercise {
		text = l.subjectExercise + text
	}
	return notify.OneLine(text, 2*maxWho)
}

// of names the study, if there is one.
func (l *language) of(a notify.Alert) string {
	if a.Study == "" {
		return ""
	}
	return fmt.Sprintf(l.ofStudy, notify.OneLine(a.Study, maxWho))
}

func (l *language) body(a notify.Alert, link string, now time.Time) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if a.Exercise {
		line("%s\n", l.exercise)
	}
	if a.Header.ID != "" {
		due := a.Clock.DueAt()
		line("%s\n", l.waits)
		if a.Study != "" {
			line("%s%s", l.study, notify.OneLine(a.Study, maxWho))
		}
		line("%s%s", l.id, notify.OneLine(a.Header.ID, maxWho))
		line("%s%s", l.state, l.stateText(a.State))
		line("%s%s", l.known, timeText(a.Clock.From))
		if now.After(due) {
			line("%s%s%s", l.due, timeText(due), l.overdue)
		} else {
			line("%s%s", l.due, timeText(due))
		}
		line("%s%s", l.told, fmt.Sprintf(l.rung, notify.OneLine(a.Who, maxWho), a.Rung, a.Attempt))
		line("")
	}
	if len(a.Failing) > 0 {
		line("%s", l.failing)
		for _, f := range a.Failing[:min(len(a.Failing), maxFailing)] {
			line("- %s", fmt.Sprintf(l.failingSince, notify.OneLine(f.Channel, maxWho), timeText(f.Since), notify.OneLine(f.Reason, maxReason)))
		}
		if more := len(a.Failing) - maxFailing; more > 0 {
			line("- "+l.failingMore, more)
		}
		line("")
	}
	switch {
	case a.Header.ID == "" && link != "":
		line("%s\n%s", l.desk, link)
	case link != "":
		line("%s\n%s", l.open, link)
	case a.Header.ID != "":
		line("%s", l.openSomewhere)
	}
	line("\n-- \n%s", l.footer)
	return b.String()
}

func (l *language) stateText(s tasks.AdverseEventState) string {
	if text, known := l.states[s]; known {
		return text
	}
	return notify.OneLine(string(s), maxWho)
}

// wordBytes is how much of a text stands in one encoded word: 48 letters of base64, and 12 around them.
const wordBytes = 36

// encodedWords writes a text for a header (RFC 2047), in words so short that the first one stands beside the header's name. The
// library's own have 75 letters and begin on the next line, and programs that read mail show the space before them.
func encodedWords(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) && !strings.Contains(text, "=?") {
		return text
	}
	var words []string
	word := func(s string) { words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s))+"?=") }
	begin := 0
	for at, r := range text {
		if at+utf8.RuneLen(r)-begin > wordBytes {
			word(text[begin:at])
			begin = at
		}
	}
	word(text[begin:])
	return strings.Join(words, " ")
}

// timeText is a time as people read it; the zone is always UTC.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }

// displayName is the name of a person or a sender, for the address. Package net/mail leaves a backslash as it is where it encodes a name that is not ASCII, which
// RFC 2047 (section 5.3) does not allow there and which it does not read itself; so it becomes the wide one of U+FF3C.
func displayName(name string) string {
	name = notify.OneLine(name, maxWho)
	if strings.IndexFunc(name, func(r rune) bool { return r > '~' || r < ' ' }) < 0 {
		return name
	}
	return strings.ReplaceAll(name, `\`, "＼")
}
