package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/disk"
	"casepress/notify/mail"
	"casepress/tasks/pdf"
)

func TestSettings(t *testing.T) {
	t.Setenv("CASEPRESS_MAX_BODY", "3MiB")
	t.Setenv("CASEPRESS_TASK_TIMEOUT", "7s")
	cmd, err := parse([]string{"--workers=3", "--report-images-per-page=4", "--report-paper=letter"}, &strings.Builder{}, &strings.Builder{})
	require.NoError(t, err)
	serve, ok := cmd.(*Serve)
	require.True(t, ok, "no command is serve")
	require.NoError(t, serve.validate())
	require.Equal(t, 3, serve.Workers)
	require.Equal(t, pdf.Options{PerPage: 4, Paper: pdf.Letter, Language: pdf.English}, serve.pdfOptions())
	require.Equal(t, Size(3<<20), serve.Limits.MaxBody)
	config, err := serve.serviceConfig(nil)
	require.NoError(t, err)
	require.Equal(t, 7*time.Second, config.TaskTimeout)
	require.EqualValues(t, 3<<20, config.HTTP.MaxBodyBytes)
	require.Equal(t, 3, config.Lanes[0].Workers)
}

// TestVariablesThatNothingReads: a mistyped variable is told in the log, one of a setting or of Kubernetes is not.
func TestVariablesThatNothingReads(t *testing.T) {
	for _, name := range []string{"CASEPRESS_MAX_BODDY", "CASEPRESS_MAX_BODY", "CASEPRESS_PORT", "CASEPRESS_PORT_8080_TCP_ADDR", "CASEPRESS_SERVICE_HOST", "CASEPRESS_ADMIN_SERVICE_PORT_HTTP", "CASEPRESS_ADMIN_PORT"} {
		t.Setenv(name, "3MiB")
	}
	for _, args := range [][]string{nil, {"progress"}, {"relay"}} {
		cmd, err := parse(args, &strings.Builder{}, &strings.Builder{})
		require.NoError(t, err)
		var out strings.Builder
		cmd.(interface {
			logger(io.Writer) *slog.Logger
		}).logger(&out)
		require.Equal(t, 1, strings.Count(out.String(), "variable=CASEPRESS_MAX_BODDY\n"), out.String())
		require.NotContains(t, out.String(), "variable=CASEPRESS_MAX_BODY\n")
		require.NotContains(t, out.String(), "variable=CASEPRESS_PORT")
		require.NotContains(t, out.String(), "SERVICE")
		require.NotContains(t, out.String(), "variable=CASEPRESS_ADMIN")
		require.NotContains(t, out.String(), "3MiB", "what it is set to may be a secret")
	}
}

