package mail_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/notify/mail"
)

// TestOutsideServer hands mails to a server that others have written, and that is started by interop/mail/run.sh, which then
// looks at what has come. The certificate is trusted by SSL_CERT_FILE.
func TestOutsideServer(t *testing.T) {
	server := os.Getenv("CASEPRESS_SMTP")
	if server == "" {
		t.Skip("only with another server: make mail")
	}
	sender, err := mail.New(mail.Config{
		Server: server, User: "casepress", Password: goodPassword, From: "casepress <alerts@example.org>", PublicURL: "https://casepress.example.org",
	})
	require.NoError(t, err)
	require.NoError(t, sender.Check(t.Context()))
	exercise := alert(future)
	exercise.Exercise, exercise.Who = true, chinese(onCall).Who
	require.NoError(t, sender.Send(t.Context(), onCall, alert(future)))
	require.NoError(t, sender.Send(t.Context(), chinese(onCall), exercise))
	to := onCall
	to.Mail = "nobody@example.org"
	require.EqualError(t, sender.Send(t.Context(), to, alert(future)), "RCPT TO: the server answered 550: 5.1.1 no such user")
	wrong, err := mail.New(mail.Config{Server: server, User: "casepress", Password: "wrong", From: "alerts@example.org"})
	require.NoError(t, err)
	require.EqualError(t, wrong.Check(t.Context()), "AUTH: the server answered 535")
}
