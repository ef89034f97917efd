package pdf_test

import (
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/pdf"
)

// TestPreview writes documents to look at. CASEPRESS_PREVIEW names the folder;
// CASEPRESS_PHOTOS a folder of JPEGs to show.
func TestPreview(t *testing.T) {
	folder := os.Getenv("CASEPRESS_PREVIEW")
	if folder == "" {
		t.Skip("CASEPRESS_PREVIEW is not set")
	}
	var photos []pdf.Image
	names, err := filepath.Glob(filepath.Join(os.Getenv("CASEPRESS_PHOTOS"), "*.jpg"))
	require.NoError(t, err)
	for _, name := range names {
		photos = append(photos, photoFile(t, name))
	}
	require.NotEmpty(t, photos)
	for _, c := range []struct {
		name           string
		count, perPage int
		paper          pdf.Paper
		language       pdf.Language
		notes          string
	}{
		{"en-1", 1, 1, pdf.A4, pdf.English, westernNotes},
		{"en-3", 3, 1, pdf.Letter, pdf.English, westernNotes + "\n\n" + strings.Repeat(westernNotes+" ", 14)},
		{"zh-3", 3, 1, pdf.A4, pdf.Chinese, chineseNotes},
		{"zh-long", 7, 2, pdf.A4, pdf.Chinese, strings.Repeat(chineseNotes+"\n", 12)},
		{"en-50", 50, 4, pdf.A4, pdf.English, chineseNotes},
		{"names", 2, 2, pdf.Letter, pdf.English, namesNotes},
		{"bare", 0, 1, pdf.A4, pdf.English, ""},
	} {
		d := document()
		d.Study, d.Site, d.Status, d.Notes = "CP-2026-017", "101", "completed", c.notes
		d.Options = pdf.Options{PerPage: c.perPage, Paper: c.paper, Language: c.language}
		if c.name == "bare" {
			d.Study, d.Site = "", ""
		}
		if c.name == "names" {
			d.Study = strings.Repeat("S", 64)
			d.PatientID, d.VisitID = "Dvořák Łukasz Őrsi Nguyễn Θεόδωρος Щукин 김민준 ธนพล", strings.Repeat("W", 40)
		}
		for i := range c.count {
			img := photos[i%len(photos)]
			img.ID = fmt.Sprintf("IMG%03d", i+1)
			switch {
			case i%7 == 1 && i > 1 || c.count == 3 && i == 1:
				img.Damaged = "The file ends after 61 % of its rows; the rest of the picture is grey."
			case i%7 == 2:
				img.Problem, img.Open = "The picture is in a format (HEIC) that this server cannot show; the original is kept.", nil
			case i%7 == 4:
				img.Notes = []string{"The file has several pages; the first one is shown.", "The picture's colours are of a kind that could not be converted; they may be off."}
			}
			d.Images = append(d.Images, img)
		}
		file, info := render(t, d)
		t.Log(c.name, info.Pages, len(file), info.Problems)
		require.NoError(t, os.WriteFile(filepath.Join(folder, c.name+".pdf"), file, 0o600))
	}
}

const (
	westernNotes = "Rash on the right foot since three days, mildly itchy (VAS 3/10), no fever. WBC 6.2×10⁹/L, eGFR 92 mL/min/1.73 m², HbA₁c ≥ 5.4 %; “well demarcated”, blanching on pressure. Review at the next visit – photographs from three sides requested."
	chineseNotes = "患者喆堃旻赟，女，34岁。主诉：右前臂皮疹三天，伴轻度瘙痒（VAS 3/10），无发热。体温36.8℃，WBC 6.2×10⁹/L。“边界清楚”，压之褪色……建议一周后复诊，并从三个方向补拍照片。"
	namesNotes   = "Polski: Zażółć gęślą jaźń. Čeština: Příliš žluťoučký kůň. Magyar: árvíztűrő tükörfúrógép. Tiếng Việt: Nguyễn Thị Hồng Nhung. Ελληνικά: Θεόδωρος Παπαδόπουλος, ἀρχή. " +
		"Русский: Щукин Фёдор. Türkçe: İğdır şoför. Íslenska: Þórður. 한국어: 김민준 박서연. ไทย: น้ำ ผู้ป่วย ที่นี่ กี่ครั้ง. 日本語: 髙橋 﨑 カタカナ。\n" +
		"Decomposed: e\u0301 n\u0303 Z\u030c q\u0301 x\u0302\u0323 L\u0301 i\u0308; isolated \u0301 and m\u0304\u0301\u0304.\n" +
		"Emoji: 😀👍🏽 ❤️ 👨‍👩‍👧 🇨🇳 ☎ ⚕ → ⇒ ≤ ∑ ∈ 1️⃣\nNot shown: שלום مرحبا नमस्ते a\u202eb\u200dc 𠀀𬭎𬘓 \U000e0041"
)

func photoFile(t *testing.T, name string) pdf.Image {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	c, _, err := image.DecodeConfig(bytes.NewReader(b))
	require.NoError(t, err)
	img := shown(b, filepath.Base(name), c.Width, c.Height)
	img.Name, img.CapturedAt = filepath.Base(name), time.Date(2026, 11, 20, 9, 41, 7, 0, time.UTC).Format("2006-01-02T15:04:05+08:00")
	img.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	img.Key = name
	return img
}
