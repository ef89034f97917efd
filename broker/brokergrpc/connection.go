package brokergrpc

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"casepress/broker"
)

// connection counts what one connection of a client takes. The server's connections are found by the address that gRPC
// tells as the peer's (see countedConn); calls that come another way, as in a server of somebody else, share one.
type connection struct {
	maxSubscriptions int
	maxUnread        int
	written          bool // somebody tells when an answer is written: see countingCodec

	mu            sync.Mutex // guards all below, and every reader's unread
	subscriptions int
	shared        int // bytes of answers that are made and not yet written, beyond what readers have for themselves
	waiting       []*roomWait
	wantAll       int // of waiting, how many wait until nothing is unread: meanwhile others take no more than their own
}

// reader is a subscription or a call that gets answers over a connection. The first own bytes of its answers that are not
// yet written count for nobody else, so that it goes on however little others read.
type reader struct {
	*connection
	own      int
	overhead int // of a delivery
	average  int // bytes of a message, of late
	unread   int // bytes of answers that are made and not yet written

	alive     func() bool       // the client is there, as far as is known; nil: nobody asks what was written
	unwritten []broker.Delivery // of those answers, without payloads; guarded by connection.mu
	answers   uint64            // how many were sent: the number of the last one

	releasedDead uint64 // the last answer that was released when the client was gone; guarded by connection.mu
}

// ownBytes is what a subscription has for itself: enough for a response of togetherBytes.
const ownBytes = 72 << 10

// roomWait is a reader that waits until n more bytes may be unread. granted is closed when they are counted.
type roomWait struct {
	reader  *reader
	n       int
	all     bool // of wantAll
	granted chan struct{}
}

// enter counts a subscription until leave.
func (c *connection) enter() (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscriptions >= c.maxSubscriptions {
		return nil, status.Errorf(codes.FailedPrecondition,
			"there are %d subscriptions on this connection already, the most there may be: open another", c.maxSubscriptions)
	}
	c.subscriptions++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.subscriptions--
	}, nil
}

// excess is what n bytes more, or fewer, change in what the reader takes of the connection's room. The caller holds mu.
func (r *reader) excess(n int) int { return max(r.unread+n-r.own, 0) - max(r.unread-r.own, 0) }

// fits says whether n more bytes may be unread. What is larger than the limit may be alone. The caller holds mu.
func (r *reader) fits(n int) bool {
	return r.excess(n) == 0 || r.wantAll == 0 && r.fitsShared(n)
}

// fitsShared is fits for one who goes before those that take more than their own. The caller holds mu.
func (r *reader) fitsShared(n int) bool {
	return r.shared == 0 || r.shared+r.excess(n) <= r.maxUnread
}

// add counts n more bytes as unread, or fewer. The caller holds mu.
func (r *reader) add(n int) {
	r.shared += r.excess(n)
	r.unread += n
}

// trifle is what a reader that was idle may take though others have taken all room meanwhile: to give it back and to read it
// again would cost more.
const trifle = 8 << 10

// reserveSome counts as many of the deliveries as fit, from the first on, as unread, and returns how many. held bytes are
// counted for them already.
func (r *reader) reserveSome(ds []broker.Delivery, held int) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(-held) // nobody who waits is let in between
	for n < len(ds) {
		bytes := r.bytes(ds[n : n+1])
		if !r.fits(bytes) && (n > 0 || bytes > max(held, trifle)) {
			break
		}
		r.add(bytes)
		n++
	}
	r.wake()
	return n
}

// reserve waits until n more bytes fit and counts them as unread. The error is ctx's.
func (r *reader) reserve(ctx context.Context, n int) error {
	return r.awaitRoom(ctx, &roomWait{reader: r, n: n, granted: make(chan struct{})})
}

func (r *reader) awaitRoom(ctx context.Context, w *roomWait) error {
	r.mu.Lock()
	if w.fits() {
		r.add(w.n)
		r.mu.Unlock()
		return nil
	}
	r.waiting = append(r.waiting, w)
	if w.all {
		r.wantAll++
	}
	r.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-w.granted: // in the same moment
		r.add(-w.n)
	default:
		r.waiting = slices.DeleteFunc(r.waiting, func(o *roomWait) bool { return o == w })
		w.leave()
	}
	r.wake()
	return ctx.Err()
}

// fits says whether the wait is over. The caller holds mu.
func (w *roomWait) fits() bool {
	if w.all {
		return w.reader.fitsShared(w.n)
	}
	return w.reader.fits(w.n)
}

