//go:build !amd64 || purego

package planar

func vertical(line []int16, src []byte, stride int, weights []int16, width int) {
	verticalGo(line, src, stride, weights, width)
}

func horizontal(dst []byte, line []int16, g *groups) { horizontalGo(dst, line, g) }
