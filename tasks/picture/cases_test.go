package picture_test

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/tasks/picture"
)

// TestShow shows every file of the folder CASEPRESS_SHOW, prints what became of each, and writes the
// pictures to CASEPRESS_SHOW_OUT for the eye and for other programs to compare.
func TestShow(t *testing.T) {
	dir, out := os.Getenv("CASEPRESS_SHOW"), os.Getenv("CASEPRESS_SHOW_OUT")
	if dir == "" {
		t.Skip("CASEPRESS_SHOW names no folder")
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		start := time.Now()
		res, err := showCase(t, b)
		t.Logf("%-45s %4d ms %dx%d -> %dx%d %s %v %v", f.Name(), time.Since(start).Milliseconds(), res.Source.Width, res.Source.Height, res.Full.Width, res.Full.Height, res.Full.Format, noteCodes(res), err)
		if out != "" && err == nil {
			require.NoError(t, os.WriteFile(filepath.Join(out, f.Name()+"."+string(res.Full.Format)), res.Full.Data, 0o600))
		}
	}
}

func showCase(t *testing.T, b []byte) (picture.Result, error) {
	t.Helper()
	// What is shown is the subject, not how soon: the race detector takes ten times as long.
	o := picture.Options{TimeLimit: 10 * time.Minute}
	res, err := picture.Process(t.Context(), bytes.NewReader(b), int64(len(b)), picture.NewBudget(picture.DefaultBudget), o)
	requireSettled(t, res, err)
	return res, err
}

func noteCodes(res picture.Result) []string {
	var codes []string
	for _, n := range res.Notes {
		codes = append(codes, n.Code)
	}
	return codes
}

// expected is what is right for a case: the picture that it shows, or the problem.
type expected struct {
	shows   string // the reference that it shows
	turned  bool   // turned by a quarter to the left, and the file does not say so
	grid    string // instead of a reference: the average colours of 4 by 3 equal parts, row by row
	notes   []string
	problem string // the code, if nothing is shown
}

const (
	referencePicture = "_reference-picture.png"
	referenceScan    = "_reference-scan.png"
)

