package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"casepress/notify/mail"
)

// Mail holds the settings of the mail server that alerts are handed to.
type Mail struct {
	SMTP             string        `name:"smtp" placeholder:"HOST:PORT" help:"Mail server that alerts are handed to. Without one nobody can be told by mail."`
	SMTPTLS          mail.Security `name:"smtp-tls" default:"starttls" enum:"starttls,tls,none" help:"How the way to the mail server is encrypted: starttls, and nothing is sent to a server without it; tls from the first byte on; none."`
	SMTPUser         string        `name:"smtp-user" placeholder:"NAME" help:"User at the mail server; over TLS only."`
	SMTPPasswordFile string        `name:"smtp-password-file" help:"File with the user's password, in one line."`
	SMTPTimeout      time.Duration `name:"smtp-timeout" default:"${smtp_timeout}" help:"Longest attempt to hand over a mail."`
	SMTPConnections  int           `name:"smtp-connections" default:"${smtp_connections}" help:"Connections to the mail server at once."`
	MailFrom         string        `placeholder:"ADDRESS" help:"Whom mails come from, and who is told of those that did not arrive, as 'casepress <alerts@example.org>'."`
	PublicURL        string        `name:"public-url" placeholder:"URL" help:"Where people reach the page, as https://casepress.example.org: mails lead there."`
}

// maxPassword is the largest file with a password, in bytes.
const maxPassword = 4 << 10

// mailFlags are the flags that set the fields of [mail.Config].
var mailFlags = map[string]string{
	"Server": "--smtp", "Security": "--smtp-tls", "User": "--smtp-user", "Password": "--smtp-password-file", "From": "--mail-from",
	"PublicURL": "--public-url", "Timeout": "--smtp-timeout", "Connections": "--smtp-connections",
}

// config is what the settings ask for; nil without a mail server.
func (m *Mail) config(dataDir string) (*mail.Config, error) {
	if m.SMTPTimeout <= 0 || m.SMTPConnections < 1 { // which would mean the default
		return nil, fmt.Errorf("--smtp-timeout is %v and --smtp-connections %d: the first must be above 0, the second 1 to %d", m.SMTPTimeout, m.SMTPConnections, mail.MostConnections)
	}
	if m.SMTP == "" {
		if m.SMTPUser != "" || m.SMTPPasswordFile != "" || m.MailFrom != "" || m.PublicURL != "" {
			return nil, errors.New("--smtp-user, --smtp-password-file, --mail-from and --public-url need --smtp")
		}
		return nil, nil
	}
	password, err := m.password(dataDir)
	if err != nil {
		return nil, fmt.Errorf("--smtp-password-file: %w", err)
	}
	c := &mail.Config{
		Server: m.SMTP, Security: m.SMTPTLS, User: m.SMTPUser, Password: password, From: m.MailFrom, PublicURL: m.PublicURL,
		Timeout: m.SMTPTimeout, Connections: m.SMTPConnections,
	}
	var wrong *mail.ConfigError
	if err := c.Validate(); errors.As(err, &wrong) {
		return nil, fmt.Errorf("%s %s", mailFlags[wrong.Field], wrong.Reason)
	} else if err != nil {
		return nil, err
	}
	return c, nil
}

// password reads the file; "" without one.
func (m *Mail) password(dataDir string) (password string, err error) {
	if m.SMTPPasswordFile == "" {
		return "", nil
	}
	if inside(dataDir, m.SMTPPasswordFile) {
		return "", fmt.Errorf("%s lies in the data folder, which is copied elsewhere: keep it apart", m.SMTPPasswordFile)
	}
	f, err := os.Open(m.SMTPPasswordFile)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	content, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return "", err
	}
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	if len(content) == 0 || len(content) > maxPassword || bytes.ContainsAny(content, "\x00\r\n") || !utf8.Valid(content) {
		return "", fmt.Errorf("%s must have the password in one line of UTF-8, up to %d KiB", m.SMTPPasswordFile, maxPassword>>10)
	}
	return string(content), nil
}