func TestSettingsRefused(t *testing.T) {
	for _, tc := range []struct{ arg, want string }{
		{"--hosts=http://casepress.clinic.example:80", "is not the name of a host: write it as casepress.clinic.example"},
		{"--hosts=,a", "is not the name of a host"},
		{"--log-level=loud", `"loud" is not a level: it must be debug, info, warn or error`},
		{"--workers=0", "--workers is 0: it must be 1 to 1024"},
		{"--lane-workers=nowhere=3", `--lane-workers: there is no lane "nowhere"; the lanes are case-reports`},
		{"--lane-workers=case-reports=0", "--lane-workers"},
		{"--max-attempts=0", "--max-attempts"},
		{"--image-side=5", "--image-side"},
		{"--jpeg-quality=101", "--jpeg-quality"},
		{"--report-images-per-page=3", "--report-images-per-page"},
		{"--report-paper=a5", "--report-paper"},
		{"--originals=lose", "originals"},
		{"--originals=vault", "--originals=vault needs --vault-key-file"},
		{"--max-body=0", "--max-body"},
		{"--max-body=many", `"many" is not a size`},
		{"--max-body=9999999TiB", "is not a size"},
		{"--max-images=0", "--max-images"},
		{"--max-megapixels=0", "--max-megapixels"},
		{"--max-notes=0", "--max-notes"},
		{"--max-wait=0s", "--max-wait"},
		{"--max-streams=-1", "--max-streams"},
		{"--max-webhook-endpoints=0", "--max-webhook-endpoints"},
		{"--webhook-allow=10.0.0.1/8", `--webhook-allow: "10.0.0.1/8" is no network`},
		{"--webhook-allow=10.0.0.1", "--webhook-allow"},
		{"--webhook-timeout=0s", "--webhook-timeout"},
		{"--webhook-connections=65", "--webhook-connections"},
		{"--smtp-user=casepress", "--smtp-user, --smtp-password-file, --mail-from and --public-url need --smtp"},
		{"--smtp=mail.example.org", `--smtp must be host:port, as mail.example.org:587, not "mail.example.org"`},
		{"--smtp=mail.example.org:587", "--mail-from must be a mail address"},
		{"--smtp-tls=maybe", "--smtp-tls"},
		{"--max-streams-per-address=-1", "--max-streams-per-address"},
		{"--max-body=+5MiB", "is not a size"},
		{"--max-uploads-per-address=-1", "--max-uploads-per-address"},
		{"--max-http-connections=-1", "--max-http-connections"},
		{"--max-http-connections-per-address=-1", "--max-http-connections-per-address"},
		{"--max-batch-bytes=17MiB", "at most 16777216"},
		{"--client-header=X Y", "--client-header"},
		{"--upload-rate-span=0s", "--upload-rate-span"},
		{"--max-connections=0", "--max-connections"},
		{"--max-members=0", "--max-members"},
		{"--max-open-files=7", "--max-open-files"},
		{"--max-unacked=0", "--max-unacked"},
		{"--max-unacked=3000000", "--max-unacked"},
		{"--max-read-ahead=0", "--max-read-ahead"},
		{"--retain-age=-1s", "--retain-age"},
		{"--max-unread=0", "--max-unread"},
		{"--log-level=loud", "log-level"},
		{"--no-such-flag", "unknown flag"},
		{"dance", "unexpected argument dance; the commands are serve, health, study, "},
	} {
		t.Run(tc.arg, func(t *testing.T) {
			err := run(t.Context(), []string{tc.arg, "--data-dir=" + t.TempDir()}, &strings.Builder{}, &strings.Builder{})
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// Where a client has no share of its own, a batch may be as large as all batches together.
func TestLargestBatchWithoutShares(t *testing.T) {
	err := run(t.Context(), []string{"--max-uploads-per-address=0", "--max-batch-bytes=65MiB", "--data-dir=" + t.TempDir()}, &strings.Builder{}, &strings.Builder{})
	require.ErrorContains(t, err, "at most 67108864")
}

// The README's table, the help and the flags must name the same settings.
func TestHelpAndReadmeShowEverySetting(t *testing.T) {
	var help strings.Builder
	require.NoError(t, run(t.Context(), []string{"--help"}, &help, &help))
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, settings, _ := strings.Cut(string(readme), "## Settings")
	settings, _, _ = strings.Cut(settings, "\n## ")
	flags := regexp.MustCompile(`--[a-z-]+=`).FindAllString(help.String(), -1)
	require.Greater(t, len(flags), 20)
	for _, flag := range flags {
		flag = strings.TrimSuffix(flag, "=")
		require.Contains(t, settings, "`"+flag+"`", "the README's settings")
		require.Contains(t, help.String(), "CASEPRESS_"+strings.ToUpper(strings.ReplaceAll(flag[2:], "-", "_")))
	}
	for _, flag := range regexp.MustCompile("`(--[a-z-]+)`").FindAllStringSubmatch(settings, -1) {
		require.Contains(t, help.String(), flag[1], "the README names a flag that does not exist")
	}
}

func TestDataFolderBelongsToOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "data")
	require.NoError(t, disk.OS.MkdirAll(dir, 0o700))
	unlock, err := disk.Lock(dir)
	require.NoError(t, err)
	err = run(t.Context(), []string{"--data-dir=" + dir}, &strings.Builder{}, &strings.Builder{})
	require.ErrorIs(t, err, disk.ErrLocked)
	require.ErrorContains(t, err, "--data-dir")
	require.NoError(t, unlock())
}

// What is wrong with the settings of mail is said by the flag that sets it, and the password is told nowhere.
func TestMailSettings(t *testing.T) {
	dir := t.TempDir()
	password := func(content string) string {
		path := filepath.Join(t.TempDir(), "password")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	inData := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(inData, []byte("hidden\n"), 0o600))
	config := func(args ...string) (*mail.Config, error) {
		cmd, err := parse(append([]string{"--data-dir=" + dir, "--smtp=mail.example.org:587", "--mail-from=casepress <alerts@example.org>"}, args...), &strings.Builder{}, &strings.Builder{})
		require.NoError(t, err)
		c, err := cmd.(*Serve).serviceConfig(nil)
		return c.Mail, err
	}
	c, err := config("--smtp-user=casepress", "--smtp-password-file="+password("hid den\r\n"), "--public-url=https://casepress.example.org")
	require.NoError(t, err)
	require.Equal(t, &mail.Config{
		Server: "mail.example.org:587", Security: mail.STARTTLS, User: "casepress", Password: "hid den", From: "casepress <alerts@example.org>",
		PublicURL: "https://casepress.example.org", Timeout: mail.DefaultTimeout, Connections: mail.DefaultConnections,
	}, c)

	for _, tc := range []struct{ arg, want string }{
		{"--smtp=mail.example.org", `--smtp must be host:port, as mail.example.org:587, not "mail.example.org"`},
		{"--mail-from=nobody", "--mail-from must be a mail address in ASCII"},
		{"--smtp-timeout=0s", "--smtp-timeout is 0s"},
		{"--smtp-connections=0", "--smtp-connections 0: the first must be above 0, the second 1 to 64"},
		{"--smtp-connections=65", "--smtp-connections is 65: it must be 1 to 64"},
		{"--smtp-user=casepress", "--smtp-user needs a password"},
		{"--smtp-password-file=" + password("hidden"), "--smtp-password-file needs a user"},
		{"--smtp-password-file=" + password(""), "must have the password in one line of UTF-8"},
		{"--smtp-password-file=" + password("hidden\nhidden\n"), "must have the password in one line of UTF-8"},
		{"--smtp-password-file=" + password("hidden\xff"), "must have the password in one line of UTF-8"},
		{"--smtp-password-file=" + password(strings.Repeat("hidden", 1000)), "must have the password in one line of UTF-8, up to 4 KiB"},
		{"--smtp-password-file=" + inData, "--smtp-password-file: " + inData + " lies in the data folder"},
		{"--smtp-password-file=" + filepath.Join(t.TempDir(), "none"), "--smtp-password-file: open "},
		{"--public-url=casepress.example.org", "--public-url must be as https://casepress.example.org"},
	} {
		_, err := config(tc.arg)
		require.ErrorContains(t, err, tc.want, tc.arg)
		require.NotContains(t, err.Error(), "hidden")
	}
	_, err = config("--smtp-user=casepress", "--smtp-password-file="+password("hidden"), "--smtp-tls=none")
	require.ErrorContains(t, err, "--smtp-user needs TLS: a password is not sent in plain text")
}
