package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/disk"
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

func TestSettingsRefused(t *testing.T) {
	for _, tc := range []struct{ arg, want string }{
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
		{"--max-streams-per-address=-1", "--max-streams-per-address"},
		{"--max-body=+5MiB", "is not a size"},
		{"--max-uploads-per-address=-1", "--max-uploads-per-address"},
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