// What each file of the cases has to give; the README beside them has it in words.
var expectedOfCases = map[string]expected{
	referencePicture: {shows: referencePicture}, referenceScan: {shows: referenceScan},
	"bmp-16bit-565.bmp":                      {shows: referencePicture},
	"bmp-v5-32bit-alpha-mask-all-zero.bmp":   {shows: referencePicture},
	"gif-extra-block-after-lzw-end.gif":      {shows: referencePicture},
	"gif-zero-logical-screen.gif":            {shows: referencePicture},
	"heic-98x98-ok.heic":                     {grid: "5b6861 867c6e 897f62 7c6b52 61636c a18378 8a7c73 3a3b3e a3b2c4 9d979c b0a399 867363"},
	"heic-96x96.heic":                        {grid: "5b6861 867c6e 897f62 7c6b52 61636c a18378 8a7c73 3a3b3e a3b2c4 9d979c b0a399 867363"},
	"heic-limited-range-nclx.heic":           {shows: referencePicture},
	"heic-major-brand-mif1.heic":             {shows: referencePicture},
	"heic-nclx-display-p3.heic":              {shows: referencePicture},
	"heic-samsung-order-mdat-then-meta.heic": {shows: referencePicture},
	"jpeg-cmyk-without-adobe.jpg":            {shows: referencePicture},
	"jpeg-exif-orientation-as-LONG.jpg":      {shows: referencePicture},
	"jpeg-height-0-with-DNL.jpg":             {shows: referencePicture},
	"jpeg-mjpeg-frame-no-DHT.jpg":            {shows: referencePicture},
	"jpeg-sampling-3x1.jpg":                  {shows: referencePicture},
	"jpeg-sampling-Y2x2-Cb1x1-Cr1x2.jpg":     {shows: referencePicture},
	"jpeg-stray-RST-after-last-mcu.jpg":      {shows: referencePicture},
	"nef-like-ifd0-thumbnail-subifd-raw.nef": {problem: picture.CodeUnsupported},
	"png-ancillary-tEXt-bad-crc.png":         {shows: referencePicture, turned: true},
	"png-cICP-bt2020-pq.png":                 {notes: []string{picture.CodeColours}}, // shown without its colours, and says so
	"png-cICP-display-p3.png":                {shows: referencePicture},
	"png-eXIf-with-Exif00-prefix.png":        {shows: referencePicture},
	"tiff-g3-2d.tif":                         {shows: referenceScan},
	"tiff-g4-blackiszero.tif":                {shows: referenceScan},
	"tiff-planar-rgb.tif":                    {shows: referencePicture},

	// Averages by Pillow 12 with pillow-heif and LittleCMS; rgb32bf shows what pal8os2 does, and
	// unknown_compression_method has its iCCP cut off first.
	"peers/bigtiff__BigTIFF.tif":                                 {problem: picture.CodeUnsupported},
	"peers/bmp_555__rgb16.bmp":                                   {grid: "d37979 7bce7b 7574ce 9595a3 7b6565 6f6b70 6c6a6b 7b7b88 267979 782579 7a7728 6d6d77"},
	"peers/bmp_565__rgb16-565.bmp":                               {grid: "d37979 7bcd7b 7574ce 9595a3 7b6565 6f6b70 6c6a6b 7b7b88 267979 782779 7a7728 6d6d77"},
	"peers/bmp_bf__rgb32bf.bmp":                                  {grid: "d37876 78cd78 7273cd 9493a1 7b6462 6e6b6f 6a6a6b 7a7b87 237876 742476 777525 6d6c75"},
	"peers/bmp_bf__rgba32.bmp":                                   {grid: "d27979 7bcd7b 7574cd 9595a3 7b6161 706064 6c6465 7c7c88 287979 782678 7a7729 6e6e77"},
	"peers/bmp_core__pal8os2.bmp":                                {grid: "d37876 78cd78 7273cd 9493a1 7b6462 6e6b6f 6a6a6b 7a7b87 237876 742476 777525 6d6c75"},
	"peers/bmp_core__test_coreheader.bmp":                        {grid: "feefef fde3e3 fcd5d5 fde1e1 fdd3d3 fbbdbd fab4b4 fef2f2 ffffff ffffff feeeee ffffff"},
	"peers/gif_2811__issue_2811.gif":                             {grid: "29262e 444043 4f494c 524d50 39353a 534e53 655e64 827b7d 403a40 7b747b 9e989d a5a1a8"},
	"peers/gif_ext__issue-209-extension-block-type.gif":          {grid: "ffffff ffffff ffffff ffffff ffffff ffffff ffffff ffffff ffffff ffffff ffffff ffffff"},
	"peers/gif_much__pixel-data-too-much-good-lzw.gif":           {grid: "0000ff 0000ff 0000ff 0000ff 0000ff 0000ff 0000ff 0000ff 0000ff 0000ff 0000ff 0000ff"},
	"peers/gif_oob__oob.gif":                                     {grid: "ffffff ffffff ffffff ffffff ffffff ffffff fbfffc fbfffc ffffff ffffff c2ffc6 76ff7f"},
	"peers/heic_alpha__test.heic":                                {grid: "f2f0ec d5d0be b2a88d b8ae97 f9f9f9 c3bca9 b9b1a2 fdfdfc fefefe c5c0ba d7d4d1 fefefe"},
	"peers/jpeg_cmyk2__jpg-cmyk-2.jpg":                           {grid: "f8fdfd fefffe fefef5 ffffff fefdfe f9f0f9 fefefd ffffff ffffff f0efef ffffff ffffff"},
	"peers/jpeg_com__hippopotamus-bad-comment-length.jpeg":       {grid: "547e88 3b92a1 5d939b 8fa1a4 457e84 185e61 2a6d72 85bcbf adb4b5 7a8e8f 9eabaa e7e9e9"},
	"peers/jpeg_dup__duplicate-component-ids.jpg":                {grid: "1b1515 2d2220 181715 1f1919 322928 2a2121 2d2524 3b302f 110e0d 1c1518 191314 1c1615"},
	"peers/png_crc__issue-430.png":                               {grid: "2c3a3c 253226 292b27 514740 38493a 2a4138 32342d 4d3b3b 3c4133 383934 353535 353535"},
	"peers/png_crc__unknown_compression_method.png":              {grid: "ebe0d4 a29087 a8968c ebe0d4 f4eae1 88736b 816c65 f4ece2 e0c2b2 dbb2a3 c8b7a7 d6c5b4", notes: []string{picture.CodeColours}},
	"peers/png_exif_zTXt__exif_imagemagick_orientation.png":      {grid: "838181 929091 929091 848182 9a9898 a09e9e a09e9f 999798 838081 929091 929090 838181"},
	"peers/png_iend__truncated_end_chunk.png":                    {grid: "373456 6b544d 666376 4d74ba 432839 b16e4d 9d7774 6c8fca 322a2a 463d3f 3c3036 2f2e42", notes: []string{picture.CodeDamaged}},
	"peers/png_xmp__xmp_tags_orientation.png":                    {grid: "e6c792 c3a97d bca47d b99b65 d3b280 debf85 efcb92 dfbb7e c7a476 e7ca9c e8cb9b edcc92"},
	"peers/tiff_fillorder__16bit.r.tif":                          {grid: "010101 010101 010101 010101 010101 010101 010101 010101 010101 010101 010101 010101"},
	"peers/tiff_fillorder__packbits-fillorder-2.tif":             {grid: "ffffff f4f4f4 fafafa ffffff ffffff f5f5f5 fbfbfb ffffff ffffff f6f6f6 fcfcfc ffffff"},
	"peers/tiff_g3_2d__G32DS.tif":                                {grid: "fafafa f7f7f7 eeeeee efefef f7f7f7 e0e0e0 efefef f5f5f5 ededed dddddd dcdcdc dedede"},
	"peers/tiff_g3_2d__group3_2d.tif":                            {grid: "ffffff ffffff 555555 ffffff ffffff ffffff 555555 ffffff ffffff 808080 555555 ffffff"},
	"peers/tiff_g3_padding__fax2d.tif":                           {grid: "f5f5f5 f4f4f4 fcfcfc f8f8f8 f8f8f8 d9d9d9 e4e4e4 f1f1f1 f9f9f9 e1e1e1 ececec f5f5f5"},
	"peers/tiff_pages_out_of_order__multipage_out_of_order.tiff": {grid: "008000 008000 008000 008000 008000 008000 008000 008000 008000 008000 008000 008000", notes: []string{picture.CodeFirstPage}},
	"peers/tiff_sort__emptyexiftag.tif":                          {grid: "ffffff ffffff 555555 ffffff ffffff ffffff 555555 ffffff ffffff 808080 555555 ffffff", notes: []string{picture.CodeFirstPage}},
	"peers/tile__quad-tile.tif":                                  {grid: "25161f 291f2b 271a24 241c21 25182c 381f2e 1f2428 241d22 003e39 00343a 003c34 002c35"},
	"peers/webp_canvas__rotating-squares.webp":                   {grid: "d9f7fe a7daea b8c7d4 e5eaef d2dfe7 adc4d2 b0bfcc d4dce4 e5eaef b8c6d3 b8c6d3 e5eaef", notes: []string{picture.CodeFirstFrame}},

	"hostile/jpeg-sof-hidden-in-reserved-marker.jpg": {problem: picture.CodeTooLarge},
	"hostile/jpeg-text-in-unused-dqt.jpg":            {shows: "hostile/jpeg-text-in-unused-dqt.jpg"},
	"hostile/png-16bit-interlaced-49mp.png":          {problem: picture.CodeTooLarge},
	"hostile/webp-50mp-in-30-bytes.webp":             {problem: picture.CodeTooLarge},
}

