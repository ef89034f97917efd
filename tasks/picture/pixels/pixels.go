// Package pixels implements pictures of four samples a pixel (red, green, blue and
// transparency, not multiplied by it) that are scaled down. What is photographed
// is scaled as planes instead, by package planar, at a fraction of the cost; here is what has
// transparency or sharp edges.
//
// It promises the same bytes on every machine that has the same math.Sin, with vectors and
// without, and that nothing works beside the goroutine that calls. It never reads or writes a
// file format.
package pixels

// Size is how many bytes a pixel has.
const Size = 4
