package pdf_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"casepress/tasks/pdf"
	"casepress/tasks/pdf/font"
)

func TestRenderNotesComeBack(t *testing.T) {
	for _, c := range []struct{ name, notes string }{
		{"chinese", "患者喆堃旻赟翀玥珺祎犇，女，34岁。主诉：右前臂皮疹三天，伴轻度瘙痒（VAS 3/10），无发热。“边界清楚”，压之褪色……建议复诊。"},
		{"laboratory", "WBC 6.2×10⁹/L, eGFR 92 mL/min/1.73 m², HbA₁c ≥ 5.4 %, CO₂, x⁻¹, µg, ±2 °C"},
		{"europe", "Größe naïve señor œuvre; Dvořák Łukasz Őrsi Þórður İğdır; Θεόδωρος Παπαδόπουλος ἀρχή; Щукин Фёдор Їжак"},
		{"asia", "Nguyễn Thị Hồng Nhung; 김민준 박서연 뷁; ผู้ป่วยกี่ครั้ง น้ำ; 髙橋 﨑 カタカナ ひらがな"},
		{"beyond the basic plane", "𬭎𬘓 and 𬭎 again"},
		{"emoji", "😀👍🏽 ❤️ ❤ 👨‍👩‍👧‍👦 🇨🇳 1️⃣ ☎ ⚕ 🧑🏿‍🚀"},
		{"marks", "e\u0301 Z\u030c q\u0301 x\u0302\u0323 a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309 and \u0301 alone"},
		{"not in normal form", "\u212b \u2126 \uf9d0 \ufa19 ﬁ ① ｶﾞ"},
		{"brackets and backslashes", `((\(a\)\\ [b] {c} <d> %e \r\n ) <</Type /Page>> endobj`},
		{"many paragraphs", "one\n\n  two\r\nthree\rfour\u2028five"},
		{"long", strings.Repeat("患者喆堃旻赟，体温36.8℃，WBC 6.2×10⁹/L。", 150)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := document()
			d.Notes = c.notes
			file, info := render(t, d)
			require.Empty(t, info.Problems)
			require.Equal(t, oneLine(c.notes), notesOf(t, file))
		})
	}
}

// oneLine is text as a document holds it: without line ends.
func oneLine(s string) string {
	return strings.NewReplacer("\r", "", "\n", "", "\u2028", "").Replace(s)
}

// notesOf returns the notes of a document without images.
func notesOf(t testing.TB, file []byte) string {
	t.Helper()
	var notes strings.Builder
	for i, page := range read(t, file).Pages {
		if i == 0 {
			_, page, _ = strings.Cut(page, "42Notes")
			page, _, _ = strings.Cut(page, "Report 0192f3a1-7c55-7b1e-9a53-6f2d8c1e4b77")
		} else {
			page, _, _ = strings.Cut(page, "Patient P001 · Visit V3Case report")
		}
		notes.WriteString(page)
	}
	return notes.String()
}

// TestRenderEveryCharacterOfTheTypefacesComesBack holds all 45,000 characters
// against what a reader copies.
func TestRenderEveryCharacterOfTheTypefacesComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("large, and one goroutine")
	}
	var all []rune // but for Devanagari, which comes with a remark
	for r := rune('!'); r <= unicode.MaxRune; r++ {
		for f := range font.Faces {
			if f.Font().Has(r) && !unicode.In(r, unicode.C, unicode.Z, unicode.M, unicode.Devanagari) {
				all = append(all, r)
				break
			}
		}
	}
	require.Greater(t, len(all), 45_000)
	for part := range slices.Chunk(all, 15_000) {
		d := document()
		d.Notes = string(part)
		file, info := render(t, d)
		require.Empty(t, info.Problems)
		require.Equal(t, d.Notes, notesOf(t, file))
	}
}

func TestRenderShowsTheCodePointOfWhatItCannotShow(t *testing.T) {
	d := document()
	d.Notes = "ok \U000e0041 a\u202eb\u200dc\x07d\ufe0f שלום \ue000 \xff end \U000e0041\u05b0"
	d.PatientID = "P\x00"
	file, info := render(t, d)
	require.Equal(t, []pdf.Problem{{Code: pdf.CodeCharacters, Detail: "Some characters cannot be shown by the report's typefaces and are printed as their code points: " +
		"U+E0041, U+202E, U+200D, U+0007, U+FE0F, U+05E9, U+05DC, U+05D5, U+05DD, U+E000, U+FFFD, U+05B0 and 1 more."}}, info.Problems)
	text := strings.Join(read(t, file).Pages, "")
	require.Contains(t, text, "ok [U+E0041] a[U+202E]b[U+200D]c[U+0007]d[U+FE0F] [U+05E9][U+05DC][U+05D5][U+05DD] [U+E000] ")
	require.Contains(t, text, " end [U+E0041][U+05B0]")
	require.Contains(t, text, "P[U+0000]")
}

