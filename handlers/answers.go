package handlers

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"

	"github.com/gin-gonic/gin"
)

const (
	// longAnswer is from how many bytes on an answer counts while it is sent: whoever reads slowly keeps it in memory.
	longAnswer = 16 << 10
	// maxAnswers bounds the bytes of long answers that are being sent, maxAnswersFrom those to one client, to which one is
	// sent however long it is. Cases above [pageBytes] have room of their own: see [casePlaces].
	maxAnswers     = 64 << 20
	maxAnswersFrom = maxAnswers / 16
	// moreAnswers is room beyond maxAnswers for clients to which nothing long is being sent, one answer of at most reservedAnswer
	// bytes each: else a few clients that are slow would keep all others from theirs.
	moreAnswers    = maxAnswers / 4
	reservedAnswer = 256 << 10
)

// clientBytes are bytes in memory, in all and by client.
type clientBytes struct {
	mu   sync.Mutex // guards the rest
	all  int64
	from map[netip.Prefix]int64
}

// add counts n bytes more of a client, or fewer, and returns what there is then.
func (m *clientBytes) add(from netip.Prefix, n int64) (all, own int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.from == nil {
		m.from = map[netip.Prefix]int64{}
	}
	m.all += n
	if own = m.from[from] + n; own == 0 {
		delete(m.from, from)
	} else {
		m.from[from] = own
	}
	return m.all, own
}

// keep counts n bytes of a client until release is called.
func (m *clientBytes) keep(from netip.Prefix, n int) (release func()) {
	m.add(from, int64(n))
	return func() { m.add(from, -int64(n)) }
}

// holdAnswer counts an answer of so many bytes until release is called, or returns a fault if too many bytes are being sent.
func (a *API) holdAnswer(c *gin.Context, bytes int) (release func(), err error) {
	if bytes <= longAnswer {
		return func() {}, nil
	}
	from, n := a.clientOf(c), int64(bytes)
	all, own := a.answers.add(from, n)
	release = func() { a.answers.add(from, -n) }
	room := int64(maxAnswers)
	if own == n && n <= reservedAnswer {
		room += moreAnswers
	}
	if all > room || own > n && own > maxAnswersFrom && a.cfg.MaxUploadsPerAddress >= 0 {
		release()
		return nil, &fault{code: codeOverloaded, cause: fmt.Errorf("%d bytes of answers are being sent, %d of them to this client", all-n, own-n)}
	}
	return release, nil
}

// answer answers 200 with what was asked for, unless too many long answers are being sent.
func (a *API) answer(c *gin.Context, mediaType string, body []byte) {
	release, err := a.holdAnswer(c, len(body))
	if err != nil {
		a.fail(c, err)
		return
	}
	defer release()
	writeBytes(c, http.StatusOK, mediaType, body)
}
