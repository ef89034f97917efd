package tasks

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// writtenRecord is a record as Encode writes it.
func writtenRecord(t require.TestingT) []byte {
	s := NewSubmission(caseReportKind, CaseReport{ID: "r1", PatientID: "P1", Images: []Image{{ImageID: "i", SHA256: "aa", Bytes: 1, MediaType: "image/png"}}})
	s.ReceivedAt, s.ImagesEnd = time.Date(2026, 11, 26, 20, 3, 11, 1000, time.UTC), 7
	record, err := s.Encode()
	require.NoError(t, err)
	return record
}

func TestDecodeAsWritten(t *testing.T) {
	written := writtenRecord(t)
	s, ok := decodeAsWritten(written)
	require.True(t, ok)
	again, err := s.Encode()
	require.NoError(t, err)
	require.Equal(t, written, again)
}

// There are two ways to read a record; they must not disagree.
func FuzzDecodeAsWritten(f *testing.F) {
	f.Add(writtenRecord(f))
	for _, record := range []string{
		`{"v":1,"kind":"retry","receivedAt":"2026-11-26T20:03:11Z","retry":{"id":"r1","attempt":3}}`,
		`{"v":1,"kind":"retry","receivedAt":"2026-11-26T20:03:11Z","retry":{"id":"r1","attempt":3},"retry":{"id":"r2","attempt":4}}`,
		`{"v":1,"kind":"retry","receivedAt":"2026-11-26T20:03:11Z","retry":{"id":"r1","attempt":3},"KIND":"case-report"}`,
		`{"v":1,"KIND":"retry","receivedAt":"2026-11-26T20:03:11Z","retry":{"id":"r1","attempt":3}}`,
		`{"v":1,"kind":"retry","receivedAt":"2026-11-26T21:03:11.100+01:00","retry":{"id":"r1","attempt":3}}`,
		`{"v":1,"kind":"retry","receivedAt":"2026-11-26T20:03:11Z","more":{"a":1,"retry":{}},"retry":{"id":"r1","attempt":3}}`,
		`{"v":1,"kind":"retry","receivedAt":"2026-11-26T20:03:11Z","retry":null}`,
		`{"v":1,"kind":"retry","receivedAt":"2026-11-26T20:03:11Z","retry":{"id":"r1","attempt":3}} `,
		`{"kind":"retry","v":1,"receivedAt":"2026-11-26T20:03:11Z","retry":{"id":"r1","attempt":3}}`,
		`{"v":2,"kind":"retry","receivedAt":"2026-11-26T20:03:11Z","retry":{"id":"r1","attempt":3}}`,
	} {
		f.Add([]byte(record))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		quick, ok := decodeAsWritten(record)
		if !ok {
			return
		}
		slow, err := decodeMembers(record)
		require.NoError(t, err)
		require.Equal(t, slow, quick)
	})
}