// TestCases compares what is shown of every picture in the folder CASEPRESS_CASES, or in shared/cases
// beside the repository, with the picture that it should show. A file that is not expected fails.
func TestCases(t *testing.T) {
	dir := os.Getenv("CASEPRESS_CASES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "cases")
	}
	if _, err := os.Stat(filepath.Join(dir, referencePicture)); err != nil {
		t.Skip("there is no folder of cases: name one in CASEPRESS_CASES")
	}
	read := func(t *testing.T, name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		require.NoError(t, err)
		return b
	}
	for name, want := range expectedOfCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := showCase(t, read(t, name))
			if want.problem != "" {
				p := new(picture.Problem)
				require.ErrorAs(t, err, &p)
				require.Equal(t, want.problem, p.Code)
				return
			}
			require.NoError(t, err)
			require.Equal(t, want.notes, noteCodes(res))
			shown := decode(t, res.Full.Data)
			switch {
			case want.shows != "":
				requireSame(t, want, decode(t, read(t, want.shows)), shown)
			case want.grid != "":
				requireGrid(t, want.grid, shown)
			default:
				require.NotEmpty(t, want.notes)
			}
		})
	}
	t.Run("no other", func(t *testing.T) {
		for _, pattern := range []string{"*", "peers/*", "hostile/*"} {
			files, err := filepath.Glob(filepath.Join(dir, pattern))
			require.NoError(t, err)
			for _, path := range files {
				name, err := filepath.Rel(dir, path)
				require.NoError(t, err)
				name = filepath.ToSlash(name)
				switch filepath.Ext(name) {
				case "", ".md", ".tsv", ".py", ".js", ".raw": // folders, texts, programs and requests
				default:
					require.Contains(t, expectedOfCases, name, "say in expectedOfCases what is right")
				}
			}
		}
	})
	t.Run("text in a table that nobody uses", func(t *testing.T) {
		original := read(t, "hostile/jpeg-text-in-unused-dqt.jpg")
		require.Contains(t, string(original), "ZHANG SAN")
		res, err := showCase(t, original)
		require.NoError(t, err)
		for _, made := range [][]byte{res.Full.Data, res.Thumb.Data} {
			require.NotContains(t, string(made), "ZHANG SAN")
		}
	})
	t.Run("photos in requests", func(t *testing.T) {
		requests, err := filepath.Glob(filepath.Join(dir, "http-*.raw"))
		require.NoError(t, err)
		for _, path := range requests {
			request, err := os.ReadFile(path)
			require.NoError(t, err)
			start, end := bytes.Index(request, []byte("\xff\xd8\xff")), bytes.LastIndex(request, []byte("\xff\xd9"))
			if start < 0 {
				continue // names an image that was put before
			}
			res, err := showCase(t, request[start:end+2])
			require.NoError(t, err)
			requireSame(t, expected{}, decode(t, read(t, referencePicture)), decode(t, res.Full.Data))
		}
	})
}

