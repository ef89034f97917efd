package jpeg

import (
	"math"

	"casepress/tasks/picture/container"
)

// ready says whether the next MCU's data are there: they are not if a damaged stretch
// is being left out or the data have ended.
func (d *decoder) ready() bool {
	s := &d.scan
	if s.left == 0 && !s.over {
		d.restart()
	}
	s.left--
	switch {
	case s.over:
	case s.lost > 0:
		s.lost--
	default:
		d.bits.ensure()
		return true
	}
	d.damage.missing++
	return false
}

// acceptMCU looks back at an MCU: had it data, and can they be believed? With restart
// markers the rest of a damaged interval is left out. Without, reading goes on: the
// codes fall into step again after a while, which is better than a hole; but not than a
// picture with less detail, so a scan that only adds detail ends there.
func (d *decoder) acceptMCU() bool {
	r, s := &d.bits, &d.scan
	switch {
	case r.overrun():
		s.over = d.every == 0
		d.damage.ended = d.damage.ended || s.over
	case !r.bad:
		d.damage.salvaged = true
		return true
	}
	r.bad = false
	d.damage.places++
	if !s.over && d.every == 0 {
		if s.first() {
			return true
		}
		s.over = true
	}
	s.lost = s.left
	d.damage.missing++
	return false
}

// restart steps over the next restart marker and starts anew behind it. If that is not
// the one expected, the intervals between are lost, or it is a stray one.
func (d *decoder) restart() {
	const farthest = 4 // of eight numbers; one farther ahead is taken for one from behind
	r, s := &d.bits, &d.scan
	d.trailing = r.unread() || d.trailing
	segments, _ := container.JPEG(container.NewMemoryReader(d.ctx, r.data, math.MaxInt64))
	for {
		segments.At = int64(r.at)
		marker, start, ok := segments.Find()
		after := int(start) + 2
		if !ok || !container.IsRestart(marker) && marker >= container.MarkerSOF0 {
			s.over = true
			d.damage.ended = true
			return
		}
		ahead := (marker - s.number) & 7
		r.at = after
		if marker < container.MarkerSOF0 || ahead > farthest {
			r.stray++
			continue
		}
		s.lost, s.left = int(ahead)*d.every, int(ahead+1)*d.every
		s.number = (s.number + ahead + 1) & 7
		break
	}
	if s.lost > 0 {
		d.damage.places++
	}
	r.start(r.data, r.at)
	s.run = 0
	for i := range s.members {
		s.members[i].pred = 0
	}
}

// closeScan closes the account of a scan. first says that it was the first of its
// components, so that what is missing of it is missing of the picture.
func (d *decoder) closeScan(first bool) {
	d.damage.places += d.bits.stray
	d.bits.stray = 0
	if first {
		d.damage.all += int64(d.scan.across) * int64(d.scan.down)
	}
}
