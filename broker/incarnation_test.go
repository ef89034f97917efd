package broker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/broker"
	"casepress/disk/disktest"
)

// rejectNext takes the group's next message and makes it a dead letter.
func rejectNext(t *testing.T, b *broker.Broker) {
	t.Helper()
	s, err := b.Subscribe("cases", "g", broker.SubscribeOptions{})
	require.NoError(t, err)
	require.NoError(t, receive(t, s, 1)[0].Reject("bad"))
	require.NoError(t, s.Close())
}

func letters(t *testing.T, b *broker.Broker) (p []string) {
	t.Helper()
	found, _, err := b.DeadLetters("cases", 0, 100)
	require.NoError(t, err)
	for _, m := range found {
		p = append(p, string(m.Payload))
	}
	return p
}

// TestDeadLettersOfAnotherLifeAreNoRepeats: of a topic or a group that was made again, or a group that was moved back.
func TestDeadLettersOfAnotherLifeAreNoRepeats(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	publish(t, b, "a")
	rejectNext(t, b)
	require.Equal(t, []string{"a"}, letters(t, b))

	_, err := b.SetPosition("cases", "g", broker.Earliest)
	require.NoError(t, err)
	rejectNext(t, b)
	require.Equal(t, []string{"a", "a"}, letters(t, b), "the group was moved back")

	require.NoError(t, b.DeleteGroup("cases", "g"))
	rejectNext(t, b)
	require.Len(t, letters(t, b), 3, "the group was made again")

	require.NoError(t, b.DeleteTopic(t.Context(), "cases"))
	require.Len(t, letters(t, b), 3, "dead letters outlive their topic")
	_, err = b.Redrive(t.Context(), "cases")
	require.ErrorIs(t, err, broker.ErrNoTopic)
	require.NoError(t, b.CreateTopic(t.Context(), "cases"))
	publish(t, b, "b")
	rejectNext(t, b)
	require.Equal(t, []string{"a", "a", "a", "b"}, letters(t, b), "the topic was made again")
}

// TestRedriveAfterTheLettersWereMadeAgain sends the letter at the same offset, too.
func TestRedriveAfterTheLettersWereMadeAgain(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{})
	for range 2 {
		publish(t, b, "a")
		before, err := b.End("cases")
		require.NoError(t, err)
		_, err = b.SetPosition("cases", "g", broker.FromOffset(before-1))
		require.NoError(t, err)
		rejectNext(t, b)
		n, err := b.Redrive(t.Context(), "cases")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		end, err := b.End("cases")
		require.NoError(t, err)
		require.Equal(t, before+1, end, "it was really sent")
		require.NoError(t, b.DeleteTopic(t.Context(), "cases.dead"))
	}
}

// TestACrashPublishesNoLetterTwice: the incarnation is the same after a restart.
func TestACrashPublishesNoLetterTwice(t *testing.T) {
	fs := disktest.NewCrash(1)
	b := openTopic(t, "/data", broker.Options{FS: fs, AckDelay: 1 << 40})
	publish(t, b, "a")
	rejectNext(t, b)
	b = open(t, "/data", broker.Options{FS: fs.CrashClone(0)})
	rejectNext(t, b) // its acknowledgement was not durable
	require.Equal(t, []string{"a"}, letters(t, b))
}

// TestSettingsOfAGroupSurviveARestart: also in a member that does not say them.
func TestSettingsOfAGroupSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	b := openTopic(t, dir, broker.Options{})
	for _, payload := range []string{"a0", "a1"} {
		_, err := b.Publish(t.Context(), "cases", broker.Message{Key: "a", Payload: []byte(payload)})
		require.NoError(t, err)
	}
	s, err := b.Subscribe("cases", "g", broker.SubscribeOptions{MaxDeliveries: 2, Ordered: true})
	require.NoError(t, err)
	require.NoError(t, receive(t, s, 1)[0].Release(0))
	require.NoError(t, s.Close())
	b = openedAgain(t, b, dir)
	s = subscribe(t, b, "g", broker.SubscribeOptions{})
	d := receive(t, s, 1)
	require.Equal(t, []string{"a0"}, payloads(d))
	nothing(t, s)
	require.NoError(t, d[0].Release(0))
	require.Equal(t, []string{"a1"}, payloads(receive(t, s, 1)), "a0 was delivered twice")
	require.Equal(t, []string{"a0"}, letters(t, b))
	require.NoError(t, s.Close())

	publish(t, b, "x")
	b = openedAgain(t, b, dir)
	s = subscribe(t, b, "g", broker.SubscribeOptions{MaxDeliveries: -1, Unordered: true})
	for range 5 {
		require.NoError(t, receive(t, s, 1)[0].Release(0))
	}
	require.Equal(t, []string{"a0"}, letters(t, b))
}

// TestRedriveOfAFarLetter sends nothing when it cannot be marked as sent.
func TestRedriveOfAFarLetter(t *testing.T) {
	b := openTopic(t, t.TempDir(), broker.Options{MaxUnacked: 4})
	publishN(t, b, 6)
	for range 6 {
		rejectNext(t, b)
	}
	n, err := b.Redrive(t.Context(), "cases", 5)
	require.ErrorIs(t, err, broker.ErrInvalid)
	require.Zero(t, n)
	end, err := b.End("cases")
	require.NoError(t, err)
	require.Equal(t, uint64(6), end)
	n, err = b.Redrive(t.Context(), "cases")
	require.NoError(t, err)
	require.Equal(t, 6, n)
}
