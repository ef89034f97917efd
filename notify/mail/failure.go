package mail

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"

	"casepress/notify"
)

// maxReason is how much is shown of what a server says, in letters.
const maxReason = 300

// Failure says why a mail was not taken.
type Failure struct {
	// Step is where it ended: compose, connect, greeting, EHLO, STARTTLS, AUTH, MAIL FROM, RCPT TO or DATA.
	Step string
	// Code is what the server answered, as 550; 0 if it was no answer.
	Code int
	// Err is why.
	Err error

	to string // the address
}

// Permanent reports whether the same mail would be refused again: the server has answered 5yz, or the mail could not be written.
// Anything else may pass, also a certificate that is wrong.
func (f *Failure) Permanent() bool { return f.Code >= 500 || f.Step == stepCompose }

// Error is one line. It has neither the address, which servers like to repeat and which is shown nowhere, nor what was said about
// user and password.
func (f *Failure) Error() string {
	var answer *textproto.Error
	if !errors.As(f.Err, &answer) {
		return f.Step + ": " + f.shown(f.Err.Error())
	}
	text := fmt.Sprintf("%s: the server answered %d", f.Step, answer.Code)
	if said := f.shown(answer.Msg); said != "" && f.Step != stepAuth {
		text += ": " + said
	}
	return text
}

// shown is what people are shown of a text.
func (f *Failure) shown(text string) string {
	if f.to != "" {
		text = regexp.MustCompile("(?i)"+regexp.QuoteMeta(f.to)).ReplaceAllLiteralString(text, "the address")
	}
	return notify.OneLine(text, maxReason)
}

// Unwrap returns the reason.
func (f *Failure) Unwrap() error { return f.Err }

// failed makes a failure of an error. When the time is over, or the caller gave up, that is the reason, and not the closed connection.
func failed(ctx context.Context, step string, err error) *Failure {
	f := &Failure{Step: step, Err: err}
	var answer *textproto.Error
	switch {
	case errors.As(err, &answer):
		f.Code = answer.Code
	case ctx.Err() != nil:
		f.Err = context.Cause(ctx)
	}
	return f
}