// leave says that it waits no longer. The caller holds mu.
func (w *roomWait) leave() {
	if w.all {
		w.reader.wantAll--
	}
}

// reserveWait is how long an answer that may be large waits until those before it are read.
const reserveWait = 5 * time.Second

// reserveAll waits until nothing is unread and counts an answer of the most bytes. Where others always have something
// unread, however quickly the client reads, their turn would never end: so meanwhile they have only what is their own.
func (r *reader) reserveAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reserveWait)
	defer cancel()
	if r.awaitRoom(ctx, &roomWait{reader: r, n: r.maxUnread, all: true, granted: make(chan struct{})}) != nil {
		return status.Error(codes.FailedPrecondition, "earlier answers on this connection are not read: read them or open another")
	}
	return nil
}

// release says that n bytes are no longer unread.
func (r *reader) release(n int) { r.releaseAnswer(n, 0, 0) }

// releaseAnswer is release for the answer with this number, which has so many deliveries. While the client is there it was written;
// answers are written in the order they were sent. When the client is gone, it was written or dropped.
func (r *reader) releaseAnswer(bytes int, number uint64, deliveries int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(-bytes)
	r.wake()
	if r.alive == nil {
		return
	}
	if !r.alive() {
		r.releasedDead = number
		return
	}
	n := copy(r.unwritten, r.unwritten[min(deliveries, len(r.unwritten)):]) // few are left, as a rule none
	r.unwritten = r.unwritten[:n]
}

// sent is called when the answer with this number, the last one with so many deliveries, was handed to gRPC without an error. gRPC
// may have written it before and let go of it only now, when the client, which perhaps died of it, was gone: so it counts.
func (r *reader) sent(number uint64, deliveries int) {
	if r.alive == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.releasedDead == number {
		r.unwritten = r.unwritten[:len(r.unwritten)-deliveries]
	}
}

// noteSent remembers deliveries that are about to be sent.
func (r *reader) noteSent(ds []broker.Delivery) {
	if r.alive == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range ds {
		d.Message = broker.Message{Offset: d.Offset}
		r.unwritten = append(r.unwritten, d)
	}
}

// neverWritten returns the deliveries that the client cannot have got.
func (r *reader) neverWritten() []broker.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.unwritten)
}

// wake lets those go on who now fit, in the order they came. One who needs more does not hold up the others, who would
// otherwise wait for a client that perhaps never reads. The caller holds mu.
func (c *connection) wake() {
	c.waiting = slices.DeleteFunc(c.waiting, func(w *roomWait) bool {
		if !w.fits() {
			return false
		}
		w.reader.add(w.n)
		w.leave()
		close(w.granted)
		return true
	})
}

// connectionOf returns the connection of a call.
func (s *Service) connectionOf(ctx context.Context) *connection {
	if p, ok := peer.FromContext(ctx); ok {
		if a, ok := p.Addr.(connectionAddr); ok {
			return a.connection
		}
	}
	return s.elsewhere
}

func (s *Service) newConnection(written bool) *connection {
	return &connection{maxSubscriptions: s.opts.MaxSubscriptions, maxUnread: s.opts.MaxUnreadBytes, written: written}
}

// What a delivery takes beside its message: names and ack ID, and in a response of its own the least buffer of one.
const (
	aloneOverhead    = 1280
	togetherOverhead = 320
)

// bytes is what an answer with these deliveries takes until it is written, about.
func (r *reader) bytes(ds []broker.Delivery) (n int) {
	for i := range ds {
		n += r.overhead + ds[i].Size()
	}
	return n
}

// leastRoom is what a reader waits for before it asks for more deliveries, so that they do not come one by one.
const leastRoom = ownBytes / 2

// reserveUpTo counts up to most bytes as unread, as many as fit, and returns how many: none if fewer fit than leastRoom.
func (r *reader) reserveUpTo(most int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := max(r.own-r.unread, 0)
	if r.wantAll == 0 {
		n += max(r.maxUnread-r.shared, 0)
	}
	if n = min(n, most); n < leastRoom {
		return 0
	}
	r.add(n)
	return n
}

// within limits o to what fits into room bytes if messages are as large as before: what does not fit would have to be given
// back and read again.
func (r *reader) within(room int, o broker.ReceiveOptions) broker.ReceiveOptions {
	o.Max = min(o.Max, max(room/(r.overhead+r.average), 1))
	o.MaxBytes = min(o.MaxBytes, max(room-o.Max*r.overhead, 1)) // the first always comes
	return o
}

