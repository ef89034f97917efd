package mail_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"mime"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"casepress/notify"
	"casepress/notify/mail"
	"casepress/study"
	"casepress/tasks"
)

const goodPassword = "pässword in 4 parts"

var onCall = study.Rung{Who: "Safety officer on call", Mail: "safety@example.org", Label: "safety"}

// future is after any test, and past before.
var past, future = time.Date(2025, 3, 1, 9, 30, 0, 0, time.UTC), time.Date(2125, 3, 1, 9, 30, 0, 0, time.UTC)

// alert is one of a case that is due at a time.
func alert(due time.Time) notify.Alert {
	return notify.Alert{
		ID: "adverse-event/AE-1/rung/2/3", Header: tasks.Header{ID: "AE-1", Study: "S1", Site: "101", PatientID: "P001", VisitID: "V02"},
		State: tasks.StateNotified, Clock: tasks.Clock{From: due.Add(-24 * time.Hour), Limit: 24 * time.Hour},
		Path: "/adverse-events/AE-1", Who: onCall.Who, Rung: 2, Attempt: 3,
	}
}

func chinese(r study.Rung) study.Rung {
	r.Language, r.Who = "zh-CN", "安全员值班"
	return r
}

// Subject and body are text in both languages, whatever is told.
func TestTextOfMails(t *testing.T) {
	exercise, failing := alert(future), alert(future)
	exercise.Exercise = true
	failing.Failing = []notify.FailingChannel{{Channel: "site-duty", Since: past, Reason: "RCPT TO: the server answered 550: no such user"}}
	alone := notify.Alert{ID: "channels/1", Header: tasks.Header{Study: "S1"}, Who: onCall.Who, Failing: failing.Failing}
	inChinese := func(a notify.Alert) notify.Alert {
		if a.Who != "" {
			a.Who = "安全员值班"
		}
		return a
	}
	const footer = "\n\n-- \nSent by casepress. Answers to this mail are read by nobody."
	const footerZH = "\n\n-- \n本邮件由 casepress 自动发送，请勿回复。"
	for _, tc := range []struct {
		name          string
		to            study.Rung
		alert         notify.Alert
		subject, body string
	}{
		{"due", onCall, alert(future), "Adverse event AE-1 of study S1: acknowledge by 2125-03-01 09:30 UTC", `An adverse event waits for somebody to acknowledge it.

Study: S1
Case: AE-1
State: notified
Known since: 2125-02-28 09:30 UTC
Acknowledge by: 2125-03-01 09:30 UTC
Sent to: Safety officer on call (rung 2 of the ladder, attempt 3)

Open it and acknowledge it here:
https://casepress.example.org/desk.html#/AE-1` + footer},
		{"due in Chinese", chinese(onCall), inChinese(alert(future)), "不良事件 AE-1（研究 S1）：请于 2125-03-01 09:30 UTC 前确认", `有一起不良事件等待确认。

研究：S1
事件编号：AE-1
状态：已通知
获知时间：2125-02-28 09:30 UTC
请确认于：2125-03-01 09:30 UTC
发送对象：安全员值班（第 2 级，第 3 次）

请打开以下链接查看并确认：
https://casepress.example.org/desk.html#/AE-1` + footerZH},
		{"overdue exercise", onCall, func() notify.Alert {
			a := alert(past)
			a.Exercise, a.Study, a.State = true, "", tasks.StateOpen
			return a
		}(),
			"[EXERCISE] Adverse event AE-1: overdue since 2025-03-01 09:30 UTC", `THIS IS AN EXERCISE. No patient is concerned. Please act as you would otherwise.

An adverse event waits for somebody to acknowledge it.

Case: AE-1
State: open
Known since: 2025-02-28 09:30 UTC
Acknowledge by: 2025-03-01 09:30 UTC (overdue)
Sent to: Safety officer on call (rung 2 of the ladder, attempt 3)

Open it and acknowledge it here:
https://casepress.example.org/desk.html#/AE-1` + footer},
		{"exercise in Chinese", chinese(onCall), inChinese(exercise), "【演练】不良事件 AE-1（研究 S1）：请于 2125-03-01 09:30 UTC 前确认", `这是一次演练，不涉及任何患者。请按真实情况处理。

有一起不良事件等待确认。

研究：S1
事件编号：AE-1
状态：已通知
获知时间：2125-02-28 09:30 UTC
请确认于：2125-03-01 09:30 UTC
发送对象：安全员值班（第 2 级，第 3 次）

请打开以下链接查看并确认：
https://casepress.example.org/desk.html#/AE-1` + footerZH},
		{"with a channel that fails", onCall, failing, "Adverse event AE-1 of study S1: acknowledge by 2125-03-01 09:30 UTC", `An adverse event waits for somebody to acknowledge it.

Study: S1
Case: AE-1
State: notified
Known since: 2125-02-28 09:30 UTC
Acknowledge by: 2125-03-01 09:30 UTC
Sent to: Safety officer on call (rung 2 of the ladder, attempt 3)

These channels do not work at the moment, so others may not have been told:
- site-duty, since 2025-03-01 09:30 UTC: RCPT TO: the server answered 550: no such user

Open it and acknowledge it here:
https://casepress.example.org/desk.html#/AE-1` + footer},
		{"a channel that fails alone", onCall, alone, "Alerts of study S1 cannot be sent: 1 channel(s) failing", `These channels do not work at the moment, so others may not have been told:
- site-duty, since 2025-03-01 09:30 UTC: RCPT TO: the server answered 550: no such user

The safety desk:
https://casepress.example.org/desk.html` + footer},
		{"a channel that fails alone in Chinese", chinese(onCall), alone, "警报（研究 S1）无法发送：1 个通知渠道出现故障", `以下通知渠道目前无法使用，其他人员可能未收到通知：
- site-duty，自 2025-03-01 09:30 UTC 起：RCPT TO: the server answered 550: no such user

安全工作台：
https://casepress.example.org/desk.html` + footerZH},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startServer(t, "127.0.0.1")
			require.NoError(t, newSender(t, s).Send(t.Context(), tc.to, tc.alert))
			got := s.all()
			require.Len(t, got, 1)
			require.Equal(t, tc.subject, got[0].subject(t))
			require.Equal(t, tc.body, strings.TrimSuffix(got[0].body, "\n"))
			require.NotContains(t, string(got[0].raw), "P001", "the patient is named")
			require.True(t, got[0].secure)
			require.NotContains(t, string(got[0].raw), "Subject:\r\n", "programs show the space before the first word")
		})
	}
}

