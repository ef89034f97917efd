package pdf_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/pdf"
)

func timeline() pdf.Timeline {
	at := time.Date(2026, 11, 26, 11, 40, 0, 0, time.UTC)
	step := func(name, who string, after, elapsed float64) pdf.Step {
		return pdf.Step{Name: name, Who: who, After: after, Elapsed: elapsed, At: at.Add(time.Duration(elapsed * float64(time.Second)))}
	}
	acknowledged := step("acknowledged", "Dr. Li Wei", 754.2, 4755.553)
	acknowledged.Decision, acknowledged.Text = "sae", "Hospitalised; drug stopped. 已住院观察。"
	refused := step("acknowledgement-refused", "Dr. Anna Maria von Hohenstein-Ötzi", 2.5, 4758.053)
	refused.Decision, refused.Of = "duplicate", "AE-0"
	followed := step("follow-up", "", 90000, 94758.053)
	followed.Text = "The rash has gone."
	closed := step("closed", "Dr. Li Wei", 190000, 284758.053)
	closed.Text = "Reported to the sponsor."
	return pdf.Timeline{
		ID: "AE-2026-0042", PatientID: "P001", VisitID: "V02", Study: "CP-2026-017", Site: "101", State: "closed",
		From: at, DueAt: at.Add(24 * time.Hour), Limit: "PT24H", AcknowledgedAt: acknowledged.At,
		KnownAt: "2026-11-26T19:40:00+08:00", OnsetAt: "2026-11-26T06:00:00+08:00", Seriousness: []string{"C83052", "C84266"},
		ReceivedAt: at.Add(4001 * time.Second), SHA256: strings.Repeat("0123456789abcdef", 4), Sequence: 4711,
		Description: "Rash on both arms since the morning, spreading.\n双臂皮疹，向躯干蔓延，体温 38.4℃。",
		Steps:       []pdf.Step{step("received", "Nurse Wang", 4001.2, 4001.2), step("queued", "", 1, 4002.2), step("handed-over", "", 0.153, 4002.353), acknowledged, refused, followed, closed},
	}
}

func renderTimeline(t testing.TB, of pdf.Timeline) ([]byte, pdf.Info) {
	t.Helper()
	var b bytes.Buffer
	info, err := pdf.RenderTimeline(&b, of)
	require.NoError(t, err)
	return b.Bytes(), info
}

func TestTimelineSaysEverything(t *testing.T) {
	for language, want := range map[pdf.Language][]string{
		pdf.English: {
			"Adverse event AE-2026-0042", "Closed", "Requires inpatient hospitalisation (C83052)", "2026-11-26 12:59:15 UTC · within the limit", "Due (PT24H)", "2026-11-27 11:40:00 UTC",
			"Taken up by the service", "Serious adverse event – Hospitalised", "Acknowledgement refused", "Duplicate of AE-0", "0.153 s", "12 min 34 s", "1 h 19 min", "26 h 19 min", "3 d 7 h", "page 1 of 1",
		},
		pdf.Chinese: {"不良事件 AE-2026-0042", "已关闭", "需要住院治疗 (C83052)", "在时限内", "系统已开始处理", "严重不良事件 – Hospitalised", "确认未生效", "重复事件，同 AE-0", "12 分 34 秒", "第 1 页，共 1 页"},
	} {
		of := timeline()
		of.Options.Language = language
		file, info := renderTimeline(t, of)
		if folder := os.Getenv("CASEPRESS_PREVIEW"); folder != "" {
			require.NoError(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("timeline-%s.pdf", language)), file, 0o600))
		}
		require.Equal(t, 1, info.Pages)
		require.Empty(t, info.Problems)
		page := read(t, file).Pages[0]
		for _, one := range append(want, "P001", "V02", "CP-2026-017", "101", of.SHA256, "4711", "2026-11-26 19:40:00 +08:00", "2026-11-26 06:00:00 +08:00",
			"Nurse Wang", "Dr. Anna Maria von Hohenstein-Ötzi", "Rash on both arms", "向躯干蔓延", "The rash has gone.", "Reported to the sponsor.") {
			require.Contains(t, words(page), words(one))
		}
		again, _ := renderTimeline(t, of)
		require.Equal(t, file, again)
	}
}

func TestTimelineNotAcknowledged(t *testing.T) {
	of := timeline()
	of.State, of.AcknowledgedAt, of.Steps, of.Seriousness, of.Description = "open", time.Time{}, of.Steps[:1], nil, ""
	file, _ := renderTimeline(t, of)
	require.Contains(t, words(read(t, file).Pages[0]), words("Not yet"))
	of.AcknowledgedAt = of.DueAt.Add(time.Second)
	file, _ = renderTimeline(t, of)
	require.Contains(t, words(read(t, file).Pages[0]), words("after the limit"))
}

// A thousand steps with long texts go on over pages, each with its head; what is cut says so.
func TestALongTimeline(t *testing.T) {
	of := timeline()
	of.Description = strings.Repeat("长", 1501)
	for range 1000 {
		s := of.Steps[5]
		s.Text = strings.Repeat("long ", 800)
		of.Steps = append(of.Steps, s)
	}
	file, info := renderTimeline(t, of)
	require.Greater(t, info.Pages, 30)
	got := read(t, file)
	require.Equal(t, 1000, strings.Count(words(strings.Join(got.Pages, "")), words("long … [goes on; the record has all of it]")))
	require.Equal(t, 1500, strings.Count(got.Pages[0]+got.Pages[1], "长"))
	for _, page := range got.Pages {
		require.Contains(t, page, "AE-2026-0042")
		require.Contains(t, page, "P001")
	}
}
