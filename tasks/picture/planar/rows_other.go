//go:build !amd64 || purego

package planar

func (r *resizer) rows(dst, src *Plane, y int) int { return r.rowsGo(dst, src, y) }
