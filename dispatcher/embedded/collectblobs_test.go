package embedded_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/blob"
	blobdisk "casepress/blob/disk"
	"casepress/disk/disktest"
	"casepress/dispatcher/embedded"
	"casepress/tasks"
)

// A blob that nothing names goes once it is old; originals, pictures and PDFs of a report stay, however old they are.
func TestOldBlobsThatNothingNamesAreCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs, err := blobdisk.Open("/blobs", disktest.NewCrash(1), blobdisk.Options{})
		require.NoError(t, err)
		h, shut := open(t, options{
			Dir: t.TempDir(), Ledger: embedded.Config{Blobs: blobs},
			Work: func(ctx context.Context, w tasks.Work) (tasks.Result, error) { return makePictures(ctx, blobs, w) },
		})
		put := func(content string) blob.Key {
			k, _, err := blobs.Put(t.Context(), strings.NewReader(content))
			require.NoError(t, err)
			return k
		}
		stored := func() (keys []blob.Key) {
			require.NoError(t, blobs.Each(t.Context(), func(some []blob.Info) error {
				for _, b := range some {
					keys = append(keys, b.Key)
				}
				return nil
			}))
			return keys
		}
		original := put("original")
		h.Submit(t, tasks.CaseReport{ID: "CR-1", PatientID: "P001", Images: []tasks.Image{{ImageID: "1", SHA256: string(original), Bytes: 8, MediaType: "image/jpeg"}}})
		made := h.Final(t, "CR-1").Result.(tasks.CaseReportResult)
		named := []blob.Key{original, blob.Key(made.Images[0].Full.SHA256), blob.Key(made.Images[0].Thumb.SHA256), blob.Key(made.PDF.SHA256)}
		unnamed := put("unnamed")

		time.Sleep(23 * time.Hour)
		young := put("young")
		require.ElementsMatch(t, append([]blob.Key{unnamed, young}, named...), stored())
		time.Sleep(3 * time.Hour)
		require.ElementsMatch(t, append([]blob.Key{young}, named...), stored())
		shut(false)
		require.NoError(t, blobs.Close())
	})
}
