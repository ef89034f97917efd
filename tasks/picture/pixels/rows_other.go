//go:build !amd64 || purego

package pixels

func floats(dst []float64, row []byte)                   { floatsGo(dst, row) }
func across(dst []byte, line []float64, f *filter)       { acrossGo(dst, line, f) }
func acrossOpaque(dst []byte, line []float64, f *filter) { acrossOpaqueGo(dst, line, f) }
func down(dst, rows []byte, weights []float64)           { downGo(dst, rows, len(rows)/len(weights), weights) }
func downOpaque(dst, rows []byte, weights []float64, inverse float64) {
	downOpaqueGo(dst, rows, len(rows)/len(weights), weights, inverse)
}
