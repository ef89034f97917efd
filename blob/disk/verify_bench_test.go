package disk_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	"casepress/blob/blobtest"
	"casepress/disk"
)

// BenchmarkVerify reads a 4 MiB blob to see whether it is sound, and asks again within the time.
func BenchmarkVerify(b *testing.B) {
	const size = 4 << 20
	for end, o := range ways(b) {
		for name, within := range map[string]time.Duration{"read": 0, "known": time.Hour} {
			b.Run("file"+end+"/"+name, func(b *testing.B) {
				s := openWith(b, b.TempDir(), disk.OS, o)
				content := blobtest.Random(1, size)
				require.NoError(b, store(s, content))
				b.SetBytes(size)
				b.ReportAllocs()
				for b.Loop() {
					opened, err := blob.OpenVerified(b.Context(), s, blobtest.KeyOf(content), within)
					require.NoError(b, err)
					require.NoError(b, opened.Close())
				}
			})
		}
	}
}