// note learns how large messages are.
func (r *reader) note(ds []broker.Delivery) {
	now := r.bytes(ds)/len(ds) - r.overhead
	r.average = max(now, (3*r.average+now)/4)
}

// receive takes deliveries that fit beside what is unread, and counts their bytes as unread. While not even one fits it
// holds none: they are for others.
func (r *reader) receive(ctx context.Context, sub *broker.Subscription, o broker.ReceiveOptions) ([]broker.Delivery, error) {
	need := leastRoom
	for {
		held := 0 // bytes that are counted for what comes next
		if need == leastRoom {
			held = r.reserveUpTo(o.Max*r.overhead + o.MaxBytes)
		}
		if held == 0 {
			if err := r.reserve(ctx, need); err != nil {
				return nil, err
			}
			held = need
		}
		ds, refused, err := r.take(ctx, sub, r.within(held, o), held)
		if err != nil || len(ds) > 0 {
			return ds, err
		}
		if refused == 0 { // there was nothing
			if ds, refused, err = r.await(ctx, sub, o); err != nil || len(ds) > 0 {
				return ds, err
			}
		}
		need = refused
	}
}

// await is receive for a subscription that is idle, which keeps no room from others meanwhile.
func (r *reader) await(ctx context.Context, sub *broker.Subscription, o broker.ReceiveOptions) (ds []broker.Delivery, refused int, err error) {
	first := o
	first.Max = 1 // the others when there is room for them
	if ds, err = sub.ReceiveWith(ctx, first); err != nil {
		return nil, 0, err
	}
	if r.reserveSome(ds, 0) == 0 {
		sub.GiveBack(ds)
		return nil, r.bytes(ds), nil
	}
	r.note(ds)
	held := r.reserveUpTo((o.Max-1)*r.overhead + o.MaxBytes)
	if o.Max == 1 || held == 0 {
		r.release(held)
		return ds, 0, nil
	}
	o.Max--
	more, _, err := r.take(ctx, sub, r.within(held, o), held)
	if err != nil { // the next call finds it, too
		return ds, 0, nil //nolint:nilerror // as said
	}
	return append(ds, more...), 0, nil
}

// take is receive of what is there now. held bytes are counted for it; those that it does not need are released. refused is
// what the first delivery takes if not even that fits.
func (r *reader) take(ctx context.Context, sub *broker.Subscription, o broker.ReceiveOptions, held int) (ds []broker.Delivery, refused int, err error) {
	o.NoWait = true
	ds, err = sub.ReceiveWith(ctx, o)
	if err != nil || len(ds) == 0 {
		r.release(held)
		return nil, 0, err
	}
	r.note(ds)
	n := r.reserveSome(ds, held)
	if n < len(ds) {
		sub.GiveBack(ds[n:])
	}
	if n == 0 {
		refused = r.bytes(ds[:1])
	}
	return ds[:n], refused, nil
}

// connectionAddr is the address of a client, by which calls find their connection.
type connectionAddr struct {
	net.Addr
	connection *connection
}

// countedListener refuses connections beyond the most there may be: it closes them at once.
type countedListener struct {
	net.Listener
	service *Service

	mu     sync.Mutex // guards all below
	open   int
	warned time.Time
}

// Accept returns the next connection that is not one too many.
func (l *countedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.enter() {
			return &countedConn{Conn: conn, listener: l, connection: l.service.newConnection(true)}, nil
		}
		_ = conn.Close() // nothing was sent
	}
}

// warnEach is how often refused connections are logged.
const warnEach = time.Minute

// enter counts a connection if there may be one more.
func (l *countedListener) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := l.service.opts.MaxConnections
	if l.open < most {
		l.open++
		return true
	}
	if now := time.Now(); now.Sub(l.warned) >= warnEach {
		l.warned = now
		l.service.opts.Logger.Warn("connections are refused: there are as many as there may be", "connections", most)
	}
	return false
}

func (l *countedListener) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

// countedConn is a connection that has its account in its address.
type countedConn struct {
	net.Conn
	listener   *countedListener
	connection *connection
	closing    sync.Once
}

// RemoteAddr returns the client's address with the account.
func (c *countedConn) RemoteAddr() net.Addr { return connectionAddr{c.Conn.RemoteAddr(), c.connection} }

// Close closes the connection.
func (c *countedConn) Close() error {
	c.closing.Do(c.listener.leave)
	return c.Conn.Close()
}