// names are the headers of a mail.
func names(h netmail.Header) (all []string) {
	for name, values := range h {
		for range values {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// headers are those of every mail of a case.
var headers = []string{
	"Auto-Submitted", "Casepress-Alert-Id", "Content-Language", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Importance", "Message-Id",
	"Mime-Version", "Priority", "References", "Subject", "To", "X-Auto-Response-Suppress", "X-Msmail-Priority", "X-Priority",
}

func TestHeaders(t *testing.T) {
	s := startServer(t, "127.0.0.1")
	before := time.Now().Truncate(time.Second)
	require.NoError(t, newSender(t, s).Send(t.Context(), chinese(onCall), alert(future)))
	got := s.all()[0]
	require.Equal(t, "alerts@example.org", got.from)
	require.Equal(t, []string{"safety@example.org"}, got.to)
	require.Equal(t, headers, names(got.header))
	require.Equal(t, "auto-generated", got.header.Get("Auto-Submitted"))
	require.Equal(t, "adverse-event/AE-1/rung/2/3", got.header.Get("Casepress-Alert-Id"))
	require.Equal(t, "zh-CN", got.header.Get("Content-Language"))
	require.Regexp(t, `^<[0-9a-f]{24}@example\.org>$`, got.header.Get("Message-ID"))
	to, err := got.header.AddressList("To")
	require.NoError(t, err)
	require.Equal(t, []*netmail.Address{{Name: "安全员值班", Address: "safety@example.org"}}, to)
	from, err := got.header.AddressList("From")
	require.NoError(t, err)
	require.Equal(t, []*netmail.Address{{Name: "casepress", Address: "alerts@example.org"}}, from)
	date, err := got.header.Date()
	require.NoError(t, err)
	require.WithinRange(t, date, before, time.Now())
}

// A name of the sender is such that programs that read mail take it.
func TestNameOfTheSender(t *testing.T) {
	for from, want := range map[string]string{
		`"Zoë\\" <alerts@example.org>`: "Zoë＼",
		`"Zoe\\" <alerts@example.org>`: `Zoe\`,
		"值班 <alerts@example.org>":      "值班",
		"alerts@example.org":           "",
	} {
		s := startServer(t, "127.0.0.1")
		require.NoError(t, newSender(t, s, func(c *mail.Config) { c.From = from }).Send(t.Context(), onCall, alert(future)))
		got, err := s.all()[0].header.AddressList("From")
		require.NoError(t, err, from)
		require.Equal(t, []*netmail.Address{{Name: want, Address: "alerts@example.org"}}, got)
	}
}

// The same alert to the same address has the same Message-ID, and no other has. All mails of a case have one thread.
func TestMessageID(t *testing.T) {
	s := startServer(t, "127.0.0.1")
	sender := newSender(t, s)
	send := func(to study.Rung, change ...func(*notify.Alert)) received {
		a := alert(future)
		for _, f := range change {
			f(&a)
		}
		require.NoError(t, sender.Send(t.Context(), to, a))
		all := s.all()
		return all[len(all)-1]
	}
	id := func(r received) string { return r.header.Get("Message-ID") }
	thread := func(r received) string { return r.header.Get("References") }

	first, again := send(onCall), send(onCall)
	require.Equal(t, id(first), id(again))
	require.Equal(t, id(first), id(send(onCall, func(a *notify.Alert) { a.State = tasks.StateOpen })), "the case has moved on, and the alert is the same")
	nextAttempt := send(onCall, func(a *notify.Alert) { a.ID += "0" })
	require.NotEqual(t, id(first), id(nextAttempt))
	require.Equal(t, thread(first), thread(nextAttempt))
	require.NotEqual(t, id(first), id(send(study.Rung{Mail: "other@example.org"})))
	elsewhere := send(onCall, func(a *notify.Alert) { a.Clock.From = a.Clock.From.Add(time.Second) })
	require.NotEqual(t, id(first), id(elsewhere), "a case with the same id in another casepress")
	require.NotEqual(t, thread(first), thread(elsewhere))
	otherCase := send(onCall, func(a *notify.Alert) { a.Header.ID = "AE-2" })
	require.NotEqual(t, thread(first), thread(otherCase))
}

// Nothing that comes from elsewhere becomes a header, an address or a command, or hides what is there.
func TestNothingIsInjected(t *testing.T) {
	s := startServer(t, "127.0.0.1")
	sender := newSender(t, s)
	for _, evil := range []string{
		"Eve\r\nBcc: eve@example.org\r\n\r\nHello", "Eve\nX-A: b", "Eve\rX-A: b", "\r\n.\r\nMAIL FROM:<eve@example.org>\r\n", "a\x00b\x0bc\x85d\u2028e\u2029f",
		"\u202egro.elpmaxe\u2066", "=?utf-8?q?Bcc:_eve=40example.org?=", strings.Repeat("長", 100_000), "<eve@example.org>, \"", "\xff\xfe", "%s%d%!",
	} {
		to := study.Rung{Who: evil, Mail: "safety@example.org", Language: evil}
		a := alert(future)
		a.ID, a.Study, a.Header.ID, a.Who, a.State = evil, evil, evil, evil, tasks.AdverseEventState(evil)
		for range 1000 {
			a.Failing = append(a.Failing, notify.FailingChannel{Channel: evil, Since: past, Reason: evil})
		}
		before := len(s.all())
		require.NoError(t, sender.Send(t.Context(), to, a))
		got := s.all()
		require.Len(t, got, before+1)
		last := got[before]
		require.Equal(t, []string{"safety@example.org"}, last.to)
		require.Equal(t, headers, names(last.header))
		require.Less(t, len(last.raw), 128<<10)
		require.NotContains(t, last.subject(t), "\n")
		require.NotContains(t, last.subject(t)+last.body, "\u202e")
		require.Equal(t, 20, strings.Count(last.body, "since 2025-03-01"))
		require.Contains(t, last.body, "and 980 more")
		for line := range strings.Lines(string(last.raw)) {
			require.LessOrEqual(t, len(line), 1000, "a line is longer than RFC 5321 allows")
		}
	}
}

// A rung is checked where its file is read; Send refuses all the same what would be a command.
func TestAddressIsNoCommand(t *testing.T) {
	s := startServer(t, "127.0.0.1")
	for _, bad := range []string{"", "a@example.org>\r\nRCPT TO:<eve@example.org", "a@example.org, eve@example.org"} {
		var failure *mail.Failure
		require.ErrorAs(t, newSender(t, s).Send(t.Context(), study.Rung{Mail: bad}, alert(future)), &failure, bad)
		require.True(t, failure.Permanent())
	}
	require.Empty(t, s.all())
}

func TestSecurity(t *testing.T) {
	starttls := startServer(t, "127.0.0.1")
	plain := startServer(t, "127.0.0.1", func(s *server) { s.TLSConfig = nil })
	otherName := startServer(t, "mail.example.org")
	for _, tc := range []struct {
		name   string
		server *server
		change func(*mail.Config)
		secure bool
		want   string
		as     func(error) bool
	}{
		{"STARTTLS", starttls, nil, true, "", nil},
		{"TLS", starttls, func(c *mail.Config) { c.Security, c.Server = mail.TLS, starttls.implicitTLS(t) }, true, "", nil},
		{"none", plain, func(c *mail.Config) { c.Security = mail.NoTLS }, false, "", nil},
		{"none although there is STARTTLS", starttls, func(c *mail.Config) { c.Security = mail.NoTLS }, false, "", nil},
		{"no STARTTLS", plain, nil, false, "STARTTLS: the server does not offer it, and nothing is sent in plain text", nil},
		{"a certificate of another name", otherName, nil, false, "STARTTLS: tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1",
			func(err error) bool { return errors.As(err, new(x509.HostnameError)) }},
		{"a certificate of a stranger", starttls, func(c *mail.Config) { c.TLS = &tls.Config{RootCAs: x509.NewCertPool()} }, false,
			"STARTTLS: tls: failed to verify certificate: x509: certificate signed by unknown authority",
			func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }},
		{"TLS with a certificate of a stranger", starttls, func(c *mail.Config) {
			c.Security, c.Server, c.TLS = mail.TLS, starttls.implicitTLS(t), nil
		}, false, "connect: tls: failed to verify certificate", nil},
		{"nobody there", starttls, func(c *mail.Config) { c.Server = nobody(t) }, false, "connect: dial tcp", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			change := tc.change
			if change == nil {
				change = func(*mail.Config) {}
			}
			before := len(tc.server.all())
			sender := newSender(t, tc.server, change)
			err := sender.Send(t.Context(), onCall, alert(future))
			checked := sender.Check(t.Context())
			got := tc.server.all()[before:]
			if tc.want == "" {
				require.NoError(t, err)
				require.NoError(t, checked)
				require.Len(t, got, 1, "a check sends nothing")
				require.Equal(t, tc.secure, got[0].secure)
				return
			}
			var failure *mail.Failure
			require.ErrorAs(t, err, &failure)
			require.ErrorContains(t, err, tc.want)
			require.False(t, failure.Permanent(), "it may be mended")
			require.ErrorContains(t, checked, tc.want)
			require.Empty(t, got)
			if tc.as != nil {
				require.True(t, tc.as(err), "%v", err)
			}
		})
	}
}

// nobody is an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestPassword(t *testing.T) {
	plain := startServer(t, "127.0.0.1", func(s *server) { s.user = "casepress" })
	login := startServer(t, "127.0.0.1", func(s *server) { s.user, s.login = "casepress", true })
	open := startServer(t, "127.0.0.1")
	with := func(user, password string) func(*mail.Config) {
		return func(c *mail.Config) { c.User, c.Password = user, password }
	}
	for _, tc := range []struct {
		name           string
		server         *server
		user, password string
		want           string
		permanent      bool
	}{
		{"plain", plain, "casepress", goodPassword, "", false},
		{"login", login, "casepress", goodPassword, "", false},
		{"a wrong one", plain, "casepress", "secret-but-wrong", "AUTH: the server answered 535", true},
		{"a wrong one by login", login, "casepress", "secret-but-wrong", "AUTH: the server answered 535", true},
		{"none", plain, "", "", "MAIL FROM: the server answered 502: 5.7.0 Please authenticate first", true},
		{"nobody asks for it", open, "casepress", goodPassword, "AUTH: the server offers neither PLAIN nor LOGIN", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := newSender(t, tc.server, with(tc.user, tc.password)).Send(t.Context(), onCall, alert(future))
			if tc.want == "" {
				require.NoError(t, err)
				require.Len(t, tc.server.all(), 1)
				return
			}
			require.EqualError(t, err, tc.want)
			var failure *mail.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, tc.permanent, failure.Permanent())
		})
	}
}

// Each fault of a server ends in time, by itself, and is sorted into what may pass and what will not.
func TestServerInTrouble(t *testing.T) {
	const timeout = mail.DefaultTimeout
	for _, tc := range []struct {
		name      string
		script    script
		want      string // "": the mail is taken
		permanent bool
		takes     time.Duration
	}{
		{"nothing wrong", script{}, "", false, 0},
		{"hangs before it says anything", script{"greeting": hangs}, "greeting: no answer within 20s", false, timeout},
		{"hangs after EHLO", script{"EHLO": hangs}, "EHLO: no answer within 20s", false, timeout},
		{"hangs after MAIL FROM", script{"MAIL": hangs}, "MAIL FROM: no answer within 20s", false, timeout},
		{"hangs after DATA", script{"DATA": hangs}, "DATA: no answer within 20s", false, timeout},
		{"stops reading in the mail", script{"DATA": stalls}, "DATA: no answer within 20s", false, timeout},
		{"hangs after the mail", script{"content": hangs}, "DATA: no answer within 20s", false, timeout},
		{"hangs at the end", script{"QUIT": hangs}, "", false, time.Second},
		{"trickles", script{"RCPT": trickles}, "RCPT TO: no answer within 20s", false, timeout},
		{"has too much to say", script{"EHLO": floods}, `EHLO: smtp: EHLO/HELO exchange failed. EHLO response: short response: "xxx`, false, 0},
		{"421 in place of a greeting", script{"greeting": "421 4.3.2 closing"}, "greeting: the server answered 421: 4.3.2 closing", false, 0},
		{"554 in place of a greeting", script{"greeting": "554 5.7.1 not for you"}, "greeting: the server answered 554: 5.7.1 not for you", true, 0},
		{"421 after EHLO", script{"EHLO": "421 busy", "HELO": "421 busy"}, "EHLO: the server answered 421: busy", false, 0},
		{"451 after MAIL FROM", script{"MAIL": "451 4.7.1 greylisted"}, "MAIL FROM: the server answered 451: 4.7.1 greylisted", false, 0},
		{"450 after RCPT TO", script{"RCPT": "450 4.2.1 mailbox busy"}, "RCPT TO: the server answered 450: 4.2.1 mailbox busy", false, 0},
		{"550 after RCPT TO", script{"RCPT": "550-5.1.1 no such user\r\n550 5.1.1 at all"}, "RCPT TO: the server answered 550: 5.1.1 no such user 5.1.1 at all", true, 0},
		{"550 with the address", script{"RCPT": "550 5.1.1 <Safety@Example.org>: no mailbox for safety@example.org"}, "RCPT TO: the server answered 550: 5.1.1 <the address>: no mailbox for the address", true, 0},
		{"452 after DATA", script{"DATA": "452 4.3.1 disk full"}, "DATA: the server answered 452: 4.3.1 disk full", false, 0},
		{"451 after the mail", script{"content": "451 4.3.0 try again"}, "DATA: the server answered 451: 4.3.0 try again", false, 0},
		{"554 after the mail", script{"content": "554 5.7.1 spam"}, "DATA: the server answered 554: 5.7.1 spam", true, 0},
		{"251 will forward", script{"RCPT": "251 not here, will forward"}, "", false, 0},
		{"an answer of another kind", script{"content": "354 go on"}, "DATA: the server answered 354: go on", false, 0},
		{"no SMTP", script{"greeting": "HTTP/1.1 400 Bad Request"}, `greeting: short response: "HTTP/1.1 400 Bad Request"`, false, 0},
		{"drops before it says anything", script{"greeting": drops}, "greeting: EOF", false, 0},
		{"drops after RCPT TO", script{"RCPT": drops}, "RCPT TO: EOF", false, 0},
		{"drops after DATA", script{"DATA": drops}, "DATA: EOF", false, 0},
		{"drops after the mail", script{"content": drops}, "DATA: EOF", false, 0},
		{"drops at the end", script{"QUIT": drops}, "", false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sender, err := mail.New(mail.Config{Server: "mail.example.org:25", From: "a@example.org", Security: mail.NoTLS, Dial: tc.script.dial(t)})
				require.NoError(t, err)
				start := time.Now()
				err = sender.Send(t.Context(), onCall, alert(future))
				require.Equal(t, tc.takes, time.Since(start))
				if tc.want == "" {
					require.NoError(t, err)
					return
				}
				var failure *mail.Failure
				require.ErrorAs(t, err, &failure)
				require.Contains(t, err.Error(), tc.want)
				require.NotContains(t, err.Error(), "\n")
				require.Less(t, len(err.Error()), 1500)
				require.Equal(t, tc.permanent, failure.Permanent())
			})
		})
	}
}

