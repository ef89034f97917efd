// Package files has what the clients in Go hand in, and how they say what was answered with a 2xx.
package files

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// URL is the address of the server, and Notes a text that is easily lost on its way.
var (
	URL   = os.Getenv("CASEPRESS_URL")
	Notes = "rash; 12\" on the left arm & hand = 皮疹 😀"
)

// Photos and Drawings are paths of two files each.
var (
	Photos   = []string{source("examples/photo-1.jpg"), source("examples/photo-2.jpg")}
	Drawings = []string{source("docs/images/page.png"), source("docs/images/pdf.png")}
)

func source(name string) string { return filepath.Join(os.Getenv("CASEPRESS_SOURCE"), name) }

// Must ends the program if there is an error.
func Must[T any](v T, err error) T {
	Check(err == nil, "%v", err)
	return v
}

// Check ends the program unless ok.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf(format, args...))
	}
}

// Read returns the bytes of a file.
func Read(path string) []byte { return Must(os.ReadFile(path)) }

// Digest returns the SHA-256 in hex.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// StoredReport and StoredImage write the lines that after.mjs reads when the server was killed.
func StoredReport(id, receipt string, digests []string) {
	fmt.Println("stored report", id, receipt, strings.Join(digests, ","))
}

// StoredImage is the line of an image.
func StoredImage(patient, id, digest string) { fmt.Println("stored image", patient, id, digest) }

// CheckPDF ends the program unless these are the bytes of the document.
func CheckPDF(pdf []byte, bytes int64, digest string) {
	Check(int64(len(pdf)) == bytes && Digest(pdf) == digest && strings.HasPrefix(string(pdf), "%PDF-"), "another PDF: %d bytes, not %d", len(pdf), bytes)
}
