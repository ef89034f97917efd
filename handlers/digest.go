package handlers

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/dunglas/httpsfv"
)

// The headers with digests of the body (RFC 9530), each a dictionary of structured fields (RFC 9651):
//
//	Content-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, sha-512=:…:
//
// Bodies have no Content-Encoding here, so the two headers mean the same.
var digestHeaders = []string{"Content-Digest", "Repr-Digest"}

// digestedBody is a request body that is hashed while it is read, as far as the client said what it
// hashes to.
type digestedBody struct {
	io.ReadCloser
	claims []expectedDigest
}

// expectedDigest is one digest that the client sent, and the hash of what was read.
type expectedDigest struct {
	header, algorithm string
	sum               []byte
	hash              hash.Hash
}

// digestBody puts itself in the place of the request's body. It returns a fault if a digest is malformed,
// or if a header has digests but none of an algorithm that is verified.
func digestBody(r *http.Request) (*digestedBody, error) {
	d := &digestedBody{ReadCloser: r.Body}
	for _, header := range digestHeaders {
		if _, announced := r.Trailer[header]; announced {
			return nil, invalid(header, textDigestTrailer)
		}
		values := r.Header.Values(header)
		if len(values) == 0 {
			continue
		}
		claims, err := parseDigests(header, values)
		if err != nil {
			return nil, err
		}
		d.claims = append(d.claims, claims...)
	}
	r.Body = d
	return d, nil
}

// upperCase finds the algorithms' names as some clients write them. Structured fields want lower case;
// base64 has no "-", so nothing else can match.
var upperCase = regexp.MustCompile(`(?i)sha-(256|512)`)

func parseDigests(header string, values []string) ([]expectedDigest, error) {
	lower := make([]string, len(values))
	for i, value := range values {
		lower[i] = upperCase.ReplaceAllStringFunc(value, strings.ToLower)
	}
	digests, err := httpsfv.UnmarshalDictionary(lower)
	if err != nil {
		return nil, invalid(header, textBadDigest)
	}
	var claims []expectedDigest
	for algorithm, newHash := range map[string]func() hash.Hash{"sha-256": sha256.New, "sha-512": sha512.New} {
		member, there := digests.Get(algorithm)
		if !there {
			continue
		}
		item, _ := member.(httpsfv.Item)
		sum, ok := item.Value.([]byte)
		claim := expectedDigest{header, algorithm, sum, newHash()}
		if !ok || len(sum) != claim.hash.Size() {
			return nil, invalid(header, textBadDigest)
		}
		claims = append(claims, claim)
	}
	if len(claims) == 0 {
		return nil, invalid(header, textNoDigest)
	}
	return claims, nil
}

func (d *digestedBody) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	for _, claim := range d.claims {
		_, _ = claim.hash.Write(p[:n]) // a hash never fails
	}
	return n, err
}

// verify returns a fault unless the body, which was read to its end, is what the client meant to send.
func (d *digestedBody) verify() error {
	for _, claim := range d.claims {
		if sum := claim.hash.Sum(nil); !bytes.Equal(sum, claim.sum) {
			return refuse(codeDigestMismatch, strings.ToUpper(claim.algorithm), hex.EncodeToString(sum), claim.header, hex.EncodeToString(claim.sum))
		}
	}
	return nil
}