// Who gives up is not held up by a server that hangs, nor by a name server.
func TestSendEndsWithItsContext(t *testing.T) {
	errOver := errors.New("the case is acknowledged")
	for name, dial := range map[string]func(t *testing.T) func(context.Context, string, string) (net.Conn, error){
		"the server hangs": script{"DATA": hangs}.dial,
		"the network hangs": func(*testing.T) func(context.Context, string, string) (net.Conn, error) {
			return func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sender, err := mail.New(mail.Config{Server: "mail.example.org:25", From: "a@example.org", Security: mail.NoTLS, Dial: dial(t)})
				require.NoError(t, err)
				ctx, cancel := context.WithCancelCause(t.Context())
				start := time.Now()
				time.AfterFunc(7*time.Second, func() { cancel(errOver) })
				require.ErrorIs(t, sender.Send(ctx, onCall, alert(future)), errOver)
				require.Equal(t, 7*time.Second, time.Since(start))
			})
		})
	}
}

// A server that hangs takes as many connections as it may and no more, and to wait for one is no attempt that has failed.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging := script{"DATA": hangs}.dial(t)
		var mu sync.Mutex
		open, most := 0, 0
		sender, err := mail.New(mail.Config{
			Server: "mail.example.org:25", From: "a@example.org", Security: mail.NoTLS, Connections: 3,
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := hanging(ctx, network, address)
				mu.Lock()
				defer mu.Unlock()
				open++
				most = max(most, open)
				return &countedConn{Conn: conn, closed: sync.OnceFunc(func() {
					mu.Lock()
					defer mu.Unlock()
					open--
				})}, err
			},
		})
		require.NoError(t, err)
		start := time.Now()
		var wg sync.WaitGroup
		ended := make(chan time.Duration, 9)
		for range 9 {
			wg.Go(func() {
				if sender.Send(t.Context(), onCall, alert(future)) != nil {
					ended <- time.Since(start)
				}
			})
		}
		wg.Wait()
		close(ended)
		var times []time.Duration
		for at := range ended {
			times = append(times, at.Round(time.Second))
		}
		slices.Sort(times)
		const s = time.Second
		require.Equal(t, []time.Duration{20 * s, 20 * s, 20 * s, 40 * s, 40 * s, 40 * s, 60 * s, 60 * s, 60 * s}, times)
		require.Equal(t, 3, most)
		require.Zero(t, open)
	})
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// That the server takes no mails is found out, logged once and counted, without a mail being sent, and so is that it does again.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		state := script{}
		metrics := prometheus.NewRegistry()
		var mu sync.Mutex // guards state
		sender, err := mail.New(mail.Config{
			Server: "mail.example.org:25", From: "a@example.org", Security: mail.NoTLS, Metrics: metrics,
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				return state.dial(t)(ctx, network, address)
			},
		})
		require.NoError(t, err)
		set := func(s script) {
			mu.Lock()
			defer mu.Unlock()
			state = s
		}
		ready := func(want string) {
			t.Helper()
			require.NoError(t, testutil.GatherAndCompare(metrics, strings.NewReader(`# HELP casepress_mail_ready 1 if the mail server, when it was last looked at, would have taken mails.
# TYPE casepress_mail_ready gauge
casepress_mail_ready `+want+"\n"), "casepress_mail_ready"))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { sender.Watch(ctx) })
		synctest.Wait()
		ready("1")
		set(script{"greeting": "421 later"})
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		ready("0")
		require.Equal(t, "greeting: the server answered 421: later", sender.Unready())
		set(script{})
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		ready("1")
		require.Empty(t, sender.Unready())
		set(script{"greeting": "421 later"})
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		ready("0")
		set(script{})
		require.NoError(t, sender.Send(t.Context(), onCall, alert(future)))
		ready("1") // what takes a mail need not be asked
		cancel()
		wg.Wait()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		require.Len(t, lines, 5, "%s", log.String())
		require.Contains(t, lines[0], "takes mails")
		require.Contains(t, lines[1], "greeting: the server answered 421: later")
		require.Contains(t, lines[2], "takes mails")

		set(script{"RCPT": "550 no"})
		require.Error(t, sender.Send(t.Context(), onCall, alert(future)))
		set(script{"RCPT": "450 no"})
		require.Error(t, sender.Send(t.Context(), onCall, alert(future)))
		require.NoError(t, testutil.GatherAndCompare(metrics, strings.NewReader(`# HELP casepress_mail_attempts_total Attempts to hand a mail to the mail server: taken, failed (may be tried again), refused (the server would refuse it again).
# TYPE casepress_mail_attempts_total counter
casepress_mail_attempts_total{outcome="failed"} 1
casepress_mail_attempts_total{outcome="refused"} 1
casepress_mail_attempts_total{outcome="taken"} 1
`), "casepress_mail_attempts_total"))
	})
}

