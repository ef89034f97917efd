package broker

// offsetHeap is a binary heap of offsets that tells each offset where it lies, so that any of them can be
// taken out without a search. less orders two offsets; moved is told every new place, -1 when taken out.
type offsetHeap struct {
	offsets []uint64
	less    func(a, b uint64) bool
	moved   func(offset uint64, pos int)
}

func (h *offsetHeap) len() int { return len(h.offsets) }

func (h *offsetHeap) push(offset uint64) {
	h.offsets = append(h.offsets, offset)
	h.moved(offset, len(h.offsets)-1)
	h.up(len(h.offsets) - 1)
}

func (h *offsetHeap) pop() uint64 {
	top := h.offsets[0]
	h.remove(0)
	return top
}

func (h *offsetHeap) remove(i int) {
	last := len(h.offsets) - 1
	gone := h.offsets[i]
	h.swap(i, last)
	h.offsets = h.offsets[:last]
	h.moved(gone, -1)
	if i < last && !h.down(i) {
		h.up(i)
	}
}

func (h *offsetHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(h.offsets[i], h.offsets[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *offsetHeap) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(h.offsets) {
			return moved
		}
		if right := child + 1; right < len(h.offsets) && h.less(h.offsets[right], h.offsets[child]) {
			child = right
		}
		if !h.less(h.offsets[child], h.offsets[i]) {
			return moved
		}
		h.swap(i, child)
		i, moved = child, true
	}
}

func (h *offsetHeap) swap(i, j int) {
	if i == j {
		return
	}
	a, b := h.offsets[i], h.offsets[j]
	h.offsets[i], h.offsets[j] = b, a
	h.moved(b, i)
	h.moved(a, j)
}
