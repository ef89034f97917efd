package instrument_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"casepress/tasks/instrument"
)

// all are the shipped definitions, those of the documentation and one with every member.
func all(t testing.TB) []*instrument.Definition {
	t.Helper()
	d, problems := instrument.Check("x.json", []byte(whole))
	require.Empty(t, problems)
	return append(instrument.Shipped().All(), documented(t, "example-half"), documented(t, "example-table"), d)
}

func rat(t require.TestingT, s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	require.True(t, ok, s)
	return r
}

// requireSound holds what is true of all scores, whatever the definition and the answers are.
func requireSound(t require.TestingT, d *instrument.Definition, s instrument.Scored) {
	for i, r := range s.Scores {
		rule := d.Scores[i]
		require.Equal(t, rule.ID, r.ID)
		require.Equal(t, d.Identity, r.Rule)
		require.Equal(t, len(rule.Items), r.Answered+r.Missing+len(r.NotAsked))
		require.Equal(t, r.Value == "", r.Reason != "")
		if r.Value == "" {
			require.Empty(t, r.Exact+r.Raw+r.Band)
			require.Empty(t, r.Imputed)
			continue
		}
		require.Len(t, r.Imputed, r.Missing)
		require.Positive(t, r.Answered)
		value := rat(t, string(r.Value))
		require.GreaterOrEqual(t, value.Cmp(rat(t, string(rule.Least))), 0, "%s %s", r.ID, r.Value)
		require.LessOrEqual(t, value.Cmp(rat(t, string(rule.Most))), 0, "%s %s", r.ID, r.Value)
		var in []string
		for _, b := range rule.Bands {
			if rat(t, string(b.From)).Cmp(value) <= 0 && value.Cmp(rat(t, string(b.To))) <= 0 {
				in = append(in, b.Code)
			}
		}
		if len(rule.Bands) > 0 {
			require.Equal(t, []string{r.Band}, in, "%s %s", r.ID, r.Value)
		}
		// Rounding moves by less than one.
		exact := rat(t, r.Exact)
		require.Negative(t, new(big.Rat).Abs(exact.Sub(exact, value)).Cmp(big.NewRat(1, 1)))
	}
}

// drawAnswers returns answers of which some are missing.
func drawAnswers(t *rapid.T, d *instrument.Definition) instrument.Answers {
	missing := rapid.IntRange(0, 3).Draw(t, "one in so many is missing")
	a := instrument.Answers{}
	for _, it := range d.Items {
		if missing > 0 && rapid.IntRange(0, missing).Draw(t, "missing") == 0 {
			continue
		}
		if it.MayBeNotAsked && rapid.Bool().Draw(t, "not asked") {
			a[it.ID] = instrument.Answer{NotAsked: true}
			continue
		}
		a[it.ID] = instrument.Answer{Value: rapid.SampledFrom(it.Options).Draw(t, it.ID).Value}
	}
	return a
}

func TestScoresAreSound(t *testing.T) {
	definitions := all(t)
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom(definitions).Draw(t, "definition")
		s, err := instrument.Score(d, drawAnswers(t, d))
		require.NoError(t, err)
		requireSound(t, d, s)
	})
}

func TestOrderOfAnswersIsIrrelevant(t *testing.T) {
	definitions := all(t)
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom(definitions).Draw(t, "definition")
		a := drawAnswers(t, d)
		var members []string
		for _, it := range d.Items {
			answer, ok := a[it.ID]
			switch {
			case !ok:
				members = append(members, fmt.Sprintf("%q:null", it.ID))
			case answer.NotAsked:
				members = append(members, fmt.Sprintf("%q:%q", it.ID, instrument.NotAsked))
			default:
				members = append(members, fmt.Sprintf("%q: %d", it.ID, answer.Value))
			}
		}
		want, err := instrument.Score(d, a)
		require.NoError(t, err)
		read, err := instrument.ReadAnswers([]byte("{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + "}"))
		require.NoError(t, err)
		require.Equal(t, a, read)
		got, err := instrument.Score(d, read)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// TestTotalsAgainstModel computes the totals of sums in whole numbers, by the rules as they are
// printed.
func TestTotalsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom([]struct {
			id             string
			items, missing int
		}{{"phq-9", 9, 2}, {"phq-8", 8, 0}, {"phq-2", 2, 0}, {"phq-4", 4, 0}, {"gad-7", 7, 0}, {"gad-2", 2, 0}, {"who-5", 5, 0}}).Draw(t, "instrument")
		d, ok := instrument.Shipped().Get(c.id, "1")
		require.True(t, ok)
		a := drawAnswers(t, d)
		sum, answered := int64(0), int64(0)
		for _, it := range d.Items[:c.items] {
			if answer, ok := a[it.ID]; ok {
				sum += answer.Value
				answered++
			}
		}
		s, err := instrument.Score(d, a)
		require.NoError(t, err)
		r := s.Scores[0]
		if missing := c.items - int(answered); missing > c.missing {
			require.Empty(t, r.Value)
			return
		}
		exact := big.NewRat(sum*int64(c.items), answered)
		require.Zero(t, exact.Cmp(rat(t, r.Exact)))
		// Half-up: the whole part of (2 x + 1) / 2.
		require.Equal(t, fmt.Sprint((2*sum*int64(c.items)+answered)/(2*answered)), string(r.Value))
	})
}

// FuzzScore requires that whatever a client sends is scored soundly or refused with a pointer.
func FuzzScore(f *testing.F) {
	f.Add([]byte(`{"1":0,"2":0,"3":0,"4":1,"5":2,"6":1,"7":3,"8":2,"9":1}`))
	f.Add([]byte(`{"1":null,"4":"not-asked","17A":0,"difficulty":3}`))
	f.Add([]byte(`{"1":1,"1":2,"a/b":"2","2":1e9}`))
	f.Add([]byte(`{"\ud800":1}`))
	definitions := instrument.Shipped().All()
	f.Fuzz(func(t *testing.T, content []byte) {
		requireFaults := func(err error) {
			var faults instrument.Faults
			require.ErrorAs(t, err, &faults)
			require.NotEmpty(t, faults)
			for _, fault := range faults {
				require.True(t, fault.Pointer == "" || strings.HasPrefix(fault.Pointer, "/"))
				require.NotEmpty(t, fault.Detail)
			}
		}
		claims, err := instrument.ReadClaims(content)
		if err != nil {
			requireFaults(err)
		}
		a, err := instrument.ReadAnswers(content)
		if err != nil {
			requireFaults(err)
			return
		}
		// Another reader of JSON sees as many answers.
		var other map[string]*json.RawMessage
		require.NoError(t, json.Unmarshal(content, &other))
		given := 0
		for _, raw := range other {
			if raw != nil {
				given++
			}
		}
		require.Len(t, a, given)
		for _, d := range definitions {
			s, err := instrument.Score(d, a)
			if err != nil {
				requireFaults(err)
				continue
			}
			requireSound(t, d, s)
			for _, m := range instrument.Compare(s, claims) {
				require.Contains(t, claims, m.Score)
			}
		}
	})
}

// TestManyGoroutines has the race detector look at definitions that many goroutines use.
func TestManyGoroutines(t *testing.T) {
	definitions := all(t)
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			for _, d := range definitions {
				a := instrument.Answers{}
				for i, it := range d.Items {
					a[it.ID] = instrument.Answer{Value: it.Options[i%len(it.Options)].Value}
				}
				if _, err := instrument.Score(d, a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}
