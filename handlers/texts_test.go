package handlers

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"casepress/dispatcher"
)

var verb = regexp.MustCompile(`%[^%]*?[a-zA-Z]`)

// Every sentence exists in both languages and takes the same arguments.
func TestTextsAgree(t *testing.T) {
	count := 0
	for _, file := range []string{"problemcodes.go", "messages.go"} {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || len(lit.Elts) != 2 {
				return true
			}
			en, ok1 := word(lit.Elts[0])
			zh, ok2 := word(lit.Elts[1])
			if !ok1 || !ok2 {
				return true
			}
			count++
			require.NotEmpty(t, en)
			require.NotEmpty(t, zh)
			require.Equal(t, verb.FindAllString(en, -1), verb.FindAllString(zh, -1), "%s / %s", en, zh)
			require.False(t, strings.ContainsAny(en, "，。；："), en)
			return true
		})
	}
	require.Greater(t, count, 80)
}

func word(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

func TestCodesAreComplete(t *testing.T) {
	for code, info := range codeTable {
		require.GreaterOrEqual(t, info.status, 400, code)
		require.NotEmpty(t, info.title.en, code)
		require.NotEmpty(t, info.detail.en, code)
		if info.status == 503 || info.status == 507 {
			require.Positive(t, info.retryAfter, code)
			require.True(t, info.retryable, code)
		}
	}
}

// Where the outcome is unknown, the client learns the id to ask for it with.
func TestUnknownOutcomeNamesTheID(t *testing.T) {
	f := asFault(submitFault(fmt.Errorf("wait: %w", context.DeadlineExceeded), "r1"))
	require.Equal(t, codeOutcomeUnknown, f.code)
	require.Equal(t, "r1", f.extras.ReportID)
	require.Contains(t, f.detail.in(english, f.args...), "reportId r1")
	c, _ := gin.CreateTestContext(httptest.NewRecorder())
	c.Request = httptest.NewRequest("POST", "/", nil)
	for unknown, want := range map[*fault]string{
		f: "null", {code: codeTimeout}: "false", {code: codeRowsBehind, stored: true}: "true", panicFault("boom"): "null",
		asFault(fmt.Errorf("wait: %w: %w", dispatcher.ErrUnavailable, dispatcher.ErrOutcomeUnknown)): "null",
	} {
		require.Equal(t, want, string(problemOf(c, unknown, english).Stored))
	}
	require.NoError(t, submitFault(nil, "r1"))
}

func TestSizesAreWrittenAsSet(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1,000 B", 1 << 10: "1 KiB", 200 << 20: "200 MiB", 3 << 30: "3 GiB", 1<<20 + 1: "1,048,577 B"} {
		require.Equal(t, want, byteSize(n))
	}
}

func TestPeriodsAreWrittenAsSet(t *testing.T) {
	for _, want := range []string{"30s", "30m", "24h", "1h30m", "1h0m5s", "50ms", "0s"} {
		d, err := time.ParseDuration(want)
		require.NoError(t, err)
		require.Equal(t, want, period(d))
	}
}

func TestFileLabels(t *testing.T) {
	for name, want := range map[string]string{
		"":                       "",
		"a.jpg":                  "a.jpg",
		`C:\photos\a.jpg`:        "a.jpg",
		"../../etc/passwd":       "passwd",
		"皮疹 1.jpg":               "皮疹 1.jpg",
		"a\x00\n\u202eb.jpg":     "ab.jpg",
		"\xff.jpg":               "\uFFFD.jpg",
		strings.Repeat("长", 101): strings.Repeat("长", 100),
	} {
		require.Equal(t, want, fileLabel(name))
	}
}

// docs/http.md names every default, so that a changed one changes there too.
func TestDefaultsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/http.md")
	require.NoError(t, err)
	c := Config{}.withDefaults()
	for flag, value := range map[string]string{
		"--max-body": byteSize(c.MaxBodyBytes), "--max-images": fmt.Sprint(c.MaxImages), "--max-megapixels": fmt.Sprintf("%d million", c.MaxPixels/1_000_000),
		"--max-notes": grouped(int64(c.MaxNotes)), "--max-uploads": fmt.Sprint(c.MaxUploads), "--stall-timeout": fmt.Sprintf("%.0f s", c.StallTimeout.Seconds()),
		"--upload-timeout": fmt.Sprintf("%.0f min", c.UploadTimeout.Minutes()),
		"--min-free-disk":  byteSize(c.MinFreeDisk),
	} {
		require.Regexp(t, `\| `+value+`(, [^|]*)? \| .`+flag+`.( \([^|]*\))? \|`, string(text))
	}
	require.Contains(t, string(text), "`--max-wait` ("+fmt.Sprintf("%.0f s", c.MaxWait.Seconds()))
	require.Contains(t, string(text), "| "+byteSize(maxPartHeader)+" |")
}