// average returns the averages of w by h equal parts of a picture: red, green and blue from 0 to 255, row by row.
func average(img image.Image, w, h int) [][3]float64 {
	b := img.Bounds()
	sums, areas := make([][3]float64, w*h), make([]float64, w*h)
	// A pixel that lies across the edge of a part counts in both, by its share.
	shares := func(i, n, parts int) (first int, share []float64) {
		from, to := float64(i)*float64(parts)/float64(n), float64(i+1)*float64(parts)/float64(n)
		first = int(from)
		for p := first; p < parts && float64(p) < to; p++ {
			share = append(share, min(to, float64(p+1))-max(from, float64(p)))
		}
		return first, share
	}
	for y := range b.Dy() {
		top, rows := shares(y, b.Dy(), h)
		for x := range b.Dx() {
			left, columns := shares(x, b.Dx(), w)
			red, green, blue, _ := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
			for j, row := range rows {
				for i, column := range columns {
					part, area := (top+j)*w+left+i, row*column
					areas[part] += area
					for c, v := range [3]uint32{red, green, blue} {
						sums[part][c] += area * float64(v) / 257
					}
				}
			}
		}
	}
	for part := range sums {
		for c := range sums[part] {
			sums[part][c] /= areas[part]
		}
	}
	return sums
}

// requireSame requires that two pictures show the same, whatever their sizes. JPEG, 16-bit BMP and
// conversions of colours leave up to 2.8 of 255 on average; a range widened twice, and Display P3 taken for
// sRGB, change 12 to 14.
func requireSame(t *testing.T, how expected, want, got image.Image) {
	t.Helper()
	const w, h = 64, 48
	a, b := average(want, w, h), average(got, w, h)
	if how.turned {
		a = average(want, h, w)
		require.InDelta(t, float64(want.Bounds().Dy())/float64(want.Bounds().Dx()), float64(got.Bounds().Dx())/float64(got.Bounds().Dy()), 0.01)
	} else {
		require.InDelta(t, float64(want.Bounds().Dx())/float64(want.Bounds().Dy()), float64(got.Bounds().Dx())/float64(got.Bounds().Dy()), 0.01)
	}
	var sum, most float64
	for y := range h {
		for x := range w {
			from := a[y*w+x]
			if how.turned { // what stands at (x, y) came from the right edge
				from = a[x*h+(h-1-y)]
			}
			for c, v := range b[y*w+x] {
				d := math.Abs(v - from[c])
				sum, most = sum+d, max(most, d)
			}
		}
	}
	require.Less(t, sum/(w*h*3), 4.0, "the average difference of a colour")
	require.Less(t, most, 64.0, "the greatest difference of a colour")
}

// requireGrid requires the average colours of 4 by 3 parts.
func requireGrid(t *testing.T, want string, got image.Image) {
	t.Helper()
	var text []string
	for i, part := range average(got, 4, 3) {
		text = append(text, fmt.Sprintf("%02x%02x%02x", int(part[0]+0.5), int(part[1]+0.5), int(part[2]+0.5)))
		var colour [3]uint8
		_, err := fmt.Sscanf(strings.Fields(want)[i], "%02x%02x%02x", &colour[0], &colour[1], &colour[2])
		require.NoError(t, err)
		for c, v := range colour {
			require.InDelta(t, v, part[c], 10, "%v, not %s", text, want)
		}
	}
}