func TestNewRefuses(t *testing.T) {
	good := mail.Config{Server: "mail.example.org:587", From: "a@example.org"}
	_, err := mail.New(good)
	require.NoError(t, err)
	for _, tc := range []struct {
		change func(*mail.Config)
		want   string
	}{
		{func(c *mail.Config) { c.Server = "mail.example.org" }, `Server must be host:port, as mail.example.org:587, not "mail.example.org"`},
		{func(c *mail.Config) { c.Server = ":587" }, `Server must be host:port, as mail.example.org:587, not ":587"`},
		{func(c *mail.Config) { c.Server = "mail.example.org:0" }, "Server must be host:port"},
		{func(c *mail.Config) { c.Server = "mail.example.org:smtp" }, "Server must be host:port"},
		{func(c *mail.Config) { c.Server = "mail.example.org\r\n:25" }, "Server must be host:port"},
		{func(c *mail.Config) { c.From = "" }, "From must be a mail address"},
		{func(c *mail.Config) { c.From = "a@example.org, b@c.d" }, "From must be a mail address"},
		{func(c *mail.Config) { c.From = "Ä <ä@example.org>" }, "From must be a mail address in ASCII"},
		{func(c *mail.Config) { c.Security = "ssl" }, `Security must be starttls, tls or none, not "ssl"`},
		{func(c *mail.Config) { c.User = "u" }, "User needs a password"},
		{func(c *mail.Config) { c.Password = "p" }, "Password needs a user"},
		{func(c *mail.Config) { c.User, c.Password, c.Security = "u", "p", mail.NoTLS }, "User needs TLS: a password is not sent in plain text"},
		{func(c *mail.Config) { c.Timeout = -time.Second }, "Timeout is -1s: it must be above 0"},
		{func(c *mail.Config) { c.Connections = -1 }, "Connections is -1: it must be 1 to 64"},
		{func(c *mail.Config) { c.Connections = 65 }, "Connections is 65: it must be 1 to 64"},
		{func(c *mail.Config) { c.PublicURL = "casepress.example.org" }, "PublicURL must be as https://casepress.example.org"},
		{func(c *mail.Config) { c.PublicURL = "https://u:p@x" }, "PublicURL must be as"},
		{func(c *mail.Config) { c.PublicURL = "https://x/#/" }, "PublicURL must be as"},
		{func(c *mail.Config) { c.PublicURL = "https://x\r\nBcc: a@b" }, "PublicURL must be as"},
		{func(c *mail.Config) { c.PublicURL = "ftp://x" }, "PublicURL must be as"},
	} {
		c := good
		tc.change(&c)
		_, err := mail.New(c)
		require.ErrorContains(t, err, tc.want)
		require.ErrorAs(t, err, new(*mail.ConfigError))
	}
}

