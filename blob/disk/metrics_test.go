package disk_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"casepress/blob/blobtest"
	blobdisk "casepress/blob/disk"
	"casepress/disk"
)

func TestMetrics(t *testing.T) {
	registry, dir := prometheus.NewRegistry(), t.TempDir()
	o := blobdisk.Options{Registerer: registry}
	s := openWith(t, dir, disk.OS, o)
	_, err := blobdisk.Open(dir, disk.OS, o)
	require.ErrorContains(t, err, "metrics", "two stores, one registry")

	for range 3 {
		require.NoError(t, put(s, blobtest.Random(1, 1000)))
	}
	require.Equal(t, map[string]float64{
		"casepress_blob_written_bytes_total": 3000, "casepress_blob_stored_total": 1, "casepress_blob_deduplicated_total": 2,
		"casepress_blob_corrupt_total": 0, "casepress_blob_corrupt": 0, "casepress_blob_mended_total": 0, "casepress_blob_fsync_seconds": 2,
		"casepress_blob_scrubbed_bytes_total": 0, "casepress_blob_collected_total": 0, "casepress_blob_staging_bytes": 0,
	}, gather(t, registry))
	families, err := registry.Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)

	require.NoError(t, s.Close())
	require.Empty(t, gather(t, registry))
	require.NoError(t, openWith(t, dir, disk.OS, o).Close())
}

// gather sums each metric, a histogram by its number of observations.
func gather(t testing.TB, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	sums := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			sums[family.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sums
}
