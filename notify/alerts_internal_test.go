package notify

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"casepress/store"
	"casepress/study"
	"casepress/tasks"
)

// A place that is free at the moment at which an alert has waited for as long as it may is not for that one, in whatever order the two
// are noticed: the channel that has just failed may hang once more. It is for the next one.
func TestAPlaceComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &ladderRound{
			Ladders: &Ladders{log: slog.New(slog.DiscardHandler), alerts: prometheus.NewCounterVec(prometheus.CounterOpts{}, []string{"outcome"}), cfg: LadderConfig{
				Timeout: 20 * time.Second,
				Record:  func(context.Context, tasks.Submission) error { return nil },
				Webhook: func(context.Context, study.Rung, Alert) error { return nil },
			}},
			attempts: t.Context(), channels: map[string]*channelQueue{}, health: map[channelID]store.AlertChannel{}, unsaved: map[channelID]bool{},
			sent: make(chan sentAlert, maxInFlight), ended: make(chan alertResult, maxInFlight),
		}
		to := study.Rung{Who: "nurse", Webhook: "e1"}
		q := r.queueOf(addressOf(to))
		q.inFlight = perChannel
		wait := func(id string, due time.Time) *openCase {
			of := &openCase{OpenCase: store.OpenCase{ID: id}, place: -1, waiting: &alert{Alert: Alert{Header: tasks.Header{ID: id}}, to: to}}
			q.waiting = append(q.waiting, of)
			r.schedule(of, due)
			return of
		}
		late, next := wait("late", time.Now()), wait("next", time.Now().Add(time.Second))

		r.leaveChannel(t.Context(), sentAlert{address: addressOf(to), at: time.Now(), err: context.DeadlineExceeded})
		require.NotNil(t, late.waiting)
		require.Nil(t, next.waiting)
		require.Equal(t, perChannel, q.inFlight)
		require.False(t, r.begin(t.Context()))
		require.Nil(t, late.waiting)
		r.wg.Wait()
		heldUp := 0
		for range 2 {
			if one := <-r.sent; one.err != nil {
				require.ErrorContains(t, one.err, "the channel is held up")
				require.Empty(t, one.address)
				heldUp++
			}
		}
		require.Equal(t, 1, heldUp)

		// A channel that takes an alert at that moment gets on, and those that wait for it go on waiting.
		late = wait("again", time.Now())
		r.leaveChannel(t.Context(), sentAlert{address: addressOf(to), at: time.Now()})
		require.Nil(t, late.waiting)
		r.wg.Wait()
		require.NoError(t, (<-r.sent).err)
	})
}