// Without a public address a mail says where to look.
func TestMailWithoutALink(t *testing.T) {
	s := startServer(t, "127.0.0.1")
	require.NoError(t, newSender(t, s, func(c *mail.Config) { c.PublicURL = "" }).Send(t.Context(), onCall, alert(future)))
	require.Contains(t, s.all()[0].body, "\nOpen it and acknowledge it on the safety desk.\n")
	require.NotContains(t, s.all()[0].body, "http")
}

// Whatever stands in an alert, a mail can be read, has the headers that it should have, and goes to one address.
func FuzzMail(f *testing.F) {
	f.Add("Safety officer", "S1", "AE-1", "550 no such user", "zh", true)
	f.Add(`Zoë\`, "S1", "AE-1", "550 no such user", "zh", true)
	f.Add("a\\\x7f", "S1", "AE-1", "550 no such user", "en", true)
	f.Add("\xcd\xcd\x18\xeb\xa8\\", "1S1", "AE\xff1", "550 no such us\x8cr", "zh", true)
	f.Add("a\r\nBcc: b@c.d", "=?utf-8?b?QQ==?=", "\x00\u2028", "\r\n.\r\n", "en-GB", false)
	sender, err := mail.New(mail.Config{Server: "mail.example.org:25", From: "a@example.org"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, who, studyID, id, reason, language string, exercise bool) {
		a := alert(future)
		a.Who, a.Study, a.ID, a.Exercise = who, studyID, id, exercise
		a.Failing = []notify.FailingChannel{{Channel: id, Since: past, Reason: reason}}
		raw, err := sender.Compose(study.Rung{Who: who, Mail: "safety@example.org", Language: language}, a)
		require.NoError(t, err)
		header, body, err := parse(raw)
		require.NoError(t, err)
		require.Equal(t, headers, names(header))
		require.Contains(t, body, "AE-1")
		subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
		require.NoError(t, err)
		require.Contains(t, subject, "AE-1")
		if utf8.ValidString(studyID) && !strings.ContainsFunc(studyID, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) && utf8.RuneCountInString(studyID) < 100 {
			require.Contains(t, subject, studyID)
		}
		to, err := header.AddressList("To")
		require.NoError(t, err)
		require.Len(t, to, 1)
		require.Equal(t, "safety@example.org", to[0].Address)
	})
}
