package pdf

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// pictureFile is a JPEG or PNG being read: its header was read, its samples were not.
type pictureFile struct {
	width, height, colours int
	// filter is how a PDF reader unpacks the samples.
	filter string
	// copySamples writes the samples as they stand in the file.
	copySamples func(io.Writer) error
}

// maxHead is how far into a JPEG its size may stand, in bytes.
const maxHead = 1 << 20

// parsePictureFile reads the header of a JPEG or PNG, which it tells apart by the first bytes.
func parsePictureFile(b *bufio.Reader) (pictureFile, error) {
	magic, err := b.Peek(8)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return pictureFile{}, err
	case bytes.HasPrefix(magic, []byte("\xff\xd8")):
		return parseJPEG(b)
	case string(magic) == pngMagic:
		return parsePNG(b)
	}
	return pictureFile{}, errors.New("neither a JPEG nor a PNG")
}

// parseJPEG walks the segments up to the one that tells the size:
//
//	ff d8 | per segment: ff marker(1) length(2) … | ff c0: length(2) precision(1) height(2) width(2) components(1)
func parseJPEG(b *bufio.Reader) (pictureFile, error) {
	var head bytes.Buffer
	r := io.TeeReader(io.LimitReader(b, maxHead), &head)
	var m [4]byte
	if _, err := io.ReadFull(r, m[:2]); err != nil {
		return pictureFile{}, err
	}
	for {
		if _, err := io.ReadFull(r, m[:]); err != nil {
			return pictureFile{}, fmt.Errorf("JPEG without a size: %w", err)
		}
		marker, length := m[1], int64(binary.BigEndian.Uint16(m[2:]))
		if m[0] != 0xff || length < 2 {
			return pictureFile{}, errors.New("JPEG with broken segments")
		}
		if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc {
			return jpegFile(marker, r, b, &head)
		}
		if _, err := io.CopyN(io.Discard, r, length-2); err != nil {
			return pictureFile{}, fmt.Errorf("JPEG without a size: %w", err)
		}
	}
}

func jpegFile(marker byte, r io.Reader, rest *bufio.Reader, head *bytes.Buffer) (pictureFile, error) {
	var f [6]byte
	if _, err := io.ReadFull(r, f[:]); err != nil {
		return pictureFile{}, fmt.Errorf("JPEG without a size: %w", err)
	}
	s := pictureFile{
		height: int(binary.BigEndian.Uint16(f[1:])), width: int(binary.BigEndian.Uint16(f[3:])), colours: int(f[5]),
		filter: "/Filter /DCTDecode",
		copySamples: func(w io.Writer) error {
			if _, err := w.Write(head.Bytes()); err != nil {
				return err
			}
			return drain(w, rest)
		},
	}
	switch {
	case marker > 0xc2:
		return s, fmt.Errorf("JPEG of a kind (%#x) that PDF readers cannot show", marker)
	case f[0] != 8:
		return s, fmt.Errorf("JPEG with %d bits a sample", f[0])
	case s.colours != 1 && s.colours != 3:
		return s, fmt.Errorf("JPEG with %d components, which an archived PDF in sRGB cannot show", s.colours)
	}
	return s, nil
}

// drain writes the rest of b. It uses the buffer of b, where io.Copy would make another.
func drain(w io.Writer, b *bufio.Reader) error {
	for {
		if _, err := b.Peek(1); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		ready, _ := b.Peek(b.Buffered()) // it is there
		if _, err := w.Write(ready); err != nil {
			return err
		}
		_, _ = b.Discard(len(ready)) // so is this
	}
}

const pngMagic = "\x89PNG\r\n\x1a\n"

// parsePNG reads the header chunk. The data chunks of a PNG, put together, are what
// a PDF reader unpacks:
//
//	magic(8) | per chunk: length(4) name(4) data checksum(4)
//	IHDR: width(4) height(4) depth(1) colours(1) 0(1) 0(1) interlaced(1)
func parsePNG(b *bufio.Reader) (pictureFile, error) {
	var h [len(pngMagic) + 8 + 13 + 4]byte
	if _, err := io.ReadFull(b, h[:]); err != nil {
		return pictureFile{}, fmt.Errorf("PNG without a header: %w", err)
	}
	d := h[16:29]
	s := pictureFile{width: int(binary.BigEndian.Uint32(d)), height: int(binary.BigEndian.Uint32(d[4:])), colours: 1}
	if d[9] == 2 {
		s.colours = 3
	}
	switch {
	case string(h[8:16]) != "\x00\x00\x00\rIHDR" || crc32.ChecksumIEEE(h[12:29]) != binary.BigEndian.Uint32(h[29:]):
		return s, errors.New("PNG with a broken header")
	case d[8] != 8 || d[9] != 0 && d[9] != 2 || d[12] != 0:
		return s, fmt.Errorf("PNG with %d bits a sample, colour type %d, interlacing %d; 8, 0 or 2, and 0 can be embedded", d[8], d[9], d[12])
	}
	s.filter = fmt.Sprintf("/Filter /FlateDecode /DecodeParms <</Predictor 15 /Colors %d /BitsPerComponent 8 /Columns %d>>", s.colours, s.width)
	s.copySamples = func(w io.Writer) error { return copyChunks(w, b) }
	return s, nil
}

// copyChunks writes the contents of the data chunks, and checks the checksums of all chunks.
func copyChunks(w io.Writer, r io.Reader) error {
	var h [8]byte
	for {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return fmt.Errorf("PNG cut off: %w", err)
		}
		sum := crc32.NewIEEE()
		sum.Write(h[4:])
		to := io.Writer(sum)
		switch string(h[4:]) {
		case "IDAT":
			to = io.MultiWriter(sum, w)
		case "tRNS":
			return errors.New("PNG with transparency")
		}
		if _, err := io.CopyN(to, r, int64(binary.BigEndian.Uint32(h[:]))); err != nil {
			return fmt.Errorf("PNG cut off: %w", err)
		}
		var want [4]byte
		if _, err := io.ReadFull(r, want[:]); err != nil {
			return fmt.Errorf("PNG cut off: %w", err)
		}
		if sum.Sum32() != binary.BigEndian.Uint32(want[:]) {
			return fmt.Errorf("PNG chunk %q is broken", h[4:])
		}
		if string(h[4:]) == "IEND" {
			return nil
		}
	}
}