func TestRenderSaysWhatItDoesNotJoin(t *testing.T) {
	d := document()
	d.Notes = "नमस्ते"
	file, info := render(t, d)
	require.Len(t, info.Problems, 1)
	require.Equal(t, pdf.CodeUnshaped, info.Problems[0].Code)
	require.Contains(t, strings.Join(read(t, file).Pages, ""), d.Notes)
}

// TestRandomTextComesBack makes texts of Chinese, Latin and emoji. With
// CASEPRESS_PDFTOTEXT=1 there are 10,000 of them and pdftotext reads them too.
func TestRandomTextComesBack(t *testing.T) {
	documents, perDocument := 3, 100
	heavy := os.Getenv("CASEPRESS_PDFTOTEXT") != ""
	if heavy {
		documents = 100
	}
	for n := range documents {
		random := rand.New(rand.NewPCG(7, uint64(n)))
		d := document()
		var texts []string
		for range perDocument {
			texts = append(texts, randomText(random))
		}
		d.Notes = strings.Join(texts, "\n")
		file, info := render(t, d)
		require.Empty(t, info.Problems)
		require.Equal(t, strings.Join(texts, ""), notesOf(t, file))
		if heavy {
			requireExtracted(t, file, texts)
		}
	}
}

// requireExtracted requires that pdftotext gives every character in order, and no
// line that begins with closing punctuation.
func requireExtracted(t *testing.T, file []byte, texts []string) {
	t.Helper()
	var notes strings.Builder
	for i, page := range strings.Split(tool(t, file, "pdftotext", "-raw", "FILE", "-"), "\f") {
		if i == 0 {
			_, page, _ = strings.Cut(page, "\nNotes\n")
		}
		page, _, _ = strings.Cut(page, "\nPatient P001 · Visit V3")
		page, _, _ = strings.Cut(page, "\nReport 0192f3a1-7c55-7b1e-9a53-6f2d8c1e4b77")
		for line := range strings.Lines(page) {
			r, _ := utf8.DecodeRuneInString(line)
			require.NotContains(t, "!%),.:;?]}、。，．：；？！）》」』】”’…—·", string(r), "%q", line)
		}
		notes.WriteString(page)
	}
	require.Equal(t, words(strings.Join(texts, "")), words(notes.String()))
}

// randomText returns up to 160 characters: words, Chinese, punctuation never more
// than twice in a row and never first, emoji with their modifiers.
func randomText(r *rand.Rand) string {
	var b strings.Builder
	punctuation := 2
	for range 1 + r.IntN(60) {
		switch kind := r.IntN(12); {
		case kind < 5:
			for range 1 + r.IntN(6) {
				b.WriteRune(hanFrom(r))
			}
			punctuation = 0
		case kind < 8:
			for range 1 + r.IntN(8) {
				b.WriteRune(pick(r, []rune("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789éèüßñøčłőřžşğắộ")))
			}
			punctuation = 0
		case kind < 10 && punctuation < 2:
			b.WriteRune(pick(r, []rune("，。、；：？！（）《》「」“”‘’…—·,.;:?!()[]%℃/+-×≥⁹₂")))
			punctuation++
		case kind == 10:
			b.WriteString(pick(r, []string{"😀", "👍🏽", "❤️", "👨‍👩‍👧", "🇨🇳", "🩹", "💊", "🧪", "🫀", "e\u0301"}))
			punctuation = 0
		default:
			b.WriteRune(' ')
		}
	}
	return strings.TrimLeft(b.String(), " ") + "末"
}

func hanFrom(r *rand.Rand) rune {
	if r.IntN(10) == 0 {
		return pick(r, []rune("喆堃旻赟翀玥珺祎犇𬭎𬘓あいカナ김민준"))
	}
	return 0x4e00 + rune(r.IntN(0x9fa5-0x4e00))
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func TestReadRefuses(t *testing.T) {
	file, _ := render(t, document(shown(grey(t, 20, 10), "IMG1", 20, 10)))
	for _, part := range []int{0, 1, 100, len(file) / 2, len(file) - 1} {
		_, err := pdf.Read(strings.NewReader(string(file[:part])), int64(part))
		require.Error(t, err, fmt.Sprint(part))
	}
}
