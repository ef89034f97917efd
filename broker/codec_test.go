package broker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMessageEncoding(t *testing.T) {
	at := time.Date(2026, 11, 21, 20, 0, 0, 123000, time.UTC)
	for name, m := range map[string]Message{
		"empty":      {},
		"payload":    {Payload: []byte("p")},
		"all":        {ID: "i", Key: "k", Headers: []Header{{"a", "1"}, {"a", ""}}, Payload: []byte{0, 1}, DeliverAt: at},
		"only head":  {ID: "病例", Headers: []Header{{"", ""}}},
		"deliver at": {DeliverAt: at},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeMessage(appendMessage(nil, &m))
			require.NoError(t, err)
			require.Equal(t, m, got)
		})
	}
}

// TestMessageFormat pins the bytes on disk.
func TestMessageFormat(t *testing.T) {
	m := Message{ID: "i", Key: "ke", Headers: []Header{{"n", "v"}}, Payload: []byte("pay"), DeliverAt: time.UnixMicro(300)}
	require.Equal(t, "\x01\x01\x01i\x02ke\x01\x01n\x01v\xac\x02pay", string(appendMessage(nil, &m)))
}

func TestMessageRefused(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"nothing":         {"", errShort},
		"other version":   {"\x02\x00\x00\x00\x00", errVersion},
		"unknown flag":    {"\x01\x02\x00\x00\x00", errFlags},
		"text too long":   {"\x01\x00\x05ab", errShort},
		"many headers":    {"\x01\x00\x00\x00\xff\xff\x7f", errShort},
		"no deliver at":   {"\x01\x01\x00\x00\x00", errShort},
		"endless varint":  {"\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", errShort},
		"headers missing": {"\x01\x00\x00\x00\x01\x01", errShort},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeMessage([]byte(c.in))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(appendMessage(nil, &Message{ID: "i", Key: "k", Headers: []Header{{"n", "v"}}, Payload: []byte("p"), DeliverAt: time.UnixMicro(9)}))
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Add([]byte{1, 1, 0, 0, 255, 255, 255, 127})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err != nil {
			return
		}
		again, err := decodeMessage(appendMessage(nil, &m))
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

// TestEventFormat pins the bytes on disk.
func TestEventFormat(t *testing.T) {
	e := groupEvent{
		group: "g", start: 300, done: []offsetRange{{302, 304}, {305, 306}},
		counts: []savedCount{{offset: 300, count: 2}, {offset: 304, count: 1, due: 5}},
	}
	b := appendEvent(nil, &e)
	require.Equal(t, "\x01\x01\x01g\xac\x02"+"\x02\x02\x02\x01\x01"+"\x02\x00\x02\x00\x03\x01\x05", string(b))
	got, err := decodeEvent(b)
	require.NoError(t, err)
	require.Equal(t, e, got)
}

func TestSettingsFormat(t *testing.T) {
	e := groupEvent{group: "g", settings: &groupSettings{incarnation: 300, maxDeliveries: 5, ordered: true}}
	b := appendSettings(nil, &e)
	require.Equal(t, "\x01\x04\x01g\xac\x02\x05\x01", string(b))
	got, err := decodeEvent(b)
	require.NoError(t, err)
	require.Equal(t, e, got)
}

func TestEventRefused(t *testing.T) {
	far := groupEvent{start: 1, done: []offsetRange{{1, 2}, {never, never + 1}}}
	wide := groupEvent{start: 1, counts: []savedCount{{offset: never}}}
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":       {nil, errShort},
		"other version": {[]byte{2, 1, 0, 0, 0, 0}, errVersion},
		"other kind":    {[]byte{1, 9, 0, 0, 0, 0}, errKind},
		"cut":           {[]byte{1, 1, 0, 0, 0}, errShort},
		"left over":     {[]byte{1, 1, 0, 0, 0, 0, 0}, errTail},
		"empty range":   {[]byte{1, 1, 0, 0, 1, 1, 0, 0}, errRange},
		"settings cut":  {[]byte{1, 4, 0, 1, 1}, errShort},
		"settings left": {[]byte{1, 4, 0, 1, 1, 1, 0}, errTail},
		"other flags":   {[]byte{1, 4, 0, 1, 1, 2}, errRange},
		"too far":       {appendEvent(nil, &far), errRange},
		"too wide":      {appendEvent(nil, &wide), errRange},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeEvent(c.in)
			require.ErrorIs(t, err, c.want)
		})
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte{1, 2, 1, 'g', 7, 0, 0}, []byte{1, 1, 1, 'g', 9, 0, 0})
	f.Add([]byte{1, 2, 0, 0, 1, 2, 3, 1, 0, 1, 0}, []byte{1, 1, 0, 4, 0, 1, 2, 1, 9})
	f.Add([]byte{1, 2, 1, 'g', 7, 0, 0}, []byte{1, 4, 1, 'g', 9, 3, 1})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		g := newGroupState(0, 100, 0)
		for _, b := range [][]byte{first, second} {
			e, err := decodeEvent(b)
			if err != nil {
				return
			}
			encoded := appendEvent(nil, &e)
			if e.settings != nil {
				encoded = appendSettings(nil, &e)
			}
			again, err := decodeEvent(encoded)
			require.NoError(t, err)
			require.Equal(t, e, again)
			if e.settings != nil {
				continue
			}
			if g.apply(e) != nil {
				return
			}
		}
		g.resume()
		e := g.everything(0)
		copied := newGroupState(0, 100, 0)
		require.NoError(t, copied.apply(e))
		copied.resume()
		require.Equal(t, e, copied.everything(0))
	})
}
