package handlers

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"strings"

	"casepress/blob"
)

// contentDigest is what a client says its bytes hash to (RFC 9530). Empty fields
// were not said.
type contentDigest struct {
	sha256, sha512 []byte
	hash512        hash.Hash // of what was read, if sha512 is said
}

// parseContentDigest reads the header Content-Digest: a dictionary like
//
//	sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, sha-512=:…:
//
// Digests of other algorithms are passed over, as the RFC allows.
func parseContentDigest(headers []string) (contentDigest, error) {
	var d contentDigest
	for member := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		member = strings.TrimSpace(member)
		if member == "" {
			continue
		}
		name, value, _ := strings.Cut(member, "=")
		value, _, _ = strings.Cut(value, ";") // parameters mean nothing here
		var to *[]byte
		var size int
		switch name {
		case "sha-256":
			to, size = &d.sha256, 32
		case "sha-512":
			to, size = &d.sha512, 64
			d.hash512 = sha512.New()
		default:
			continue
		}
		sum, ok := byteSequence(strings.TrimSpace(value))
		if !ok || len(sum) != size {
			return contentDigest{}, invalid("Content-Digest", textBadDigest)
		}
		*to = sum
	}
	return d, nil
}

// byteSequence reads :BASE64:.
func byteSequence(s string) ([]byte, bool) {
	if len(s) < 2 || s[0] != ':' || s[len(s)-1] != ':' {
		return nil, false
	}
	b, err := base64.StdEncoding.DecodeString(s[1 : len(s)-1])
	return b, err == nil
}

// reading returns r, hashed on the way as far as the blob store does not do it.
func (d contentDigest) reading(r io.Reader) io.Reader {
	if d.hash512 == nil {
		return r
	}
	return io.TeeReader(r, d.hash512)
}

// verify returns a fault unless what was read is what the client meant to send.
func (d contentDigest) verify(key blob.Key) error {
	if said := hex.EncodeToString(d.sha256); d.sha256 != nil && said != string(key) {
		return refuse(codeDigestMismatch, "SHA-256", string(key), said)
	}
	if d.sha512 != nil {
		if sum := d.hash512.Sum(nil); !bytes.Equal(sum, d.sha512) {
			return refuse(codeDigestMismatch, "SHA-512", hex.EncodeToString(sum), hex.EncodeToString(d.sha512))
		}
	}
	return nil
}
