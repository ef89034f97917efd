package pdf

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// resources reads the typefaces and pictures that the pages share.
func (d *readBack) resources(page []byte, c *Contents, pictures map[string]bool) error {
	dict, err := d.resolve(page, "/Resources ")
	if err != nil {
		return err
	}
	d.fonts = map[string]map[string]string{}
	fonts := between(dict, "/Font <<", ">>")
	for i := 0; i+1 < len(fonts); i += 4 {
		if d.fonts[fonts[i]], err = d.font(fonts[i+1]); err != nil {
			return fmt.Errorf("typeface %s: %w", fonts[i], err)
		}
	}
	xobjects := between(dict, "/XObject <<", ">>")
	for i := 0; i+1 < len(xobjects); i += 4 {
		n, err := strconv.Atoi(xobjects[i+1])
		if err != nil {
			return errContents
		}
		p, err := d.picture(n)
		if err != nil {
			return fmt.Errorf("picture %s: %w", xobjects[i], err)
		}
		pictures[xobjects[i]] = true
		c.Pictures = append(c.Pictures, p)
	}
	return nil
}

// font returns what each code of a typeface means, for the codes that have a glyph.
func (d *readBack) font(reference string) (map[string]string, error) {
	font, err := d.resolve([]byte("/F "+reference+" "), "/F ")
	if err != nil {
		return nil, err
	}
	n, err := number(font, "/ToUnicode ")
	if err != nil {
		return nil, err
	}
	cmap, err := d.stream(n)
	if err != nil {
		return nil, err
	}
	descendant, err := d.resolve(font, "/DescendantFonts [")
	if err != nil {
		return nil, err
	}
	descriptor, err := d.resolve(descendant, "/FontDescriptor ")
	if err != nil {
		return nil, err
	}
	if n, err = number(descriptor, "/FontFile2 "); err != nil {
		return nil, err
	}
	if _, err := d.stream(n); err != nil {
		return nil, err
	}
	widths := len(between(descendant, "/W [1 [", "]"))
	meaning := map[string]string{}
	fields := strings.Fields(string(cmap))
	for i := 1; i+1 < len(fields); i++ {
		code, isCode := inAngles(fields[i])
		text, isText := inAngles(fields[i+1])
		if !isCode || !isText || fields[i-1] == "begincodespacerange" {
			continue
		}
		meaning[code] = decodeUTF16(text)
		i++
	}
	if widths != len(meaning) {
		return nil, fmt.Errorf("%d widths for %d letters: %w", widths, len(meaning), errContents)
	}
	return meaning, nil
}

func inAngles(s string) (string, bool) {
	if len(s) < 2 || s[0] != '<' || s[len(s)-1] != '>' {
		return "", false
	}
	return s[1 : len(s)-1], true
}

func decodeUTF16(digits string) string {
	b, err := hex.DecodeString(digits)
	if err != nil || len(b)%2 != 0 {
		return ""
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(units))
}

// picture reads a picture's head and checks that its samples have the length that
// the file says.
func (d *readBack) picture(n int) (p Picture, err error) {
	from, to, err := d.span(n)
	if err != nil {
		return p, err
	}
	head, err := d.bytes(from, min(to, from+512))
	if err != nil {
		return p, err
	}
	dict, _, ok := bytes.Cut(head, []byte("stream\n"))
	length, err := d.resolve(dict, "/Length ")
	if err != nil {
		return p, err
	}
	if p.Width, err = number(dict, "/Width "); err != nil {
		return p, err
	}
	if p.Height, err = number(dict, "/Height "); err != nil {
		return p, err
	}
	if p.Bytes, err = strconv.ParseInt(string(length), 10, 64); err != nil || !ok {
		return p, errContents
	}
	p.At = from + int64(len(dict)+len("stream\n"))
	end, err := d.bytes(min(p.At+p.Bytes, to), to)
	if err != nil || string(end) != "\nendstream\nendobj\n" {
		return p, errContents
	}
	return p, nil
}

// page returns the text of a page, and how many pictures it shows.
func (d *readBack) page(dict []byte, pictures map[string]bool) (string, int, error) {
	n, err := number(dict, "/Contents ")
	if err != nil {
		return "", 0, err
	}
	content, err := d.stream(n)
	if err != nil {
		return "", 0, err
	}
	var text strings.Builder
	var font map[string]string
	shown, fields := 0, strings.Fields(string(content))
	for i, f := range fields {
		switch {
		case f == "Do" && i > 0:
			if !pictures[fields[i-1]] {
				return "", 0, fmt.Errorf("picture %s: %w", fields[i-1], errContents)
			}
			shown++
		case f == "Tf" && i > 1:
			font = d.fonts[fields[i-2]]
		case f == "Tj" && i > 0:
			codes, ok := inAngles(fields[i-1])
			if !ok || len(codes)%4 != 0 {
				return "", 0, errContents
			}
			for ; codes != ""; codes = codes[4:] {
				letter, ok := font[codes[:4]]
				if !ok {
					return "", 0, fmt.Errorf("code %s means nothing: %w", codes[:4], errContents)
				}
				text.WriteString(letter)
			}
		}
	}
	return text.String(), shown, nil
}
